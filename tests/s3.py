"""An S3 server on loopback, moto's: what it keeps is seen through boto3, and requests can be refused."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "key-of-the-store",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-store",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


class S3:
    """The server, with one bucket."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []  # method and path of each request of the program
        self.refuses: Callable[[Request], bool] = lambda _: False  # with 403
        self.before: Callable[[Request], None] = lambda _: None
        self.bucket = ""
        self._numbers = count()
        self._app = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        if "Boto" not in request.user_agent.string:
            self.seen.append((request.method, request.path))
        self.before(request)
        app = Response(status=403) if self.refuses(request) else self._app
        return app(environ, start)

    @contextmanager
    def serving(self) -> Iterator[None]:
        server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=_Silent)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{server.port}"
        self._client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
        )
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()

    def new_bucket(self, name: str = "") -> None:
        """Begin with an empty bucket, and forget the requests and the faults."""
        self.bucket = name or f"bucket-{next(self._numbers)}"
        self._client.create_bucket(Bucket=self.bucket)
        self.refuses = lambda _: False
        self.before = lambda _: None
        self.seen.clear()

    def put(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=self.bucket, Key=key, Body=content)

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self.bucket, Key=key)

    def metadata(self, key: str) -> dict[str, str]:
        return dict(self._client.head_object(Bucket=self.bucket, Key=key)["Metadata"])

    def objects(self) -> dict[str, bytes]:
        """Return the content of each object by its key."""
        listed = self._client.list_objects_v2(Bucket=self.bucket).get("Contents", ())
        keys = [each["Key"] for each in listed]
        return {key: self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}

    def uploads(self) -> list[str]:
        """Return the keys of the uploads that are neither completed nor aborted."""
        found = self._client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", ())
        return [upload["Key"] for upload in found]


class _Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Print nothing."""
