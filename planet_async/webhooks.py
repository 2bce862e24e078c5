"""Webhooks: notifications as events, and `WebhookEndpoint`, an ASGI application that receives them.

A notification is not signed, so it is no more than a hint: read the order or the subscription with `get`
before you rely on it.
"""

import base64
import hmac
import inspect
import logging
import re
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import anyio
import msgspec
from attrs import field, frozen

from planet_async.errors import DecodeError, InvalidRequest, type_name
from planet_async.http import SecretBytes, SecretStr
from planet_async.models.base import Resource
from planet_async.models.codec import decode
from planet_async.models.json import DECODE_ERRORS, parsed_object, unreadable
from planet_async.models.orders import Order, OrderResult

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_IN_FOLDER = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{20,}", re.ASCII)
# An order of 500 items comes with a link for each of its files, which are skipped, not decoded.
_MOST_BYTES = {"orders": 8 * 1024**2, "subscriptions": 256 * 1024}
_BODY_SECONDS = 10.0  # that a body may take
_MOST_HELD = 64 * 1024**2  # bytes of all bodies that are arriving
_LONGEST_ID = 200  # characters
_LEAST_STEPS = 6  # different distances from one character to the next; fewer are a run or a repetition
_LEAST_DEFLATED = 16  # bytes
_HEADERS: dict[int, list[tuple[bytes, bytes]]] = {
    401: [(b"www-authenticate", b'Basic realm="planet"')],
    405: [(b"allow", b"POST")],
    408: [(b"connection", b"close")],  # the rest is not read
    413: [(b"connection", b"close")],
    503: [(b"connection", b"close"), (b"retry-after", b"10")],
}

logger: logging.Logger = logging.getLogger("planet_async.webhooks")


@frozen(eq=False)
class OrderEvent(Resource):
    """A notification about an order: an item was delivered, or (`per_order`) the order has ended.

    `raw` is all of it.  Parts other than the id are decoded when they are first read.
    """

    order_id: str

    @cached_property
    def order(self) -> Order | None:
        """The order as it was, where Planet sent the whole of it; documented now are its items only."""
        if not all(isinstance(value := self.raw.get(key), str) and value for key in ("id", "state")):
            return None
        return decode(Order, self._bytes())

    @cached_property
    def items(self) -> tuple[OrderResult, ...]:
        """The files that it is about; those without a name are left out.

        A `location` may begin with its query, ``?token=...``: the rest is the API's ``/download``.
        """
        if self.order is not None:
            found = self.order.links.get("results")
        else:
            found = self.raw.get("items", [self.raw])
        return tuple(_results(found)) if isinstance(found, list) else ()


@frozen(eq=False)
class SubscriptionEvent(Resource):
    """A notification about a subscription, whose content Planet does not document.

    `topic`, such as ``delivery.success``, is None where there is none; `raw` is all of it.
    """

    subscription_id: str
    topic: str | None = field(default=None)


class PollsNow(Protocol):
    """A service whose waits can be made to poll at once."""

    def poll_now(self, changed_id: str, /) -> None:
        """Poll it at once if something waits for it."""
        ...


class WaitingClient(Protocol):
    """The part of a `Planet` that a `WebhookEndpoint` uses."""

    @property
    def orders(self) -> PollsNow:
        """The orders."""
        ...

    @property
    def subscriptions(self) -> PollsNow:
        """The subscriptions."""
        ...


