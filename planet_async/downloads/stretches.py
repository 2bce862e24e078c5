"""`Stretch`: one of several pieces of a part file that arrive side by side.

How far each has come is noted in `NAME.part.ranges`, after the bytes themselves, so that a download that is
killed at any moment goes on from there.  The functions block, and are run in threads.
"""

import os
from pathlib import Path

PART_ENDS = (".part", ".part.ranges")
"""What the files beside a file that arrives are called, after its name."""

_LEAST = 32 << 20  # bytes: less than this is not divided
_PLACE = "{:020d}"
_NOTE = 42  # bytes: two places, a space and the end of the line


class Stretch:
    """The bytes of a file from `at`, before which all of it has arrived, to before `stop`."""

    def __init__(self, part: Path, number: int, at: int, stop: int) -> None:
        self._part = part
        self._number = number
        self.at = at
        self.stop = stop

    def write(self, data: bytes) -> None:
        """Add bytes where it goes on, and note that they are there; what lies beyond its end is dropped."""
        left = memoryview(data)[: self.stop - self.at]
        with self._part.open("r+b", buffering=0) as file:
            file.seek(self.at)
            while left:
                written = file.write(left)
                self.at += written
                left = left[written:]
        with _notes(self._part).open("r+b", buffering=0) as notes:
            notes.seek(self._number * _NOTE)
            notes.write(_PLACE.format(self.at).encode())


def divide(part: Path, size: int, ranges: int) -> list[Stretch]:
    """Give the stretches that an earlier run has left, or divide what is missing, where that is worth it.

    Without any, the part is an ordinary one, of which the beginning has arrived.
    """
    have = part.stat().st_size
    found = _noted(part, size) if have == size else None
    if found is not None:
        return found
    if ranges > 1 and size - have >= _LEAST:
        edges = [have + (size - have) * number // ranges for number in range(ranges + 1)]
        notes = "".join(
            f"{_PLACE.format(at)} {_PLACE.format(edges[n + 1])}\n" for n, at in enumerate(edges[:-1])
        )
        _notes(part).unlink(missing_ok=True)  # a link would lead elsewhere
        _notes(part).write_text(notes, newline="\n")
        os.truncate(part, size)
        return _noted(part, size) or []
    _notes(part).unlink(missing_ok=True)
    return []


def undivide(part: Path, *, whole: bool) -> None:
    """Make it an ordinary part again: all of it where it is `whole`, else an empty one."""
    if not whole:
        os.truncate(part, 0)  # before the notes are gone: a long part without any would look whole
    _notes(part).unlink(missing_ok=True)


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".ranges")


def _noted(part: Path, size: int) -> list[Stretch] | None:
    """Read the notes; None where there are none, or they make no sense."""
    try:
        lines = _notes(part).read_bytes().split(b"\n")[:-1]
        places = [(int(line[:20]), int(line[21:])) for line in lines]
    except (FileNotFoundError, ValueError):
        return None
    before = 0
    for at, stop in places:
        if not before <= at <= stop:
            return None
        before = stop
    return [Stretch(part, number, *place) for number, place in enumerate(places)] if before == size else None
