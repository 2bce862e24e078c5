"""A server that answers before it has read a long body."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from planet_async import Config, StatusError
from transports.on_loopback import planet

pytestmark = pytest.mark.anyio

RESPONSE = (
    b"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-type: application/json\r\n"
    b'content-length: 29\r\n\r\n{"message":"too many pixels"}'
)


@contextmanager
def refusing() -> Iterator[tuple[str, list[bytes]]]:
    """Answer 413 after the headers, as servers do: drop the rest of the body, then close."""
    heads: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

    def handle(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(1 << 16)
            heads.append(received.partition(b"\r\n\r\n")[0])
            connection.sendall(RESPONSE)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", heads
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_an_early_413_is_the_response(network: str, method: str) -> None:
    """A body of 8 MB is refused after its headers: the refusal is raised, and nothing is sent again."""
    with refusing() as (url, heads):
        async with planet(network, Config(base_url=url, rates={})) as client:
            with pytest.raises(StatusError, match="413 too many pixels") as caught:
                await client.request(method, "/x", json="a" * (8 << 20))
    assert caught.value.status == 413
    assert not caught.value.transient
    assert len(heads) == 1
