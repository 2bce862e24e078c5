"""The other origin: cloud storage with signed addresses, where the files of download orders are."""

import re
from collections.abc import Callable
from hashlib import blake2b
from urllib.parse import quote, unquote, urlencode

import anyio.to_thread

from planet_async.simulator.deliveries import Delivery, File
from planet_async.simulator.exchange import Answer, Call
from planet_async.simulator.world import World

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
_THREAD_BYTES = 256 * 1024  # what can be read in less than a millisecond is read at once


class Storage:
    """Answers GET and HEAD for signed addresses, whole or in part.

    As signed addresses of cloud storage do, it refuses a request that also carries an `Authorization` header:
    that would be a credential given to a stranger.
    """

    def __init__(self, world: World, find: Callable[[str], Delivery]) -> None:
        self._world = world
        self._find = find

    def address(self, order_id: str, path: str, expires: int) -> str:
        """Give the signed address of a file."""
        name = f"/{order_id}/{path}"
        query = urlencode({"expires": expires, "signature": self._world.sign(name, expires)})
        return f"{self._world.storage_url}{quote(name)}?{query}"

    async def answer(self, call: Call) -> Answer:
        """Answer a request; what takes long to make is made in a thread."""
        path = unquote(call.path)
        if (refusal := self._refusal(call, path)) is not None:
            return refusal
        order_id, _, name = path[1:].partition("/")
        delivery = self._find(order_id)
        file = delivery.by_path[name]
        if not file.made and delivery.heavy > _THREAD_BYTES:
            await anyio.to_thread.run_sync(lambda: file.content)
        return _part(call, file, blake2b(path.encode(), digest_size=8).hexdigest())

    def _refusal(self, call: Call, path: str) -> Answer | None:
        if call.method not in {"GET", "HEAD"}:
            answer = _error(405, "MethodNotAllowed")
            answer.headers["allow"] = "GET, HEAD"
            return answer
        if "authorization" in call.headers:
            return _error(400, "OnlyOneAuthMechanismAllowed")
        expires = call.param("expires")
        if not expires.isdigit() or call.param("signature") != self._world.sign(path, int(expires)):
            return _error(403, "SignatureDoesNotMatch")
        if int(expires) <= self._world.now():
            return _error(403, "ExpiredToken")
        return None


def _error(status: int, code: str) -> Answer:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code></Error>'
    return Answer(status, {"content-type": "application/xml"}, body.encode())


def _part(call: Call, file: File, tag: str) -> Answer:
    size = file.content.size
    etag = f'"{tag}"'
    headers = {"content-type": file.media_type, "accept-ranges": "bytes", "etag": etag}
    window = _RANGE.fullmatch(
        call.headers.get("range", "")
    )  # what is not understood is ignored: RFC 9110, 14.2
    if window is None or window.groups() == ("", "") or call.headers.get("if-range", etag) != etag:
        return Answer(200, headers, file.content)
    first, last = window.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= stop:
        answer = _error(416, "InvalidRange")
        answer.headers["content-range"] = f"bytes */{size}"
        return answer
    headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    return Answer(206, headers, file.content, start=start, stop=stop)
