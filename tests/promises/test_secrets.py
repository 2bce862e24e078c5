"""Nothing secret is shown, logged, or sent to anybody but the API, whatever the call and what goes wrong."""

import asyncio
import gc
import logging
import traceback
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from socket import socket
from typing import Any
from urllib.parse import urlencode

import anyio
import attrs
import pytest
from anyio.abc import SocketStream
from every_call import CALLS, DELIVERED_ORDER, DELIVERY_SECRET, S3, Scene, quad, simulated
from rich.pretty import pretty_repr

import planet_async
from planet_async import (
    AmazonS3,
    ApiKey,
    BearerToken,
    ClientCredentials,
    Config,
    ConnectError,
    Credentials,
    InvalidRequest,
    OrderRequest,
    Planet,
    PlanetError,
    Request,
    Response,
    SceneProduct,
    StatusError,
    TransportTimeout,
    Unauthorized,
)
from planet_async._tasks import on_asyncio
from planet_async.auth.credentials import Auth
from planet_async.http import Transport, origin, without_query
from planet_async.simulator import Fault, Simulator
from planet_async.testing import FakeClock, FakeTransport, reply
from planet_async.transports import TransportName

PACKAGE = str(Path(planet_async.__file__).parent)
KEY = "PLAKexample0123456789secret"
BASIC = b64encode(f"{KEY}:".encode()).decode()
TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJub2JvZHkifQ.c2lnbmF0dXJl"
CLIENT_SECRET = "client-secret/0123456789+abcdef"
SIGNATURE = "signature="
SECRETS = (KEY, BASIC, TOKEN, CLIENT_SECRET, DELIVERY_SECRET, S3["aws_access_key_id"])
ORDER_ID = "7a1c0f0e-4b6d-4f55-9a76-1f0a1d6f0c11"
ORDERS = "/compute/ops/orders/v2"
LOGIN = "https://login.planet.com/oauth/token"


def texts_of(error: BaseException) -> Iterator[str]:
    """Yield all that an error says, in whatever way it is asked; its causes too."""
    yield "".join(traceback.format_exception(error, limit=1))  # lines of source have no secret, and take long
    seen: list[BaseException | None] = [error]
    for one in seen:
        if one is None:
            continue
        yield from (str(one), repr(one), repr(one.args), repr(vars(one)), *getattr(one, "__notes__", ()))
        yield from (
            repr(getattr(one, name)) for name in ("message", "body", "field_errors") if hasattr(one, name)
        )
        seen += [cause for cause in (one.__cause__, one.__context__) if cause not in seen]


def locals_of(errors: list[BaseException]) -> Iterator[str]:
    """Yield what Sentry and Rich show of our frames, which print the locals of each.

    Not those that read a report: its rows are what the caller wants, and can be anything.  What many frames
    have, such as the client's parts, is shown once: to print it takes long.
    """
    seen: list[BaseException | None] = [*errors]
    shown: dict[int, object] = {}
    for one in seen:
        if one is None:
            continue
        for frame, _ in traceback.walk_tb(one.__traceback__):
            file = frame.f_code.co_filename
            if file.startswith(PACKAGE) and not file.endswith("_csv.py") and "simulator" not in file:
                for name, value in frame.f_locals.items():
                    if id(value) in shown:
                        continue
                    shown[id(value)] = value
                    where = f"{frame.f_code.co_qualname}: {name} = "
                    yield where + repr(value)
                    yield where + pretty_repr(value, max_string=80, max_depth=5)
        seen += [cause for cause in (one.__cause__, one.__context__) if cause not in seen]


def assert_hidden(texts: Iterator[str] | list[str], *more: str) -> None:
    for text in texts:
        for secret in (*SECRETS, *more):
            assert secret not in text, f"{secret} is shown: {text}"


def shown_in(value: object) -> Iterator[str]:
    """Yield how a value shows itself, and what it consists of."""
    yield repr(value)
    yield str(value)
    if isinstance(value, list | tuple):
        for inside in value[:3]:
            yield from shown_in(inside)


class Echoing:
    """A server that answers with what it was sent, by a status, in text or JSON, or as an address."""

    def __init__(self, spoil: str) -> None:
        self._spoil = spoil

    async def send(self, request: Request) -> Response:
        headers = dict(request.headers)
        body = (request.body or b"").decode()
        said = f"{headers.get('authorization', 'nobody')} may not send {body}"
        id_ = {"x-request-id": headers.get("authorization", "")}
        json_ = {
            "message": said,
            "field": {"name": [said]},
            "headers": headers,
            "body": body,
            "errors": [said],
        }
        if self._spoil == "text":
            return reply(200, body=f"Authorization: {said}", headers=id_)
        if self._spoil == "json":
            return reply(200, json={**json_, said: said}, headers=id_)
        if self._spoil == "elsewhere":
            return reply(
                302, headers={"location": f"https://evil.example/?{urlencode({'said': said})}", **id_}
            )
        return reply(int(self._spoil), json=json_, headers=id_)

    async def aclose(self) -> None:
        """Do nothing."""


