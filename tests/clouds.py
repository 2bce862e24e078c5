"""Azure's Blob Storage and Google's Cloud Storage on loopback, as far as uploads by obstore need them."""

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

_NEW = {"etag": '"0x8D"', "last-modified": "Sat, 01 Jan 2028 00:00:00 GMT", "x-ms-blob-type": "BlockBlob"}
_UPLOAD = "<Upload><Bucket/><Key/><UploadId>u</UploadId><ETag>e</ETag></Upload>"


class Cloud:
    """A server of objects; `objects` has them by their path."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.url = ""
        self._metadata: dict[str, dict[str, str]] = {}
        self._parts: defaultdict[str, dict[str, bytes]] = defaultdict(dict)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        return self._respond(Request(environ))(environ, start)

    @contextmanager
    def serving(self) -> Iterator[None]:
        server = make_server("127.0.0.1", 0, self, threaded=True)
        self.url = f"http://127.0.0.1:{server.port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()

    def _respond(self, request: Request) -> Response:
        path, arguments, parts = request.path, request.args, self._parts[request.path]
        metadata = {name: value for name, value in request.headers.items() if "-Meta-" in name}
        part = arguments.get("blockid") or arguments.get("partNumber")
        body, status = _UPLOAD.encode(), 201
        match request.method:
            case "GET" | "HEAD":
                body, status = self.objects.get(path, b""), 200 if path in self.objects else 404
                metadata = self._metadata.get(path, {})
            case "DELETE":
                parts.clear()
            case "POST" if "uploads" in arguments:
                self._metadata[path] = metadata
            case "POST":
                self.objects[path] = b"".join(parts[name] for name in sorted(parts, key=int))
            case "PUT" if part:
                parts[part] = request.get_data()
            case "PUT" if "comp" in arguments:
                names = re.findall("<Uncommitted>(.*?)<", request.get_data(as_text=True))
                self.objects[path], self._metadata[path] = b"".join(parts[name] for name in names), metadata
            case _:
                self.objects[path], self._metadata[path] = request.get_data(), metadata
        return Response(body, status, {**_NEW, **metadata})
