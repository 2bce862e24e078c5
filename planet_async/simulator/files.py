"""The files of an order: their archives, the manifest, and the storage."""

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal, get_args
from urllib.parse import quote, unquote, urlencode

import anyio.to_thread
import msgspec
from attrs import define, field

from planet_async.simulator.catalog import ASSETS, choose_bundle, is_for_cloud, is_zipped
from planet_async.simulator.context import Context, after
from planet_async.simulator.http import Content, Pixels, ServerRequest, ServerResponse

MANIFEST = "manifest.json"

ManifestKind = Literal["complete", "absent", "missing_entry"]
MANIFESTS: Sequence[ManifestKind] = get_args(ManifestKind)

TEXTS: Mapping[str, tuple[str, str]] = {"xml": (".xml", "text/xml"), "rpc": (".txt", "text/plain")}
"""The ending and the media type of assets that are texts, by how their type ends."""

_QUADS = tuple(f"{column}-{row}" for column in (716, 717) for row in (1226, 1227))  # of any geometry
_ARCHIVE = "{{name}}_{{order_id}}.zip"  # the default is not documented [L]
_THREAD_BYTES = 256 * 1024  # what can be read in less than a millisecond is read in the event loop


@define
class File:
    """One file; its content is made when it is first needed."""

    path: str
    media_type: str
    make: Callable[[], Content] = field(repr=False)
    annotations: Mapping[str, str] = field(factory=dict)
    headers: Mapping[str, str] = field(factory=dict)
    _content: Content | None = field(default=None, init=False, repr=False)

    @property
    def is_made(self) -> bool:
        return self._content is not None

    @property
    def content(self) -> Content:
        if self._content is None:
            self._content = self.make()
        return self._content


class Folder:
    """Files in the storage, by path; `heavy` bytes are read to make the heaviest of them."""

    def __init__(self, files: Iterable[File], heavy: int = 0) -> None:
        self.files: Sequence[File] = [*files]
        self.by_path: dict[str, File] = {file.path: file for file in self.files}
        self.heavy = heavy


def raster(seed: str, size: int) -> Content:
    """Return noise that begins like a little-endian TIFF."""
    return Content(b"II*\0"[:size], Pixels(seed.encode(), max(0, size - 4)))


def deliver(
    order_id: str,
    order: Mapping[str, Any],
    *,
    file_bytes: int,
    partial: bool = False,
    manifest: ManifestKind = "complete",
) -> Folder:
    """Return the files of an order, manifest last; a delivery to a cloud has no link to that [L]."""

    def image(path: str, about: Mapping[str, str]) -> File:
        return File(path, "image/tiff", lambda: raster(f"{order_id}/{path}", file_bytes), about)

    made = (_quads if order.get("source_type") == "basemaps" else _scenes)(order, image)
    loose = list({file.path: file for file in made}.values())  # an item may be in two bundles
    lost = _last_item(loose) if partial else ""
    files = [file for file in loose if file.annotations.get("planet/item_id") != lost]
    heavy = file_bytes * len(files)
    if is_zipped(order):
        files = _archived(order_id, order, files)
    if not is_for_cloud(order) and manifest != "absent":
        files = [*files, _manifest(files, manifest)]
    return Folder(files, heavy)


Image = Callable[[str, Mapping[str, str]], File]


def _scenes(order: Mapping[str, Any], image: Image) -> Iterator[File]:
    composite = any("composite" in tool for tool in order.get("tools", ()))
    for product in order["products"]:
        item_type = product["item_type"]
        bundle = choose_bundle(product["product_bundle"], item_type) or ""
        for item in product["item_ids"]:
            about = {"planet/item_id": item, "planet/item_type": item_type}
            metadata = f"{item_type}/{item}_metadata.json"
            yield File(metadata, "application/json", _item_metadata(item, item_type), about)
            for asset in () if composite else ASSETS[bundle][item_type]:
                described = {**about, "planet/asset_type": asset, "planet/bundle_type": bundle}
                start = f"{item_type}/{item}_{asset}"
                if text := TEXTS.get(asset.rpartition("_")[2]):
                    yield File(start + text[0], text[1], _text(f"{asset} of {item}\n"), described)
                else:
                    yield image(f"{start}.tif", described)
    if composite:
        # With `group_by: strip_id` there is one for each strip, but the strips are not known here.
        yield from (image(path, {}) for path in ("composite.tif", "composite_udm.tif"))


def _quads(order: Mapping[str, Any], image: Image) -> Iterator[File]:
    for product in order["products"]:
        mosaic = product["mosaic_name"]
        for quad in product.get("quad_ids", _QUADS):
            about = {"planet/item_id": quad, "planet/item_type": mosaic}
            for asset, ending in (("quad", "quad"), ("udm", "ortho_udm2")):
                yield image(f"{mosaic}/{quad}_{ending}.tif", {**about, "planet/asset_type": asset})


