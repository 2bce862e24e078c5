"""`Entry`: what a ledger says of one request, and of the files that came of it."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from attrs import define, frozen

from planet_async.models.codec import decode
from planet_async.models.orders import Manifest


class Stage(StrEnum):
    """How far a request has come; after `SENDING` an order may exist whose id nobody has noted."""

    INTENDED = "intended"
    SENDING = "sending"
    ORDERED = "ordered"
    FINISHED = "finished"
    DOWNLOADED = "downloaded"
    FAILED = "failed"


@frozen
class KeptFile:
    """A file of an order: its path below the folder of the job, its size, and ``"sha256:..."``."""

    path: str
    size: int
    checksum: str = ""


@define
class Entry:
    """One request and what became of it; `sent` and `changed` are seconds since 1970."""

    name: str
    number: int = 0
    stage: Stage = Stage.INTENDED
    sent: float | None = None
    order_id: str | None = None
    order_state: str | None = None
    error: str | None = None
    error_type: str | None = None
    changed: float = 0.0
    files: tuple[KeptFile, ...] = ()


def kept_files(order_id: str, folder: Path, paths: Sequence[Path]) -> tuple[KeptFile, ...]:
    """Describe the files of an order, with the checksums of its manifest."""
    manifest = folder / order_id / "manifest.json"
    checksums: dict[Path, str] = {}
    if manifest in paths:
        for file in decode(Manifest, manifest.read_bytes()).files:
            found = [f"{name}:{file.digests[name]}" for name in ("sha256", "md5") if name in file.digests]
            checksums[manifest.parent / file.path] = (*found, "")[0]
    return tuple(
        KeptFile(path.relative_to(folder).as_posix(), path.stat().st_size, checksums.get(path, ""))
        for path in paths
    )


def paths_there(files: Sequence[KeptFile], folder: Path) -> tuple[Path, ...]:
    """Give the paths of the files if all are there, of the right size, else nothing."""
    paths = tuple(folder / file.path for file in files)
    try:
        return (
            paths
            if all(path.stat().st_size == file.size for path, file in zip(paths, files, strict=True))
            else ()
        )
    except OSError:
        return ()
