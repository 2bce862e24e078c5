"""A server that is faster than any client here: an event loop that answers with prepared bytes.

It has a process, and where the system can say so a core, of its own.

    /compute/ops/orders/v2/ID     an order; an ID that `with_files` made lists files to download
    /compute/ops/orders/v2        200 pages of 500 orders, or as many as `user_id` says
    /compute/ops/orders/v2?last_modified=...    a hundred more of those orders have succeeded, each time
    /data/v1/quick-search         10,000 items by POST, and on pages of 250 below /data/v1/searches
    /tasking/v2/orders/           100,000 orders by limit and offset
    /files/MEGABYTES/...          a file
"""

import asyncio
import hashlib
import multiprocessing
import os
import re
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from email.utils import formatdate
from functools import cache
from multiprocessing.connection import Connection
from typing import cast
from urllib.parse import parse_qs, urlsplit

import bodies
import msgspec

MEGABYTE = 1 << 20
TASKING_ORDERS = 100_000
ITEMS, ITEMS_PAGE = 10_000, 250
_ORDERS = "/compute/ops/orders/v2"
_DIFFERENT = 4  # pages of orders; a client may refuse the same one twice in a row
_SLICE = 1 << 17  # bytes that a limited connection gets at a time
_TIMERS = 0.002  # seconds that those of an event loop may be late
_WITH_FILES = "ffffffffffff"  # ends such an id
_HEAD_AND_FILE = 2  # parts of an answer that is a file

Parts = Sequence[bytes | memoryview]


def with_files(count: int, megabytes: int, *, checked: bool) -> str:
    """Return the id of an order that has so many files, and if `checked` a manifest of their checksums."""
    return f"{count:08x}-{megabytes:04x}-4000-800{checked:d}-{_WITH_FILES}"


@contextmanager
def raw_server(*, latency: float = 0.0, bytes_per_second: float = 0.0) -> Generator[str]:
    """Serve in a child process; each answer waits `latency` seconds, each connection has that rate."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=_serve, args=(there, latency, bytes_per_second), daemon=True)
    child.start()
    try:
        yield here.recv()
    finally:
        child.terminate()
        child.join()


def use_core(number: int) -> None:
    """Keep this process to one core: 0 is the server's, -1 the client's."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[number]})