FAULTS: Mapping[str, Fault] = {
    "refused": Fault(refused=True),
    "dropped": Fault(drop=True, after=True),
    "silent": Fault(hang=True),
    "cut": Fault(cut=5),
    "garbage": Fault(body=b"<html>"),
}
SPOILED = ("400", "401", "403", "404", "409", "429", "500", "503", "text", "json", "elsewhere")
CONFIG = Config(max_attempts=2, deadline=100, rates={}, read_timeout=5)


@pytest.fixture
async def scene(tmp_path: Path, clock: FakeClock, everything: Simulator) -> Scene:
    async with Planet(CONFIG, credentials=ApiKey(KEY), transport=everything, clock=clock) as planet:
        return await Scene.prepared(planet, tmp_path)


@pytest.fixture
def everything(clock: FakeClock) -> Simulator:
    return simulated(clock)


@contextmanager
def named(case: str, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Name the case in an error, and expect its log to show no secret."""
    try:
        yield
        assert_hidden([caplog.text], SIGNATURE)
    except BaseException as error:
        error.add_note(f"It was {case}.")
        raise
    caplog.clear()


async def make_every_call(
    scene: Scene, transport: Transport, clock: FakeClock
) -> tuple[list[BaseException], list[object]]:
    """Make every call there is with a new client, and give the errors and the rest."""
    errors: list[BaseException] = []
    given: list[object] = []
    async with Planet(CONFIG, credentials=ApiKey(KEY), transport=transport, clock=clock) as planet:
        scene.planet = planet
        for name, call in CALLS.items():
            if name.partition(",")[0] in {
                "orders.run",
                "orders.work",
                "orders.wait_many",
                "tasking.wait",
                "tasking.wait_many",
                "tasking.watch",
            }:
                continue  # they wait for the service to come back; what they call is called by others here
            try:
                found = await call(scene)
            except PlanetError as error:
                errors.append(error)
            else:
                if "open" not in name:  # the bytes of a file are what they are
                    given.append(found)
        assert_hidden([*shown_in(planet), repr(vars(scene.planet)), repr(CONFIG)])
    return errors, given


@pytest.mark.no_cover
@pytest.mark.anyio
async def test_a_server_that_repeats_all_it_was_sent(
    scene: Scene, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """No error of any call and no log has the key or a secret of a delivery, though every answer has."""
    caplog.set_level(logging.DEBUG)
    for spoil in SPOILED if on_asyncio() else ("401", "json", "elsewhere"):
        with named(spoil, caplog):
            errors, _ = await make_every_call(scene, Echoing(spoil), clock)
            assert len(errors) > 40
            for error in errors:
                assert_hidden([*texts_of(error)], SIGNATURE)
                assert isinstance(error, PlanetError)
                assert error.request is None or error.request.body is None
            if spoil not in {"text", "json"}:  # a response that repeats them is what it is
                assert_hidden(locals_of(errors))


@pytest.mark.no_cover
@pytest.mark.anyio
async def test_every_other_fault(
    scene: Scene, everything: Simulator, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The same where the connection or the body breaks off."""
    caplog.set_level(logging.DEBUG)
    for fault in FAULTS if on_asyncio() else ("dropped", "cut"):
        with named(fault, caplog):
            everything.faults.clear()
            everything.faults.add(FAULTS[fault])
            errors, _ = await make_every_call(scene, everything, clock)
            assert len(errors) > 20
            for error in errors:
                assert_hidden([*texts_of(error)], SIGNATURE)
            assert_hidden(locals_of(errors))


@pytest.mark.anyio
async def test_nothing_wrong_at_all(
    scene: Scene, everything: Simulator, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What the calls give shows no secret and no signed address either, where all goes well."""
    caplog.set_level(logging.DEBUG)
    with named("nothing", caplog):
        errors, given = await make_every_call(scene, everything, clock)
        assert not errors
        for found in given:
            assert_hidden([*shown_in(found)], SIGNATURE)


# --- each kind of credential


def logging_in(request: Request) -> Response:
    """Return tokens, and refuse everything else in the words that it was asked with."""
    if request.url == LOGIN:
        return reply(json={"access_token": TOKEN, "expires_in": 3600})
    return reply(401, json={"message": f"{request.headers['authorization']}: no, {request.headers}"})


def refused_login(request: Request) -> Response:
    said = (request.body or b"").decode()
    return reply(400, json={"error": said, "error_description": f"{CLIENT_SECRET}, {said}"})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("credentials", "answer"),
    [
        (ApiKey(KEY), logging_in),
        (ApiKey(KEY, scheme="api-key"), logging_in),
        (BearerToken(TOKEN), logging_in),
        (ClientCredentials("machine", CLIENT_SECRET), logging_in),
        (ClientCredentials("machine", CLIENT_SECRET), refused_login),
    ],
    ids=["basic", "api-key", "token", "oauth", "oauth, no login"],
)
async def test_no_credential_is_shown(
    credentials: Credentials, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal that repeats it is shown with dots; the request of the error does not have it either."""
    caplog.set_level(logging.DEBUG)
    network = FakeTransport(answer)
    planet = Planet(credentials=credentials, transport=network, clock=FakeClock())
    with pytest.raises(Unauthorized) as caught:
        await planet.orders.get(ORDER_ID)
    assert "..." in caught.value.message
    assert_hidden(
        [*texts_of(caught.value), caplog.text, repr(credentials), str(credentials), repr(network.requests)]
    )
    assert_hidden(locals_of([caught.value]))
    assert caught.value.request is not None
    assert_hidden([repr(attrs.asdict(caught.value.request))])


@pytest.mark.anyio
async def test_an_error_of_the_network_keeps_the_request_as_it_was_before_it_was_signed() -> None:
    """Errors are stored and sent on: the request of one has no credential in its headers."""
    simulator = Simulator(clock=(clock := FakeClock()))
    simulator.faults.add(Fault(drop=True))
    planet = Planet(Config(max_attempts=1), credentials=ApiKey(KEY), transport=simulator, clock=clock)
    with pytest.raises(PlanetError) as caught:
        await planet.orders.get(ORDER_ID)
    assert caught.value.request is not None
    assert caught.value.request.operation == "orders.get"
    assert "authorization" not in caught.value.request.headers
    assert_hidden([repr(attrs.asdict(caught.value.request))])


@pytest.mark.anyio
async def test_a_short_word_is_no_secret() -> None:
    """The key of a test server, such as "any", leaves the words of an error as they are."""
    network = FakeTransport([reply(404, json={"message": "not any of many"})])
    planet = Planet(credentials=ApiKey("any"), transport=network, clock=FakeClock())
    with pytest.raises(StatusError, match="not any of many"):
        await planet.orders.get(ORDER_ID)


# --- what is sent in confidence


@pytest.mark.parametrize("name", sorted(S3))
def test_requests_do_not_show_the_secrets_of_deliveries(name: str) -> None:
    """Neither the record, nor the error about a field that is wrong beside them."""
    delivery = AmazonS3(**S3)  # type: ignore[arg-type]  # one of its fields is no text
    request = OrderRequest("x", [SceneProduct(["a"], "PSScene", "visual")], delivery=delivery)
    assert_hidden([*shown_in([delivery, request])])
    with pytest.raises(InvalidRequest) as caught:
        OrderRequest.from_dict({**DELIVERED_ORDER, "delivery": {"amazon_s3": {**S3, name: [S3[name]]}}})
    assert_hidden([*texts_of(caught.value)])


def test_an_address_shows_no_password_and_no_query() -> None:
    """Of an address only what says where it leads is shown."""
    shown = "https://storage.example:8/a/b@c"
    assert without_query(f"https://me:{KEY}@storage.example:8/a/b@c?x={KEY}#{KEY}") == shown
    assert without_query("/a?b") == "/a"
    request = Request("GET", f"https://me:{KEY}@api.planet.com/x?{KEY}", params=(("key", KEY),))
    assert_hidden([repr(request), str(request), repr(Response(200, url=request.url))])


# --- to whom it is sent


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url",
    [
        "http://api.planet.com/x",
        "https://api.planet.com:8443/x",
        "https://api.planet.com@evil.example/x",
        "https://api.planet.com:443@evil.example/x",
        "https://evil.example/https://api.planet.com/",
        "https://evil.example#@api.planet.com/",
        "https://evil.example?@api.planet.com/",
        "https://api.planet.com.evil.example/",
        "https://xapi.planet.com/",
        "https://api。planet。com/",
        "//evil.example/x",
        "https:evil.example",
        "https://[api.planet.com",
    ],
)
async def test_only_the_api_is_given_the_credential(url: str) -> None:
    """Another scheme, host or port, whatever is done to look like the API, gets none."""
    network = FakeTransport(lambda _: reply())
    auth = Auth(network, ApiKey(KEY), "https://api.planet.com", FakeClock())
    await auth.send(Request("GET", url))
    assert "authorization" not in network.requests[0].headers


EVIL = "https://api.planet.com@evil.example/x"


@pytest.mark.anyio
@pytest.mark.parametrize("link", [EVIL, "http://api.planet.com/compute/ops/orders/v2", "//evil.example/x"])
async def test_no_link_leads_the_credential_away(link: str, tmp_path: Path) -> None:
    """Wherever the links of answers lead: next pages, files, redirects, new searches, bulk lists."""

    def answer(request: Request) -> Response:
        if origin(request.url) != origin("https://api.planet.com"):
            return reply(body=b"evil")
        if request.url.endswith("redirected"):
            return reply(302, headers={"location": link})
        results = [{"name": f"{ORDER_ID}/a", "delivery": "success", "location": link}]
        links = {"next": link, "_next": link, "list": link, "results": results}
        lists = ("orders", "subscriptions", "results", "reports", "features", "searches", "item_types")
        more_lists = ("collections", "destinations", "mosaics", "series", "items")
        things: dict[str, object] = {name: [] for name in (*lists, *more_lists)}
        asset = {"status": "active", "location": link, "_links": {"_self": link, "activate": link}}
        things["ortho_udm2"] = asset
        body = {"id": ORDER_ID, "state": "success", "report_id": "7", "contents": [link], "status": "DONE"}
        return reply(json={**things, **body, "next": link, "_links": links}, headers={"location": link})

    network = FakeTransport(answer)
    config = Config(max_attempts=1, rates={})
    planet = Planet(config, credentials=ApiKey(KEY), transport=network, clock=FakeClock())
    parts = (ORDER_ID,) * 5
    quads = (quad(link),)
    scene = Scene(planet, tmp_path, await planet.orders.get(ORDER_ID), *parts, report="7", quads=quads)
    calls = {
        **CALLS,
        "redirected": lambda s: s.planet.request("GET", "/redirected"),
        "straight": straight(link),
    }
    for name, call in calls.items():
        if any(word in name for word in ("wait", "watch", "run", "work")):
            continue  # they have no links of their own, and would wait for ever
        try:
            await call(scene)
        except PlanetError as error:
            assert_hidden([*texts_of(error)])
    sent_away = [
        request for request in network.requests if not request.url.startswith("https://api.planet.com/")
    ]
    assert sent_away
    for request in sent_away:
        assert_hidden([request.url, repr(dict(request.headers)), repr(request.body)])


def straight(link: str) -> Any:
    return lambda scene: scene.planet.request("GET", link)


# --- over real sockets


@pytest.fixture(params=["httpx", "httpx2", "aiohttp"])
def network(request: pytest.FixtureRequest, anyio_backend: str) -> TransportName:
    if request.param == "aiohttp" and anyio_backend == "trio":
        pytest.skip("aiohttp runs on asyncio only")
    name: TransportName = request.param
    return name


@pytest.mark.anyio
async def test_the_environment_changes_no_credential_and_no_way(
    network: TransportName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A .netrc never counts, and with `trust_env=False` no proxy either: our header arrives, once."""
    seen: list[bytes] = []
    proxied: list[bytes] = []
    async with answering(seen, OK) as port, answering(proxied, OK) as proxy:
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
        (tmp_path / ".netrc").chmod(0o600)
        monkeypatch.setenv("HOME", str(tmp_path))
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing.pem"))
        config = Config(base_url=f"http://127.0.0.1:{port}", trust_env=False)
        async with Planet(config, credentials=ApiKey(KEY), transport=network) as planet:
            await planet.request("GET", "/x")
    assert not proxied
    pairs = [line.partition(b": ") for line in seen[0].split(b"\r\n")]
    sent = [value for name, _, value in pairs if name.lower() == b"authorization"]
    assert sent == [f"Basic {BASIC}".encode()]


HEAD = b"content-length: 0\r\nconnection: close\r\n"
SAID: Mapping[str, bytes] = {
    "a redirect": b"HTTP/1.1 302 Found\r\n" + HEAD + b"location: /y?signature=abc\r\n\r\n",
    "no HTTP": f"Authorization: Basic {BASIC}\r\n\r\n".encode(),
    "no HTTP, and no colon": f"{BASIC} {KEY}\r\n\r\n".encode(),
    "a header repeated": b"HTTP/1.1 404 No\r\n" + HEAD + f"x-seen: Basic {BASIC}\r\n\r\n".encode(),
    "a reason repeated": f"HTTP/1.1 404 Basic {BASIC}\r\n".encode() + HEAD + b"\r\n",
    "no header": f"HTTP/1.1 200 OK\r\n{BASIC} {KEY}\r\n\r\n".encode(),
    "no length": f"HTTP/1.1 200 OK\r\ncontent-length: {BASIC}\r\n\r\n".encode(),
    "no chunk": f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{BASIC}\r\n".encode(),
    "half a body": f"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{BASIC}".encode(),
    "nothing": b"",
}


@pytest.mark.no_cover
@pytest.mark.anyio
async def test_what_libraries_log_and_say_is_clean_too(
    network: TransportName, caplog: pytest.LogCaptureFixture
) -> None:
    """No library's log has a header of an answer or a signature, and none quotes a server that is none."""
    with all_logged(caplog):
        for case, answer in SAID.items():
            seen: list[bytes] = []
            with named(case, caplog):
                async with answering(seen, answer) as port:
                    error = await failure_of(f"http://127.0.0.1:{port}", network)
                assert seen
                if network != "aiohttp":
                    core = {"httpx": "httpcore", "httpx2": "httpcore2"}[network]
                    assert core in {record.name.partition(".")[0] for record in caplog.records}
                assert_hidden([*texts_of(error)], SIGNATURE)
    assert_hidden([caplog.text], SIGNATURE)


@pytest.mark.no_cover
@pytest.mark.anyio
async def test_errors_of_the_network_are_clean_too(
    network: TransportName, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor has one of a connection that does not come about, or on which nothing moves."""
    with all_logged(caplog):
        for kind in ("refused", "slow to connect", "slow to answer", "no TLS", "no such host"):
            with named(kind, caplog):
                error = await network_error(kind, network)
                expected = TransportTimeout if kind == "slow to answer" else ConnectError | InvalidRequest
                assert isinstance(error, expected)
                assert_hidden([*texts_of(error)], SIGNATURE)
    assert_hidden([caplog.text], SIGNATURE)


async def network_error(kind: str, network: TransportName) -> PlanetError:
    if kind == "no TLS":
        async with answering([], b"HTTP/1.1 400 No\r\n\r\n") as port:
            return await failure_of(f"https://127.0.0.1:{port}", network)
    if kind == "no such host":
        return await failure_of(f"http://{'x' * 64}.invalid", network)
    with socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{listener.getsockname()[1]}"
        if kind == "refused":
            return await failure_of(f"http://{url}", network)
        listener.listen()  # it accepts, and says nothing: to TLS that is no connection
        if kind == "slow to connect":
            return await failure_of(f"https://{url}", network, connect_timeout=0.05)
        return await failure_of(f"http://{url}", network, read_timeout=0.05)


async def failure_of(
    url: str, network: TransportName, *, connect_timeout: float = 30, read_timeout: float = 30
) -> PlanetError:
    """Ask for a signed URL, with a secret in the body; return the error, which keeps no secret.

    A timeout is short only where it is what is waited for: a busy machine would meet any other one.
    """
    config = Config(base_url=url, max_attempts=1, connect_timeout=connect_timeout, read_timeout=read_timeout)
    async with Planet(config, credentials=ApiKey(KEY), transport=network) as planet:
        with pytest.raises(PlanetError) as caught:
            await planet.request("GET", f"/x?{SIGNATURE}abc", json={"delivery": S3})
    assert caught.value.request is not None
    assert caught.value.request.operation == "x.request"
    assert_hidden([repr(caught.value.request.headers), repr(caught.value.request.body)])
    return caught.value


@contextmanager
def all_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Log all that any library logs, asyncio included, until the end of what it tells of what is dropped."""
    caplog.set_level(1)
    loop = asyncio.get_running_loop() if on_asyncio() else None
    if loop is not None:
        loop.set_debug(True)
        loop.slow_callback_duration = 0  # each counts as slow, and is told of
    yield
    gc.collect()
    if loop is not None:
        loop.set_debug(False)


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@asynccontextmanager
async def answering(seen: list[bytes], answer: bytes) -> AsyncIterator[int]:
    """Serve that answer to all, and note what they sent; gives the port."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

    async def handle(stream: SocketStream) -> None:
        async with stream:
            seen.append(await stream.receive())
            await stream.send(answer)

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, handle)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        group.cancel_scope.cancel()