class WebhookEndpoint:
    """An ASGI application that ends the waits of a client as soon as Planet sends a notification.

        token = os.environ["WEBHOOK_TOKEN"]        # made once with secrets.token_urlsafe()
        app.mount("/planet", WebhookEndpoint(planet, token=token))

        webhook = Webhook(f"https://example.com/planet/{token}/orders", per_order=True)
        request = OrderRequest("field 7", products, notifications=Notifications(webhook=webhook))
        order = await planet.orders.create(request)
        order = await planet.orders.wait(order.id)      # ends with the notification

    Mount it in Starlette, FastAPI, or any ASGI server, in the event loop of the client.  It takes POST
    requests whose path ends with ``<token>/orders`` or ``<token>/subscriptions``; what comes before may
    differ.  A notification is never trusted: the wait reads the order or subscription again.

    Args:
        planet: The client whose waits poll at once.
        on_event: Called with each event.  It must not block; what it raises is logged, and the response is
            500.
        token: The secret in the path: at least 20 characters of A-Z, a-z, 0-9, - and _.  Servers write paths
            into their access logs.
        basic: The user and password that are required, instead of a token or besides.

    Raises:
        InvalidRequest: there is neither token nor basic, or one of them can be guessed or cannot work.
    """

    def __init__(
        self,
        planet: WaitingClient | None = None,
        on_event: Callable[[OrderEvent | SubscriptionEvent], object] | None = None,
        *,
        token: str | None = None,
        basic: tuple[str, str] | None = None,
    ) -> None:
        if planet is None and on_event is None:
            raise InvalidRequest("there is no one to notify: pass a client, on_event, or both")
        if token is None and basic is None:
            raise InvalidRequest("anybody could send notifications: pass a token, basic, or both")
        if on_event is not None and not callable(on_event):
            raise InvalidRequest(f"on_event must be a function, not {type_name(on_event)}")
        self._planet = planet
        self._on_event = on_event
        self._token = None if token is None else _checked_token(token)
        self._basic = None if basic is None else _checked_basic(basic)
        self._held = 0  # bytes of the bodies that are arriving

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request; see https://asgi.readthedocs.io."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            kind = self._admit(scope)
            await self._notify(kind, await self._body(scope, receive, _MOST_BYTES[kind]))
        except _Refused as refused:
            status, headers = refused.status, [(b"content-length", b"0"), *_HEADERS.get(refused.status, ())]
        except _HungUp:
            return
        else:
            status, headers = 204, []
        with suppress(OSError):  # the client has hung up
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": b""})

    def _admit(self, scope: Message) -> str:
        """Return what the notification is about; refuse it, in constant time, without the right secrets."""
        before, _, kind = str(scope["path"]).rstrip("/").rpartition("/")
        token = before.rpartition("/")[2]
        known = self._token is None or hmac.compare_digest(token.encode(errors="replace"), self._token)
        if not known or kind not in _MOST_BYTES:
            raise _Refused(404)
        if self._basic is not None:
            scheme, _, credential = _header(scope, b"authorization").partition(b" ")
            if not hmac.compare_digest(credential.strip(), self._basic) or scheme.lower() != b"basic":
                raise _Refused(401)
        if scope["method"] != "POST":
            raise _Refused(405)
        return kind

    async def _body(self, scope: Message, receive: Receive, most: int) -> SecretBytes:
        length = _header(scope, b"content-length")
        if length.isdigit() and (len(length) > len(str(most)) or int(length) > most):
            raise _Refused(413)
        body = bytearray()
        try:
            with anyio.move_on_after(_BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise _HungUp
                    chunk = message.get("body", b"")
                    body += chunk
                    self._held += len(chunk)
                    if len(body) > most:
                        raise _Refused(413)
                    if self._held > _MOST_HELD:
                        raise _Refused(503)
                    if not message.get("more_body", False):
                        return SecretBytes(body)
            raise _Refused(408)
        finally:
            self._held -= len(body)

    async def _notify(self, kind: str, body: SecretBytes) -> None:
        event: OrderEvent | SubscriptionEvent
        try:
            if kind == "orders":
                event = parse_order_notification(body)
                if self._planet is not None:
                    self._planet.orders.poll_now(event.order_id)
            else:
                event = parse_subscription_notification(body)
                if self._planet is not None:
                    self._planet.subscriptions.poll_now(event.subscription_id)
            if self._on_event is not None:
                result = self._on_event(event)
                if inspect.isawaitable(result):
                    await result
        except DecodeError as error:
            logger.warning("refused a notification: %s", error)
            raise _Refused(400) from None
        except Exception:
            logger.exception("a notification could not be handled")
            raise _Refused(500) from None


class _Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _HungUp(Exception):
    """The client hung up before the end of its request."""


def _header(scope: Message, wanted: bytes) -> bytes:
    return next((bytes(value) for name, value in scope["headers"] if name.lower() == wanted), b"")


def _checked_token(token: object) -> bytes:
    text = SecretStr(token) if isinstance(token, str) else ""
    if not _TOKEN.fullmatch(text) or _can_be_guessed(text):
        raise InvalidRequest("the token can be guessed, or is no part of a path: use secrets.token_urlsafe()")
    return SecretBytes(text.encode())


def _can_be_guessed(token: str) -> bool:
    steps = {ord(after) - ord(before) for before, after in pairwise(token)}
    return len(steps) < _LEAST_STEPS or len(zlib.compress(token.encode(), 9, -15)) < _LEAST_DEFLATED


def _checked_basic(basic: object) -> bytes:
    match basic:
        case (str(user), str(password)) if user and password and ":" not in user:
            with suppress(UnicodeEncodeError):
                return SecretBytes(base64.b64encode(f"{user}:{password}".encode()))
    raise InvalidRequest("basic must be a user without a colon, and a password")


async def _live(receive: Receive, send: Send) -> None:
    """Start and stop with the server, where it is the whole application."""
    kind = ""
    while kind != "lifespan.shutdown":
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})


