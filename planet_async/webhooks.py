"""What Planet sends to a webhook, as events: `parse_order_notification`, `parse_subscription_notification`.

A notification is not signed, so it is a hint and no more: read the order or the subscription back before you
believe it.  `planet_async.webhooks` receives them, and tells whoever waits.
"""

import base64
import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from functools import cached_property
from typing import Any, Protocol

import msgspec
from attrs import field, frozen

from planet_async.errors import DecodeError, InvalidRequest
from planet_async.models.base import Resource
from planet_async.models.codec import decode
from planet_async.models.json import DECODE_ERRORS, parsed_object
from planet_async.models.orders import Order, OrderResult


@frozen(eq=False)
class OrderEvent(Resource):
    """Something was said of an order: an item was delivered, or (`per_order`) the order has ended.

    `raw` is all that was said.  Parts other than the id are decoded when first read.
    """

    order_id: str

    @cached_property
    def order(self) -> Order | None:
        """The order as it stood, where the whole of it was sent; what is documented now is its items."""
        if not all(isinstance(value := self.raw.get(key), str) and value for key in ("id", "state")):
            return None
        return decode(Order, self._bytes())

    @cached_property
    def items(self) -> tuple[OrderResult, ...]:
        """The files that it is about; what has no name is left out.

        A `location` may begin with its query, ``?token=...``: the rest is the API's ``/download``.
        """
        if self.order is not None:
            told = self.order.links.get("results")
        else:
            told = self.raw.get("items", [self.raw])
        return tuple(_results(told)) if isinstance(told, list) else ()


@frozen(eq=False)
class SubscriptionEvent(Resource):
    """Something was said of a subscription.

    What Planet sends here is not documented: `topic`, such as ``delivery.success``, is there if it was found;
    `raw` is all that was said.
    """

    subscription_id: str
    topic: str | None = field(default=None)


class _Names(msgspec.Struct):
    """Where the id of an order may be; all else is skipped, which takes a tenth of the time."""

    order_id: Any = None
    id: Any = None
    name: Any = None


_IN_FOLDER = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/", re.IGNORECASE)

_names = msgspec.json.Decoder(_Names)


def parse_order_notification(body: bytes) -> OrderEvent:
    """Parse the body of an order's notification; all three shapes that Planet has documented will do.

    They are the items of an order, one item alone, whose name begins with the id, and the whole order.
    DecodeError where no order is named.

        event = parse_order_notification(body)
        order = await planet.orders.get(event.order_id)
    """
    try:
        names = _names.decode(body)
    except DECODE_ERRORS:
        names = msgspec.convert(parsed_object(body), _Names)  # says what is wrong
    order_id = _text(names.order_id) or _text(names.id) or _folder(names.name)
    if not order_id:
        raise DecodeError("`$.order_id` is missing: this is no notification of an order")
    event = OrderEvent(order_id)
    object.__setattr__(event, "_json", bytes(body))
    return event


def parse_subscription_notification(body: bytes) -> SubscriptionEvent:
    """Parse the body of a subscription's notification, whose shape is not documented.

    The id is looked for wherever one may be.  DecodeError where none is found.
    """
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


def _folder(name: object) -> str | None:
    """Give the id of an order that a name begins with; other folders are not orders."""
    found = _IN_FOLDER.match(name) if isinstance(name, str) else None
    return found and found[1]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _results(told: list[object]) -> Iterator[OrderResult]:
    for item in told:
        with suppress(DecodeError, RecursionError):
            yield decode(OrderResult, msgspec.json.encode(item))


