"""What every transport does with a request before it sends it."""

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from planet_async.errors import ClientClosed, InvalidRequest
from planet_async.http import Request, origin

_PORTS = {"http": 80, "https": 443}
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
_TARGET = re.compile(r"[^:]*://[^/?#]*([^#]*)")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})  # say so also where they have no body

Key = tuple[str, str, int]
"""Where a connection leads: scheme, host, port."""


def destination(request: Request) -> tuple[Key, str]:
    """Give where a request goes, and what it asks for there: path and query.

    The parameters are joined to the query that the URL has, and what it has is left verbatim where it is
    ASCII: a signed URL holds only as it was signed.  Raises InvalidRequest for what is no address.
    """
    url = request.url
    if _UNPRINTABLE.search(url):
        raise _not_an_address(request)
    try:
        if request.params:
            url = f"{url}{'&' if '?' in url else '?'}{urlencode(request.params)}"
        if not url.isascii():
            url = _in_ascii(url)
    except ValueError:
        raise _not_an_address(request) from None
    key, found = origin(url), _TARGET.match(url)
    if key[0] not in _PORTS or not key[1] or found is None:
        raise _not_an_address(request)
    return key, found[1] if found[1].startswith("/") else f"/{found[1]}"


def _in_ascii(url: str) -> str:
    place = urlsplit(url).netloc
    url = url.replace(place, place.encode("idna").decode("ascii"), 1)
    return _NOT_ASCII.sub(lambda found: quote(found[0]), url)


def fields(request: Request, key: Key) -> Mapping[str, str]:
    """Give the headers of a request, those that HTTP asks for included."""
    scheme, host, port = key
    name = f"[{host}]" if ":" in host else host
    found = {
        "host": name if port == _PORTS[scheme] else f"{name}:{port}",
        "accept-encoding": "identity",
        **request.headers,
    }
    if request.body or request.method in _WITH_LENGTH:
        found["content-length"] = str(len(request.body or b""))
    return found


def _not_an_address(request: Request) -> InvalidRequest:
    return InvalidRequest("not a URL that can be requested", request=request)  # and may not be shown


def transport_closed(request: Request) -> ClientClosed:
    """Make the error of a request that comes too late."""
    error = ClientClosed("the transport is closed", request=request, hint="Nothing was sent.")
    error.may_have_acted = False
    return error
