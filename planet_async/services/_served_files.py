"""Files whose name comes with the response: reports, and the assets of items."""

from email.message import Message
from pathlib import Path
from typing import Generic

from attrs import evolve

from planet_async.downloads.destination import Destination, Place_co
from planet_async.downloads.download import download
from planet_async.downloads.part_file import PART_ENDS
from planet_async.downloads.remote_file import OpenFile, ProgressCallback, RemoteFile, safe_path
from planet_async.errors import UnsafeName
from planet_async.http import Request, Response, Transport
from planet_async.services._api import Api

_LONGEST_NAME = 200  # bytes: file systems take 255, and `.part` needs room


class ServedFiles(Generic[Place_co]):
    """Downloads files to a destination under the names that came with their responses."""

    def __init__(
        self,
        api: Api,
        to: Destination[Place_co],
        *,
        overwrite: bool,
        at_once: int,
        progress: ProgressCallback | None,
    ) -> None:
        self._api = api
        self._to = to
        self._overwrite = overwrite
        self._at_once = at_once
        self._progress = progress
        self._taken: set[str] = set()

    async def fetch(self, file: RemoteFile, response: Response, otherwise: str) -> Place_co:
        """Download the file of a response.

        It is named `otherwise` where another one has its name: the server may name several alike, or one like
        another that still arrives.
        """
        name = file.name if self._taken.isdisjoint(_while_arriving(file.name)) else otherwise
        self._taken.update(_while_arriving(name))
        return await download(
            _OpenedFirst(self._api.transport, response),
            evolve(file, name=name, size=OpenFile(name, response).size),
            self._to,
            clock=self._api.clock,
            max_attempts=self._api.config.max_attempts,
            overwrite=self._overwrite,
            at_once=self._at_once,
            progress=self._progress,
        )


class _OpenedFirst:
    """A transport whose first response is there already: its headers say what to call the file.

    It is of use only for the whole file: where a part is requested, because the rest has arrived before, it
    is closed.
    """

    def __init__(self, inner: Transport, response: Response) -> None:
        self._inner = inner
        self._response: Response | None = response

    async def send(self, request: Request) -> Response:
        """Return that response, or send the request."""
        response, self._response = self._response, None
        if response is not None and "range" in request.headers:
            await response.aclose()
            response = None
        return response or await self._inner.send(request)

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()


def served_name(response: Response) -> str:
    """Return the file name of the response's headers, or "" where there is none that is safe and plain."""
    header = Message()
    header["content-disposition"] = response.headers.get("content-disposition", "")
    return plain_name(header.get_filename() or "")


def plain_name(name: str) -> str:
    """Return the name of a file, or "" where it is not a safe and plain one."""
    try:
        is_plain = safe_path(Path(), name) == Path(name)
    except UnsafeName:
        return ""
    is_plain = is_plain and "/" not in name and not name.startswith(".")
    return name if is_plain and len(name.encode(errors="replace")) <= _LONGEST_NAME else ""


def _while_arriving(name: str) -> set[str]:
    return {(name + end).casefold() for end in ("", *PART_ENDS)}
