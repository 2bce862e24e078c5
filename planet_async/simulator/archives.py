"""Zip archives that are not held in memory: headers in bytes, with the contents of the members in between."""

import struct
from collections.abc import Mapping

from planet_async.simulator.content import Content, Part

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
