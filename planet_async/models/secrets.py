"""What must not be shown, and what the API does not show."""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit, urlunsplit

from planet_async.errors import InvalidRequest

REDACTED = "<REDACTED>"
"""What the API shows in the place of a secret."""


def outline(value: object) -> str:
    """Show no more of a mapping than its keys: there are secrets in it."""
    return (
        "{" + ", ".join(f"{key!r}: ..." for key in value) + "}" if isinstance(value, Mapping) else repr(value)
    )


def url_without_secrets(url: str) -> str:
    """Show an address without its user, password and query."""
    parts = urlsplit(url)
    return repr(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")))


def refuse_redacted(body: Mapping[str, object]) -> None:
    """Raise InvalidRequest where the API's stand-in for a secret would be sent in the place of the secret."""
    found = list(_redacted(body, "$"))
    if found:
        raise InvalidRequest(
            f"{', '.join(found)}: the API has blacked this out ({REDACTED}); nothing was sent",
            hint="Put the secret itself there, or leave the part out.",
        )


def _redacted(value: object, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inside in value.items():
            yield from _redacted(inside, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for index, inside in enumerate(value):
            yield from _redacted(inside, f"{path}[{index}]")
    elif isinstance(value, str) and REDACTED in value:
        yield path
