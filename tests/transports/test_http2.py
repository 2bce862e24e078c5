"""HTTP/2 on the default network, against a server of h2 on loopback."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.abc
import anyio.lowlevel
import certifi
import pytest
from anyio.streams.tls import TLSListener, TLSStream

from planet_async.config import Config
from planet_async.errors import ConnectionLost, TransportTimeout
from planet_async.http import Request
from planet_async.transports.httpx import HttpxTransport

pytestmark = pytest.mark.anyio

pytest.importorskip("h2")
trustme = pytest.importorskip("trustme")

from h2.config import H2Configuration  # noqa: E402 - it may not be installed
from h2.connection import H2Connection  # noqa: E402
from h2.events import RequestReceived, StreamEnded  # noqa: E402


@asynccontextmanager
async def http2_server(monkeypatch: pytest.MonkeyPatch, trusted: Path) -> AsyncIterator[str]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(trusted)
    monkeypatch.setattr(certifi, "where", lambda: str(trusted))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2"])
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(TLSListener(listener, context, standard_compatible=False).serve, _serve)
        yield f"https://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        group.cancel_scope.cancel()


async def _serve(stream: TLSStream) -> None:
    connection = H2Connection(H2Configuration(client_side=False))
    connection.initiate_connection()
    paths: dict[int, str] = {}
    async with stream:
        await stream.send(connection.data_to_send())
        while True:
            try:
                data = await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    paths[event.stream_id] = dict(event.headers)[b":path"].decode()
                elif isinstance(event, StreamEnded):
                    if paths[event.stream_id] == "/drop":
                        return
                    if paths[event.stream_id] == "/last":
                        connection.send_headers(event.stream_id, [(":status", "200")], end_stream=True)
                        await stream.send(connection.data_to_send())
                        return
                    if paths[event.stream_id] == "/pings":
                        await _ping(connection, stream)
                        return
                    connection.send_headers(event.stream_id, [(":status", "200"), ("x-version", "2")])
                    connection.send_data(event.stream_id, paths[event.stream_id].encode(), end_stream=True)
            await stream.send(connection.data_to_send())


async def _ping(connection: H2Connection, stream: TLSStream) -> None:
    with suppress(anyio.BrokenResourceError):
        while True:
            connection.ping(b"so busy.")
            await stream.send(connection.data_to_send())
            await anyio.sleep(0.01)


async def test_what_is_no_answer_does_not_prolong_the_wait_for_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A connection on which something goes on, for others or for itself, is not silent; the request is."""
    async with http2_server(monkeypatch, tmp_path / "ca.pem") as url:
        network = HttpxTransport(Config(connect_timeout=1, read_timeout=0.1))
        try:
            with anyio.fail_after(5), pytest.raises(TransportTimeout):
                await network.send(Request("GET", f"{url}/pings"))
        finally:
            await network.aclose()


async def test_a_server_that_offers_it_is_spoken_to_in_http2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Many at once share one connection; one that drops it makes an error of ours."""
    async with http2_server(monkeypatch, tmp_path / "ca.pem") as url:
        network = HttpxTransport()
        bodies: list[bytes] = []

        async def ask(number: int) -> None:
            response = await network.send(Request("POST", f"{url}/{number}?a=b", body=b"{}"))
            assert response.headers["x-version"] == "2"
            bodies.append(await response.read())

        try:
            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(ask, number)
            assert sorted(bodies) == sorted(f"/{number}?a=b".encode() for number in range(20))
            with pytest.raises(ConnectionLost):
                await network.send(Request("GET", f"{url}/drop"))
            await ask(20)
        finally:
            await network.aclose()


async def test_what_may_not_be_sent_twice_is_not_sent_to_one_who_has_hung_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A connection that the server closed while it was idle is left alone."""
    async with http2_server(monkeypatch, tmp_path / "ca.pem") as url:
        network = HttpxTransport()
        try:
            for _ in range(3):
                response = await network.send(Request("POST", f"{url}/last"))
                assert (response.status, await response.read()) == (200, b"")
                await anyio.sleep(0.02)
        finally:
            await network.aclose()


async def test_who_gives_up_waiting_for_a_connection_leaves_it_to_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One that is being opened for several is not lost when one of them is cancelled."""
    async with http2_server(monkeypatch, tmp_path / "ca.pem") as url:
        network = HttpxTransport()
        answers: list[bytes] = []

        async def ask(scope: anyio.CancelScope, number: int) -> None:
            with scope:
                response = await network.send(Request("GET", f"{url}/{number}"))
                answers.append(await response.read())

        scopes = [anyio.CancelScope() for _ in range(3)]
        try:
            async with anyio.create_task_group() as group:
                for number in (0, 1):
                    group.start_soon(ask, scopes[number], number)
                    while network._connections._beginning.total() <= number:
                        await anyio.lowlevel.checkpoint()
                scopes[1].cancel()
                while network._connections._beginning.total() > 1:
                    await anyio.lowlevel.checkpoint()
                group.start_soon(ask, scopes[2], 2)
            assert sorted(answers) == [b"/0", b"/2"]
            backend = network._connections._backend
            assert backend is not None
            kept = [one.info() for one in network._connections._all()]
            assert len(kept) == len(backend.open), kept
        finally:
            await network.aclose()


@pytest.mark.parametrize("moment", ["before it is set up", "while it is set up", "at once"])
async def test_who_gives_up_at_first_costs_others_a_try_at_most(
    moment: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first request on a connection is cancelled: others are answered, or hear an error of ours."""
    async with http2_server(monkeypatch, tmp_path / "ca.pem") as url:
        network = HttpxTransport()

        def is_set_up() -> bool:
            inner = [getattr(one, "_connection", None) for one in network._connections._all()]
            return any(getattr(one, "_sent_connection_init", False) for one in inner)

        async def ask(path: str, scope: anyio.CancelScope) -> None:
            with scope, suppress(ConnectionLost):
                response = await network.send(Request("GET", url + path))
                assert await response.read() == path.encode()

        try:
            first = anyio.CancelScope()
            with anyio.fail_after(5):
                async with anyio.create_task_group() as group:
                    for number in range(4):
                        group.start_soon(ask, f"/{number}", anyio.CancelScope() if number else first)
                    await anyio.lowlevel.checkpoint()
                    while moment == "while it is set up" and not is_set_up():
                        await anyio.lowlevel.checkpoint()
                    while moment == "before it is set up" and not [*network._connections._all()]:
                        await anyio.lowlevel.checkpoint()
                    first.cancel()
                await ask("/after", anyio.CancelScope())
        finally:
            await network.aclose()
