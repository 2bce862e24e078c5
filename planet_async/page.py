"""`Page`: one of those that a list comes in, read from its JSON; the dialects of the four APIs as data."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import compress
from typing import Any, Generic, TypeVar

import msgspec
from attrs import evolve, field, frozen

from planet_async.errors import DecodeError
from planet_async.http import Request, Response, http_date
from planet_async.models.json import DECODE_ERRORS, excerpt, unreadable

T = TypeVar("T")


@frozen
class PageShape:
    """A dialect: the key of the items, and where the address of the next page is; the first found counts."""

    items: str
    next: tuple[str, ...]


ORDERS_PAGES = PageShape("orders", ("_links.next",))
SUBSCRIPTIONS_PAGES = PageShape("subscriptions", ("_links.next", "_links._next"))
RESULTS_PAGES = PageShape("results", ("_links.next", "_links._next"))
TASKING_PAGES = PageShape("results", ("next",))
REPORTS_PAGES = PageShape("reports", ("_links._next", "_links.next"))


class _Body(msgspec.Struct, Generic[T]):
    """The body of a page in any dialect."""

    orders: list[T] | None = None
    subscriptions: list[T] | None = None
    results: list[T] | None = None
    reports: list[T] | None = None
    links: dict[str, Any] | None = msgspec.field(name="_links", default=None)
    next: str | None = None
    count: int | None = None


class _Identified(msgspec.Struct, gc=False):
    id: str | int | None = None


_decoder = msgspec.json.Decoder(_Body[msgspec.Raw])  # items stay undecoded until somebody wants them
_identify_all = msgspec.json.Decoder(_Body[_Identified]).decode
_identify = msgspec.json.Decoder(_Identified).decode
_LONGEST_LINK = 8_000  # characters; servers do not take longer ones


@frozen
class Page(Generic[T]):
    """One page: `items`, decoded when asked for, and `next`, the address of the one after it, or None.

    `count` is the number of items on all pages, where the API says so (Tasking).  `date` is the server's time
    of the answer, to the second, where it says so.
    """

    next: str | None
    count: int | None
    date: datetime | None
    _body: bytes = field(repr=False)
    _key: str = field(repr=False)
    _raw: list[msgspec.Raw] = field(repr=False)
    _decode: Callable[[msgspec.Raw], T] = field(repr=False)

    def __iter__(self) -> Iterator[T]:
        return map(self._decode, self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    @property
    def items(self) -> list[T]:
        """The items of this page."""
        return list(self)

    def repeats(self, earlier: "Page[T]") -> bool:
        """Tell whether it has the very items of an earlier page, though the list has not grown in between."""
        grown = (self.count or 0) > (earlier.count or 0)
        return bool(self._raw) and self._raw == earlier._raw and not grown  # noqa: SLF001 - its own kind

    def ids(self) -> list[str | None]:
        """Give the id of each item, None where it has none, without decoding more of it."""
        try:
            items: list[_Identified] = getattr(_identify_all(self._body), self._key)
        except DECODE_ERRORS:
            items = []
        if len(items) != len(self._raw):  # one is odd, or some are left out
            return [_id_of(item) for item in self._raw]
        return [None if item.id is None else str(item.id) for item in items]

    def only(self, wanted: Sequence[bool]) -> "Page[T]":
        """Give the page without the items that are not wanted."""
        return self if all(wanted) else evolve(self, raw=[*compress(self._raw, wanted)])


def _id_of(item: msgspec.Raw) -> str | None:
    try:
        found = _identify(item).id
    except DECODE_ERRORS:
        return None  # whoever looks at the item is told what is wrong with it
    return None if found is None else str(found)


async def read_page(
    response: Response, request: Request, shape: PageShape, decode: Callable[[msgspec.Raw, Request], T]
) -> Page[T]:
    """Read the answer to a request for a page; DecodeError where it is none."""
    body = await response.read()
    try:
        content = _decoder.decode(body)
    except DECODE_ERRORS as error:
        raise unreadable(
            "not a page of a list",
            str(error),
            body,
            request=request,
            content_type=response.headers.get("content-type", ""),
        ) from None
    raw: list[msgspec.Raw] | None = getattr(content, shape.items)
    if raw is None:
        raise DecodeError(f"a page without `{shape.items}`; {excerpt(body)}", request=request)
    return Page(
        _next(content, shape, request),
        content.count,
        http_date(response.headers.get("date")),
        body,
        shape.items,
        raw,
        lambda item: decode(item, request),
    )


def _next(content: _Body[msgspec.Raw], shape: PageShape, request: Request) -> str | None:
    for path in shape.next:
        link = content.next if path == "next" else (content.links or {}).get(path.removeprefix("_links."))
        if link and (not isinstance(link, str) or len(link) > _LONGEST_LINK):
            raise DecodeError(f"`{path}` of the page is no address", request=request)
        if link:
            return str(link)
    return None
