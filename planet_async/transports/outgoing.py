"""What every transport does with a request before it sends it."""

import re
from urllib.parse import urlencode

from planet_async.errors import ClientClosed, InvalidRequest
from planet_async.http import Request, origin

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")


def wire_address(request: Request) -> str:
    """Give the URL with the parameters joined to the query that it has, and what it has left verbatim.

    A signed URL holds only as it was signed.  Raises InvalidRequest for what is no address.
    """
    url = request.url
    if not origin(url)[1] or _UNPRINTABLE.search(url):
        raise not_an_address(request)
    if not request.params:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(request.params)}"


def not_an_address(request: Request, why: str = "") -> InvalidRequest:
    """Make the error; it does not repeat the address with its query."""
    return InvalidRequest(f"not a URL that can be requested{why and f' ({why})'}", request=request)


def transport_closed(request: Request) -> ClientClosed:
    """Make the error of a request that comes too late."""
    error = ClientClosed("the transport is closed", request=request, hint="Nothing was sent.")
    error.may_have_acted = False
    return error