def _objects(outermost: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Give an object and all inside it, the outer ones first."""
    found = [outermost]
    for each in found:  # grows on the way
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
        told = each.get("subscription")
        if found := _text(told.get("id") if isinstance(told, dict) else told):
            yield found
    for each in objects:
        if found := _text(each.get("id")):
            yield found


Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# An order of 500 items comes with a link for each of its files; what is not needed of them is only skipped.
_MOST_BYTES = {"orders": 8 * 1024**2, "subscriptions": 256 * 1024}
_TOKEN = re.compile(r"[A-Za-z0-9_-]{20,}", re.ASCII)
_ADVICE: dict[int, list[tuple[bytes, bytes]]] = {
    401: [(b"www-authenticate", b'Basic realm="planet"')],
    405: [(b"allow", b"POST")],
    413: [(b"connection", b"close")],  # the rest is not read
}

logger = logging.getLogger("planet_async")


class Noticing(Protocol):
    """A service whose waits can be told to look at something soon."""

    def poll_now(self, changed_id: str, /) -> None:
        """Take note; an id that nobody waits for costs nothing."""
        ...


class Notices(Protocol):
    """As much of a `Planet` as an endpoint needs."""

    @property
    def orders(self) -> Noticing:
        """The orders."""
        ...

    @property
    def subscriptions(self) -> Noticing:
        """The subscriptions."""
        ...


class WebhookEndpoint:
    """An ASGI application that ends the waits of a client as soon as Planet sends word.

    Mount it in Starlette, FastAPI, or any server of the kind, in the event loop of the client.  It answers
    POST on ``<token>/orders`` and ``<token>/subscriptions`` below wherever it is mounted; only the end of the
    path counts, so proxies may change the rest.  A notification is never trusted: the wait reads back what it
    is about.  `on_event` is called with each one too; it must not block, and what it raises is logged and
    answered with 500.

    Who may call it is known by a `token` in the path (at least 20 characters of A-Z, a-z, 0-9, - and _), by
    the user and password of `basic`, or by both: InvalidRequest without either.  Servers write paths into
    their access logs, and so the token; a password they do not.

        token = os.environ["WEBHOOK_TOKEN"]        # made once with secrets.token_urlsafe()
        app.mount("/planet", WebhookEndpoint(planet, token=token))

        webhook = Webhook(f"https://example.com/planet/{token}/orders", per_order=True)
        request = OrderRequest("field 7", products, notifications=Notifications(webhook=webhook))
        order = await planet.orders.create(request)
        order = await planet.orders.wait(order.id)      # ends with the notification
    """

    def __init__(
        self,
        planet: Notices | None = None,
        on_event: Callable[[OrderEvent | SubscriptionEvent], None] | None = None,
        *,
        token: str | None = None,
        basic: tuple[str, str] | None = None,
    ) -> None:
        if planet is None and on_event is None:
            raise InvalidRequest("a webhook endpoint needs a client or on_event: else it tells nobody")
        if token is None and basic is None:
            raise InvalidRequest(
                "a webhook endpoint needs a token or basic credentials: else anybody may call"
            )
        if token is not None and not _TOKEN.fullmatch(token):
            raise InvalidRequest(
                "the token can be guessed, or is no part of a path: take secrets.token_urlsafe()"
            )
        if basic is not None and (not all(basic) or ":" in basic[0]):
            raise InvalidRequest("basic must be a user without a colon, and a password")
        self._planet = planet
        self._on_event = on_event
        self._token = None if token is None else token.encode()
        self._basic = None if basic is None else base64.b64encode(":".join(basic).encode())

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
            self._tell(kind, await _body(scope, receive, _MOST_BYTES[kind]))
        except _Refused as refused:
            status, headers = refused.status, [(b"content-length", b"0"), *_ADVICE.get(refused.status, ())]
        except _Gone:
            return
        else:
            status, headers = 204, []
        try:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
        except OSError:  # the client has hung up
            return

    def _admit(self, scope: Message) -> str:
        """Give what it is about, or refuse who does not say the right words, in constant time."""
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

    def _tell(self, kind: str, body: bytes) -> None:
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
                self._on_event(event)
        except DecodeError as error:
            logger.warning("refused a notification: %s", error)
            raise _Refused(400) from None
        except Exception:
            logger.exception("a notification could not be handed on")
            raise _Refused(500) from None


class _Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Gone(Exception):
    """The client hung up before all was said."""


def _header(scope: Message, wanted: bytes) -> bytes:
    return next((bytes(value) for name, value in scope["headers"] if name.lower() == wanted), b"")


async def _body(scope: Message, receive: Receive, most: int) -> bytes:
    length = _header(scope, b"content-length")
    if length.isdigit() and (len(length) > len(str(most)) or int(length) > most):
        raise _Refused(413)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _Gone
        body += message.get("body", b"")
        if len(body) > most:
            raise _Refused(413)
        if not message.get("more_body", False):
            return bytes(body)


async def _live(receive: Receive, send: Send) -> None:
    """Start and stop with the server, where it is the whole application: there is nothing to do."""
    kind = ""
    while kind != "lifespan.shutdown":
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