def _last_item(files: Sequence[File]) -> str:
    """Return the item that a partial order lacks; an order of one item lacks none."""
    items = list(dict.fromkeys(file.annotations["planet/item_id"] for file in files if file.annotations))
    return items[-1] if len(items) > 1 else ""


def _item_metadata(item: str, item_type: str) -> Callable[[], Content]:
    ring = [[18.2, -33.9], [18.6, -33.9], [18.4, -33.7], [18.2, -33.9]]
    feature = {
        "id": item,
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"item_type": item_type, "cloud_cover": 0, "provider": "simulator"},
    }
    return lambda: Content(msgspec.json.encode(feature))


def _text(text: str) -> Callable[[], Content]:
    return lambda: Content(text.encode())


def _archived(order_id: str, order: Mapping[str, Any], files: Sequence[File]) -> list[File]:
    """Put all files into one archive, or those of each item into one of its own."""
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
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for file in (*files, _manifest(files, folder="files/")):
                path = file.path if file.path == MANIFEST else f"files/{file.path}"
                # Without a date the archive is the same each time.
                archive.writestr(zipfile.ZipInfo(path), b"".join(file.content.chunks()))
        return Content(buffer.getvalue())

    return File(name, "application/zip", make)


def _manifest(files: Sequence[File], kind: ManifestKind = "complete", folder: str = "") -> File:
    def make() -> Content:
        entries = [
            {
                "path": folder + file.path,
                "media_type": file.media_type,
                "size": file.content.size,
                "digests": file.content.digests("md5", "sha256"),
                "annotations": file.annotations,
            }
            for file in files[kind == "missing_entry" :]
        ]
        return Content(msgspec.json.encode({"name": "", "files": entries}))

    return File(MANIFEST, "application/json", make)


_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


class Storage:
    """Serves GET and HEAD for signed addresses, whole files or parts.

    As cloud storage does, it refuses a signed request that also has an `Authorization` header: that would be
    a credential sent to a stranger.
    """

    def __init__(self, context: Context, folder_of: Callable[[str], Folder]) -> None:
        self._context = context
        self._folder_of = folder_of

    def redirect(self, folder: str, path: str, expires: int | None = None) -> ServerResponse:
        """Redirect to a file, at an address that is valid until a moment: by default as long as a link."""
        if expires is None:
            expires = after(self._context.now(), self._context.link_seconds)
        name = f"/{folder}/{path}"
        query = urlencode({"expires": expires, "signature": self._context.sign(name, expires)})
        return ServerResponse(302, {"location": f"{self._context.storage_url}{quote(name)}?{query}"})

    async def respond(self, request: ServerRequest) -> ServerResponse:
        """Respond; what takes long to make is made in a thread."""
        path = unquote(request.path)
        if request.method not in {"GET", "HEAD"}:
            return _error(405, "MethodNotAllowed", allow="GET, HEAD")
        if "authorization" in request.headers:
            return _error(400, "OnlyOneAuthMechanismAllowed")
        expires = request.param("expires")
        if not expires.isdigit() or request.param("signature") != self._context.sign(path, int(expires)):
            return _error(403, "SignatureDoesNotMatch")
        if int(expires) <= self._context.now():
            return _error(403, "ExpiredToken")
        name, _, rest = path[1:].partition("/")
        folder = self._folder_of(name)
        file = folder.by_path[rest]
        if not file.is_made and folder.heavy > _THREAD_BYTES:
            await anyio.to_thread.run_sync(lambda: file.content)
        return _part(request, file, blake2b(path.encode(), digest_size=8).hexdigest())


def _error(status: int, code: str, **headers: str) -> ServerResponse:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code></Error>'
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return ServerResponse(status, {"content-type": "application/xml", **headers}, body.encode())


def _part(request: ServerRequest, file: File, tag: str) -> ServerResponse:
    size = file.content.size
    etag = f'"{tag}"'
    headers = {"content-type": file.media_type, "accept-ranges": "bytes", "etag": etag, **file.headers}
    window = _RANGE.fullmatch(request.headers.get("range", ""))  # others are ignored: RFC 9110, 14.2
    if window is None or window.groups() == ("", "") or request.headers.get("if-range", etag) != etag:
        return ServerResponse(200, headers, file.content)
    first, last = window.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= stop:
        return _error(416, "InvalidRange", content_range=f"bytes */{size}")
    headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    return ServerResponse(206, headers, file.content, start=start, stop=stop)
