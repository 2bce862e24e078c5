"""`Entry`: one request of a job and what became of it, and the rows in which ledgers keep entries."""

import hashlib
import zlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec
from attrs import astuple, define, field, frozen

from planet_async.databases.database import Row
from planet_async.redaction import redacted

VERSION = 2
"""Of the tables; version 1 was a file for one job at a time."""

UNFINISHED = "('intended', 'sending', 'ordered', 'finished')"
TABLES = (
    """CREATE TABLE planet_async_entries (
        number {number},
        hash TEXT NOT NULL,
        occurrence INTEGER NOT NULL,
        name TEXT NOT NULL,
        request TEXT NOT NULL,
        has_secrets INTEGER NOT NULL,
        owner TEXT,
        stage TEXT NOT NULL,
        sent DOUBLE PRECISION,
        sent_date DOUBLE PRECISION,
        order_id TEXT,
        order_state TEXT,
        error TEXT,
        error_type TEXT,
        changed DOUBLE PRECISION NOT NULL,
        delivered_to TEXT NOT NULL,
        files TEXT NOT NULL,
        checksum BIGINT NOT NULL,
        UNIQUE (hash, occurrence)
    )""",
    (
        "CREATE INDEX planet_async_entries_free ON planet_async_entries (number)"
        f" WHERE owner IS NULL AND stage IN {UNFINISHED}"
    ),
    "CREATE INDEX planet_async_entries_owned ON planet_async_entries (owner) WHERE owner IS NOT NULL",
    "CREATE TABLE planet_async_owners (owner TEXT PRIMARY KEY)",
)
# What the checksum of a row is of: all but its number, its owner, and the request, which the hash is of.
_CHECKED = (
    *("hash", "occurrence", "name", "has_secrets", "stage", "sent", "sent_date", "order_id", "order_state"),
    *("error", "error_type", "changed", "delivered_to", "files"),
)
_COLUMNS = (*_CHECKED, "request", "checksum")
INSERT = (
    f"INSERT INTO planet_async_entries ({', '.join(_COLUMNS)})"  # noqa: S608 - our own column names
    f" VALUES ({', '.join(f':{name}' for name in _COLUMNS)}) ON CONFLICT (hash, occurrence) DO NOTHING"
)
ASSIGN = ", ".join(f"{name} = :{name}" for name in (*_CHECKED, "checksum"))
"""What an UPDATE sets, from the columns of `to_row`."""

_HASH = 32  # hexadecimal digits of SHA-256


class Stage(StrEnum):
    """How far a request has come; the arrows between these are drawn in `planet_async.jobs.job`."""

    INTENDED = "intended"
    SENDING = "sending"
    ORDERED = "ordered"
    FINISHED = "finished"
    DOWNLOADED = "downloaded"
    FAILED = "failed"


@frozen
class KeptFile:
    """A file of an order: its path below the folder of the job, its size, and ``"sha256:..."``.

    `unverified` says that the manifest has no checksum that could be compared.
    """

    path: str
    size: int
    checksum: str = ""
    unverified: bool = False


@define
class Entry:
    """One request and what became of it; times are seconds since 1970.

    It is found by the `hash` of its request, without secrets, and by its `occurrence`: the n-th equal request
    of a list has the n-th entry of that hash.  `sent` is by the clock of the machine that sent it,
    `sent_date` by that of the service, None if that was unknown.  `delivered_to` is the cloud or the host of
    an order that has no files to download.  `has_secrets` says that the ledger does not have all of the
    request.
    """

    name: str
    number: int = 0
    stage: Stage = Stage.INTENDED
    sent: float | None = None
    sent_date: float | None = None
    order_id: str | None = None
    order_state: str | None = None
    error: str | None = None
    error_type: str | None = None
    changed: float = 0.0
    delivered_to: str = ""
    files: tuple[KeptFile, ...] = ()
    hash: str = field(default="", repr=False)
    occurrence: int = field(default=1, repr=False)
    has_secrets: bool = field(default=False, repr=False)
    has_ended: bool = field(default=False, eq=False, repr=False)  # for the job that took it


class DamagedError(Exception):
    """An entry read from a ledger differs from what was written."""


def stored(body: bytes) -> str:
    """Return the JSON of a request as a ledger keeps it: without secrets, and its fields in order."""
    return msgspec.json.encode(redacted(msgspec.json.decode(body)), order="sorted").decode()


def hash_of(text: str) -> str:
    """Return the hash of a stored request."""
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH]


def to_row(entry: Entry) -> dict[str, Any]:
    """Return the columns of an entry, but its number, its owner and its request."""
    row: dict[str, Any] = {
        **{name: getattr(entry, name) for name in _CHECKED},
        "has_secrets": int(entry.has_secrets),
        "stage": entry.stage.value,
        "files": msgspec.json.encode([astuple(file) for file in entry.files]).decode(),
    }
    row = {name: plain(value) if isinstance(value, str) else value for name, value in row.items()}
    row["checksum"] = _checksum(row)
    return row


def to_entry(row: Row) -> Entry:
    """Return the entry of a row.

    Raises:
        DamagedError: A value is not as it was written.
    """
    if _checksum(row) != row["checksum"]:
        raise DamagedError(f"entry {row['number']} is not as it was written")
    fields = {name: row[name] for name in ("number", *_CHECKED)}
    fields["stage"] = Stage(row["stage"])
    fields["files"] = tuple(KeptFile(*file) for file in msgspec.json.decode(row["files"]))
    fields["has_secrets"] = bool(row["has_secrets"])
    return Entry(**fields)


def checked_entry(row: Row) -> Entry:
    """Return the entry of a row, whose request is compared with its hash, too.  Raises: as `to_entry`."""
    if hash_of(str(row["request"])) != row["hash"]:
        raise DamagedError(f"the request of entry {row['number']} is not as it was written")
    return to_entry(row)


def plain(text: str) -> str:
    """Return a text without the character that PostgreSQL cannot hold."""
    return text.replace("\0", "\ufffd")


def _checksum(row: Mapping[str, Any]) -> int:
    return zlib.crc32(msgspec.json.encode([row[name] for name in _CHECKED]))
