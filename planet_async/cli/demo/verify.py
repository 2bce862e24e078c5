"""The files on the disk against their manifests: read again and hashed again, apart from the library."""

import hashlib
import json
from pathlib import Path

from attrs import frozen


@frozen
class Verified:
    """How many files had the checksum of their manifest, their bytes, and what was wrong with others."""

    files: int = 0
    manifests: int = 0
    bytes: int = 0
    problems: tuple[str, ...] = ()

    def __add__(self, other: "Verified") -> "Verified":
        return Verified(
            self.files + other.files,
            self.manifests + other.manifests,
            self.bytes + other.bytes,
            self.problems + other.problems,
        )


def verify_order(folder: Path) -> Verified:
    """Hash all files below the folder of an order; those and no others must be in its manifest."""
    manifest = folder / "manifest.json"
    try:
        entries = {folder / entry["path"]: entry for entry in json.loads(manifest.read_bytes())["files"]}
        found = {path for path in folder.rglob("*") if path.is_file()} - {manifest}
        problems = [f"{path} is not in the manifest" for path in sorted(found - entries.keys())]
        problems += [f"{path} is missing" for path in sorted(entries.keys() - found)]
        good, size = 0, manifest.stat().st_size
        for path in sorted(found & entries.keys()):
            content = path.read_bytes()
            size += len(content)
            if hashlib.sha256(content).hexdigest() == entries[path]["digests"]["sha256"]:
                good += 1
            else:
                problems.append(f"{path} has another sha256 than its manifest says")
    except (OSError, ValueError, LookupError, TypeError) as error:
        return Verified(problems=(f"{manifest} cannot be checked: {error}",))
    return Verified(good, 1, size, tuple(problems))