def use_all_cores() -> None:
    """Let this process go where it likes, as one with threads of its own would."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


def _serve(connection: Connection, latency: float, bytes_per_second: float) -> None:
    use_core(0)
    with suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

    async def forever() -> None:
        site = _Site()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: _Connection(site, latency, bytes_per_second), "127.0.0.1", 0, backlog=300
        )
        site.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        connection.send(site.url)
        await server.serve_forever()

    with suppress(KeyboardInterrupt):
        asyncio.run(forever())


class _Connection(asyncio.Protocol):
    def __init__(self, site: "_Site", latency: float, bytes_per_second: float) -> None:
        self._site = site
        self._latency = latency
        self._pause = _SLICE / bytes_per_second if bytes_per_second else 0.0
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # that of uvloop is no subclass

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, rest = self._received.partition(b"\r\n\r\n")
            length = _length(head)
            if len(rest) < length:
                return
            self._received = rest[length:]
            if self._latency:
                due = time.perf_counter() + self._latency
                asyncio.get_running_loop().call_later(self._latency - _TIMERS, self._answer_at, due, head)
            else:
                self._answer(head)

    def _answer_at(self, due: float, head: bytes) -> None:
        while time.perf_counter() < due:
            pass
        self._answer(head)

    def _answer(self, head: bytes) -> None:
        parts = self._site.answer(head)
        if self._pause and len(parts) == _HEAD_AND_FILE:
            content = memoryview(parts[1])
            slices = (content[at : at + _SLICE] for at in range(0, len(content), _SLICE))
            self._trickle(parts[0], slices)
        else:
            for part in parts:
                self._transport.write(part)

    def _trickle(self, part: bytes | memoryview, rest: Iterator[memoryview]) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(part)
        following = next(rest, None)
        if following is not None:
            asyncio.get_running_loop().call_later(self._pause, self._trickle, following, rest)


class _Site:
    """What there is, by path; the heads and bodies that are asked for often are made once."""

    def __init__(self) -> None:
        self.url = ""
        self._finished = 0
        self._items = [bodies.orders_json(bodies.PAGE * number) for number in range(_DIFFERENT)]
        self._known: dict[bytes, Parts] = {}

    def answer(self, head: bytes) -> Parts:
        """Return the answer to a request, in parts."""
        line = head[: head.index(b"\r\n")]
        return self._known.get(line) or self._make(line, head)

    def _make(self, line: bytes, head: bytes) -> Parts:
        target = urlsplit(line.split(b" ")[1].decode())
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        kind, name = target.path.split("/")[1], target.path.rpartition("/")[2]
        if kind == "files":
            return self._file(int(target.path.split("/")[2]), head)
        if target.path == _ORDERS:
            return _json(*self._list(query))
        if kind == "data":
            return self._known.get(line) or self._search(line)
        if kind == "tasking":
            body = self._tasking(int(query.get("limit", 100)), int(query.get("offset", 0)))
        elif kind == "manifests":
            body = _manifest(name)
        else:
            body = self._order(name)
        self._known[line] = (b"".join(_json(body)),)
        return self._known[line]

    def _list(self, query: dict[str, str]) -> Sequence[bytes]:
        if "last_modified" in query:
            first, self._finished = self._finished, self._finished + 100
            return bodies.page_json(bodies.orders_json(first, 100, state="success"), None)
        page, pages = int(query.get("page", 1)), int(query.get("user_id", 200))
        following = f"{self.url}{_ORDERS}?user_id={pages}&page={page + 1}" if page < pages else None
        return bodies.page_json(self._items[page % _DIFFERENT], following)

    def _search(self, line: bytes) -> Parts:
        """Make all pages at once, when the search is begun."""
        for first in range(0, ITEMS, ITEMS_PAGE):
            following = first + ITEMS_PAGE
            links = {"_next": f"{self.url}/data/v1/searches/1/results?_page={following}"}
            body = b'{"_links":%b,"features":%b,"type":"FeatureCollection"}' % (
                msgspec.json.encode(links if following < ITEMS else {}),
                bodies.items_json(first, ITEMS_PAGE),
            )
            place = f"GET /data/v1/searches/1/results?_page={first} HTTP/1.1".encode() if first else line
            self._known[place] = (b"".join(_json(body)),)
        return self._known[line]

    def _order(self, id_: str) -> bytes:
        if not id_.endswith(_WITH_FILES):
            return msgspec.json.encode(bodies.order(7, id=id_))
        count, megabytes, checked = _files_of(id_)
        places = {f"{number}.tif": f"files/{megabytes}/{number}" for number in range(count)}
        if checked:
            places["manifest.json"] = f"manifests/{id_}"
        results = [
            {"name": f"{id_}/{name}", "delivery": "success", "location": f"{self.url}/{place}"}
            for name, place in places.items()
        ]
        fields = {"state": "success", "delivery": {}, "hosting": None, "_links": {"results": results}}
        return msgspec.json.encode(bodies.order(7, id=id_, **fields))

    def _tasking(self, limit: int, offset: int) -> bytes:
        end = min(offset + limit, TASKING_ORDERS)
        following = f"{self.url}/tasking/v2/orders/?limit={limit}&offset={end}"
        page = {
            "count": TASKING_ORDERS,
            "next": following if end < TASKING_ORDERS else None,
            "previous": None,
            "results": [bodies.tasking_order(number) for number in range(offset, end)],
        }
        return msgspec.json.encode(page)

    def _file(self, megabytes: int, head: bytes) -> Parts:
        content = memoryview(_content(megabytes))
        wanted = [line for line in head.split(b"\r\n") if line.lower().startswith(b"range: bytes=")]
        if not wanted:
            return _head("200 OK", len(content), 'etag: "made-up"\r\naccept-ranges: bytes\r\n'), content
        start, _, end = wanted[0].partition(b"=")[2].decode().partition("-")
        first, last = int(start), int(end) if end else len(content) - 1
        span = f'content-range: bytes {first}-{last}/{len(content)}\r\netag: "made-up"\r\n'
        return _head("206 Partial Content", last + 1 - first, span), content[first : last + 1]


def _length(head: bytes) -> int:
    """Return how many bytes of a body follow a head."""
    found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return int(found[1]) if found else 0


def _files_of(id_: str) -> tuple[int, int, bool]:
    return int(id_[:8], 16), int(id_[9:13], 16), id_[22] == "1"


@cache
def _manifest(id_: str) -> bytes:
    count, megabytes, _ = _files_of(id_)
    size, digests = megabytes * MEGABYTE, {"sha256": hashlib.sha256(_content(megabytes)).hexdigest()}
    files = [{"path": f"{number}.tif", "size": size, "digests": digests} for number in range(count)]
    return msgspec.json.encode({"name": "", "files": files})


@cache
def _content(megabytes: int) -> bytes:
    return os.urandom(MEGABYTE) * megabytes


def _json(*parts: bytes) -> Parts:
    length = sum(map(len, parts))
    return _head("200 OK", length, "content-type: application/json\r\n"), *parts


def _head(status: str, length: int, more: str) -> bytes:
    date = formatdate(usegmt=True)
    return f"HTTP/1.1 {status}\r\ndate: {date}\r\n{more}content-length: {length}\r\n\r\n".encode()
