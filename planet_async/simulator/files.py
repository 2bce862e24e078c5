"""What an order delivers: its files, their archives, and the manifest that lists them."""

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any
from urllib.parse import quote, unquote, urlencode

import anyio.to_thread
import msgspec
from attrs import define, field

from planet_async.simulator.catalog import ASSETS, choose, cloud_of
from planet_async.simulator.http import Content, Part, Pixels, ServerRequest, ServerResponse
from planet_async.simulator.world import Context

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_VERSION = 20
_UTF8_NAMES = 0x800
_STORED = 0
_MIDNIGHT, _FIRST_DAY = 0, 0x21  # 1 January 1980: the archive is the same each time


def zip_archive(members: Mapping[str, Content]) -> Content:
    """Give a zip archive of the members, uncompressed.  Reads each once, for its checksum; up to 4 GB."""
    parts: list[Part] = []
    directory = b""
    offset = 0
    for path, content in members.items():
        name = path.encode()
        common = (
            _UTF8_NAMES,
            _STORED,
            _MIDNIGHT,
            _FIRST_DAY,
            content.crc32(),
            content.size,
            content.size,
            len(name),
            0,
        )
        header = _LOCAL.pack(b"PK\x03\x04", _VERSION, *common) + name
        directory += _CENTRAL.pack(b"PK\x01\x02", _VERSION, _VERSION, *common, 0, 0, 0, 0, offset) + name
        parts += [header, *content.parts]
        offset += len(header) + content.size
    end = _END.pack(b"PK\x05\x06", 0, 0, len(members), len(members), len(directory), offset, 0)
    return Content(*parts, directory + end)


MANIFEST = "manifest.json"

_QUADS = tuple(
    f"{column}-{row}" for column in (716, 717) for row in (1226, 1227)
)  # where only a geometry is given
_ARCHIVE = "{{name}}_{{order_id}}.zip"  # the default is not documented [L]
_KINDS = {"xml": (".xml", "text/xml"), "rpc": (".txt", "text/plain")}
_RASTER = (".tif", "image/tiff")


@define
class File:
    """One file of a delivery; its content is made when first asked for."""

    path: str
    media_type: str
    make: Callable[[], Content] = field(repr=False)
    annotations: Mapping[str, str] = field(factory=dict)
    _content: Content | None = field(default=None, init=False, repr=False)

    @property
    def made(self) -> bool:
        """Whether the content is there already."""
        return self._content is not None

    @property
    def content(self) -> Content:
        """The content, of which the first look can take a while: an archive reads all its members."""
        if self._content is None:
            self._content = self.make()
        return self._content


class Delivery:
    """The files of one order, manifest last; `heavy` bytes are read to make an archive or the manifest.

    A delivery to a cloud has no manifest link [L].
    """

    def __init__(self, order_id: str, order: Mapping[str, Any], *, file_bytes: int, partial: bool) -> None:
        self._order_id = order_id
        self._file_bytes = file_bytes
        self.to_cloud = cloud_of(order) is not None or "hosting" in order
        made = self._basemaps(order) if order.get("source_type") == "basemaps" else self._scenes(order)
        loose = list({file.path: file for file in made}.values())  # an item may come in two bundles
        lost = _last_item(loose) if partial else ""
        kept = [file for file in loose if file.annotations.get("planet/item_id") != lost]
        self.heavy = file_bytes * len(kept)
        files = _archived(order_id, order, kept) if "archive_type" in (order.get("delivery") or {}) else kept
        if not self.to_cloud:
            files = [*files, _manifest(files)]
        self.files: Sequence[File] = files
        self.by_path = {file.path: file for file in files}

    def _pixels(self, path: str) -> Callable[[], Content]:
        seed = f"{self._order_id}/{path}".encode()
        # Looks like a little-endian TIFF at its first bytes; the rest is noise.
        return lambda: Content(b"II*\0"[: self._file_bytes], Pixels(seed, max(0, self._file_bytes - 4)))

    def _scenes(self, order: Mapping[str, Any]) -> Iterator[File]:
        composite = any("composite" in tool for tool in order.get("tools", ()))
        for product in order["products"]:
            item_type = product["item_type"]
            bundle = choose(product["product_bundle"], item_type) or ""
            for item in product["item_ids"]:
                about = {"planet/item_id": item, "planet/item_type": item_type}
                yield File(
                    f"{item_type}/{item}_metadata.json",
                    "application/json",
                    _item_metadata(item, item_type),
                    about,
                )
                for asset in () if composite else ASSETS[bundle][item_type]:
                    ending, media_type = _KINDS.get(asset.rpartition("_")[2], _RASTER)
                    path = f"{item_type}/{item}_{asset}{ending}"
                    about = {**about, "planet/asset_type": asset, "planet/bundle_type": bundle}
                    make = self._pixels(path) if ending == ".tif" else _text(f"{asset} of {item}\n")
                    yield File(path, media_type, make, about)
        if composite:
            # With `group_by: strip_id` it is one of each a strip, but the strip of an item is not known here.
            for path in ("composite.tif", "composite_udm.tif"):
                yield File(path, "image/tiff", self._pixels(path))

    def _basemaps(self, order: Mapping[str, Any]) -> Iterator[File]:
        for product in order["products"]:
            mosaic = product["mosaic_name"]
            for quad in product.get("quad_ids", _QUADS):
                about = {"planet/item_id": quad, "planet/item_type": mosaic}
                for asset, path in (
                    ("quad", f"{mosaic}/{quad}_quad.tif"),
                    ("udm", f"{mosaic}/{quad}_ortho_udm2.tif"),
                ):
                    yield File(path, "image/tiff", self._pixels(path), {**about, "planet/asset_type": asset})