# Parsing


def parse_order_notification(body: bytes) -> OrderEvent:
    """Parse the body of a notification about an order, in any of the three shapes that Planet has documented.

    They are the items of an order, a single item, whose name begins with the id, and the whole order.

        event = parse_order_notification(body)
        order = await planet.orders.get(event.order_id)

    Raises:
        DecodeError: it names no order.
    """
    _check_body(body)
    names = _decoded_names(body)
    order_id = _decoded_text(names.order_id) or _decoded_text(names.id)
    order_id = order_id or _folder(_decoded_text(names.name))
    if not order_id:
        raise DecodeError("`$.order_id` is missing: this is no notification of an order")
    event = OrderEvent(order_id)
    object.__setattr__(event, "_json", bytes(body))
    return event


def parse_subscription_notification(body: bytes) -> SubscriptionEvent:
    """Parse the body of a notification about a subscription; the id is searched wherever one may be.

    Raises:
        DecodeError: it names no subscription.
    """
    _check_body(body)
    parsed = parsed_object(body)
    objects = _objects(parsed)
    subscription_id = next(_ids(objects), None)
    if subscription_id is None:
        raise DecodeError("no id of a subscription was found: this is no notification of one")
    topics = (_text(each.get("topic")) for each in objects)
    event = SubscriptionEvent(subscription_id, next(filter(None, topics), None))
    object.__setattr__(event, "_json", bytes(body))
    object.__setattr__(event, "_parsed", parsed)
    return event


def _check_body(body: object) -> None:
    if not isinstance(body, bytes | bytearray | memoryview):
        raise InvalidRequest(f"the body of a notification must be bytes, not {type_name(body)}")


class _Names(msgspec.Struct):
    """The fields that may hold the id of an order; all others are skipped, not decoded."""

    order_id: msgspec.Raw = msgspec.Raw(b"null")
    id: msgspec.Raw = msgspec.Raw(b"null")
    name: msgspec.Raw = msgspec.Raw(b"null")


_decode_names = msgspec.json.Decoder(_Names).decode
_decode_text = msgspec.json.Decoder(str).decode


def _decoded_names(body: bytes) -> _Names:
    """Decode no more than the names: some megabytes of small lists would be hundreds as objects."""
    try:
        return _decode_names(body)
    except RecursionError:
        problem = "it is nested too deeply"
    except DECODE_ERRORS as error:
        problem = str(error)
    raise unreadable("`$`: expected a JSON object", problem, body)


def _decoded_text(json: msgspec.Raw) -> str | None:
    with suppress(*DECODE_ERRORS):
        text = _decode_text(json)
        return text if 0 < len(text) <= _LONGEST_ID else None
    return None


def _folder(name: str | None) -> str | None:
    """Return the id of an order that a name begins with; other folders are not orders."""
    found = _IN_FOLDER.match(name or "")
    return found and found[1]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _results(items: list[object]) -> Iterator[OrderResult]:
    for item in items:
        with suppress(DecodeError, RecursionError):
            yield decode(OrderResult, msgspec.json.encode(item))


def _objects(outermost: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return an object and all inside it, the outer ones first."""
    found = [outermost]
    for each in found:  # grows while it is iterated
        for value in each.values():
            inside = value if isinstance(value, list) else [value]
            found += [item for item in inside if isinstance(item, dict)]
    return found


def _ids(objects: list[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what may be the id of the subscription, the surest first; an `id` may be the message's own."""
    for each in objects:
        if found := _text(each.get("subscription_id")):
            yield found
    for each in objects:
        inside = each.get("subscription")
        if found := _text(inside.get("id") if isinstance(inside, dict) else inside):
            yield found
    for each in objects:
        if found := _text(each.get("id")):
            yield found
