"""Files whose name comes with the response: reports, and the assets of items."""

from email.message import Message
from pathlib import Path

from planet_async.downloads.part_file import PART_ENDS
from planet_async.downloads.remote_file import safe_path
from planet_async.errors import UnsafeName
from planet_async.http import Request, Response, Transport

_LONGEST_NAME = 200  # bytes: file systems take 255, and `.part` needs room


class OpenedFirst:
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
    """Return the name that the server gives a file, or "" where it gives none that is safe and plain."""
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


def names_while_arriving(name: str) -> set[str]:
    """Return the names that a file and what is next to it have until it is there."""
    return {(name + end).casefold() for end in ("", *PART_ENDS)}
