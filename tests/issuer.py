"""A login server on loopback, for planet-auth: device code, client credentials and refresh tokens."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

REFRESH = "refresh-token-0123456789"
CODE = "ABCD-EFGH"


class Issuer(ThreadingHTTPServer):
    """Issues the tokens access-token-1, access-token-2, ...; `refusal` is the code of an error instead."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.grants: list[dict[str, str]] = []
        self.refusal = ""
        self.issued = 0
        self.expires_in = 3600

    @property
    def token(self) -> str:
        """The last token."""
        return f"access-token-{self.issued:010}"

    def client(self, **fields: Any) -> dict[str, Any]:
        """Return the settings of a client, as a profile has them."""
        client = {"client_type": "oidc_device_code", "client_id": "the-client", "auth_server": self.url}
        return {**client, "scopes": ["planet"], **fields}

    def issue(self) -> dict[str, Any]:
        """Return the response that holds a new token."""
        self.issued += 1
        found = {"access_token": self.token, "refresh_token": REFRESH, "token_type": "Bearer"}
        return {**found, "expires_in": self.expires_in}


class _Handler(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        url = self.server.url
        endpoints = {"token_endpoint": "token", "device_authorization_endpoint": "device"}
        self._say({"issuer": url, **{name: f"{url}/{path}" for name, path in endpoints.items()}})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.grants.append(dict(parse_qsl(body)))
        if self.path == "/device":
            begun = {"device_code": "d", "user_code": CODE, "verification_uri": f"{self.server.url}/activate"}
            self._say({**begun, "expires_in": 60, "interval": 0.01})
        elif self.server.refusal:
            self._say({"error": self.server.refusal, "error_description": f"no {body}"}, 400)
        else:
            self._say(self.server.issue())

    def _say(self, json_: object, status: int = 200) -> None:
        body = json.dumps(json_).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def issuing() -> Iterator[Issuer]:
    with Issuer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