def _last_item(files: Sequence[File]) -> str:
    """Give the item that a partial order lacks; an order of one item lacks nothing."""
    items = list(dict.fromkeys(file.annotations["planet/item_id"] for file in files if file.annotations))
    return items[-1] if len(items) > 1 else ""


def _item_metadata(item: str, item_type: str) -> Callable[[], Content]:
    feature = {
        "id": item,
        "type": "Feature",
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[18.2, -33.9], [18.6, -33.9], [18.4, -33.7], [18.2, -33.9]]],
        },
        "properties": {"item_type": item_type, "cloud_cover": 0, "provider": "simulator"},
    }
    return lambda: Content(msgspec.json.encode(feature))


def _text(text: str) -> Callable[[], Content]:
    return lambda: Content(text.encode())


def _archived(order_id: str, order: Mapping[str, Any], files: Sequence[File]) -> list[File]:
    """Put all files in one archive, or those of each item in one of its own."""
    delivery = order["delivery"]
    if delivery.get("single_archive"):
        name = delivery.get("archive_filename") or _ARCHIVE
        name = name.replace("{{name}}", order["name"]).replace("{{order_id}}", order_id)
        return [_archive(name, files)]
    groups: dict[str, list[File]] = {}
    for file in files:
        groups.setdefault(file.annotations.get("planet/item_id", "composite"), []).append(file)
    return [_archive(f"{item}.zip", members) for item, members in groups.items()]


def _archive(name: str, files: Sequence[File]) -> File:
    def make() -> Content:
        manifest = _manifest(files, folder="files/")
        members = {f"files/{file.path}": file.content for file in files}
        return zip_archive({**members, manifest.path: manifest.content})

    return File(name, "application/zip", make)


def _manifest(files: Sequence[File], folder: str = "") -> File:
    def make() -> Content:
        entries = [
            {
                "path": folder + file.path,
                "media_type": file.media_type,
                "size": file.content.size,
                "digests": file.content.digests(),
                "annotations": file.annotations,
            }
            for file in files
        ]
        return Content(msgspec.json.encode({"name": "", "files": entries}))

    return File(MANIFEST, "application/json", make)


_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
_THREAD_BYTES = 256 * 1024  # what can be read in less than a millisecond is read at once


class Storage:
    """Answers GET and HEAD for signed addresses, whole or in part.

    As signed addresses of cloud storage do, it refuses a request that also carries an `Authorization` header:
    that would be a credential given to a stranger.
    """

    def __init__(self, world: Context, find: Callable[[str], Delivery]) -> None:
        self._world = world
        self._find = find

    def address(self, order_id: str, path: str, expires: int) -> str:
        """Give the signed address of a file."""
        name = f"/{order_id}/{path}"
        query = urlencode({"expires": expires, "signature": self._world.sign(name, expires)})
        return f"{self._world.storage_url}{quote(name)}?{query}"

    async def answer(self, call: ServerRequest) -> ServerResponse:
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

    def _refusal(self, call: ServerRequest, path: str) -> ServerResponse | None:
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


def _error(status: int, code: str) -> ServerResponse:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code></Error>'
    return ServerResponse(status, {"content-type": "application/xml"}, body.encode())


def _part(call: ServerRequest, file: File, tag: str) -> ServerResponse:
    size = file.content.size
    etag = f'"{tag}"'
    headers = {"content-type": file.media_type, "accept-ranges": "bytes", "etag": etag}
    window = _RANGE.fullmatch(
        call.headers.get("range", "")
    )  # what is not understood is ignored: RFC 9110, 14.2
    if window is None or window.groups() == ("", "") or call.headers.get("if-range", etag) != etag:
        return ServerResponse(200, headers, file.content)
    first, last = window.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= stop:
        answer = _error(416, "InvalidRange")
        answer.headers["content-range"] = f"bytes */{size}"
        return answer
    headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    return ServerResponse(206, headers, file.content, start=start, stop=stop)
