"""What an order delivers: its files, their archives, and the manifest that lists them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from attrs import define, field

from planet_async.simulator.archives import zip_archive
from planet_async.simulator.bundles import ASSETS, choose
from planet_async.simulator.content import Content, Pixels
from planet_async.simulator.delivery_checks import cloud_of

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
