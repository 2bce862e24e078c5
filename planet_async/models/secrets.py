"""What must not be shown, and what the API does not show."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from planet_async.errors import InvalidRequest

REDACTED = "<REDACTED>"
"""What the API shows in the place of a secret."""

_TOKEN = 20  # characters: no word of an address is that long

_SECRETS = frozenset(
    {
        *("aws_access_key_id", "aws_secret_access_key", "sas_token", "credentials"),
        *("customer_access_key_id", "customer_secret_key", "access_key_id", "secret_access_key"),
    }
)


def blacked_out(body: Any, path: tuple[str, ...] = ()) -> Any:
    """Give the JSON of a request without its secrets; the address of a webhook is one."""
    if isinstance(body, dict):
        return {key: blacked_out(value, (*path, key)) for key, value in body.items()}
    if isinstance(body, list):
        return [blacked_out(item, path) for item in body]
    is_secret = bool(path) and (path[-1] in _SECRETS or path[-2:] == ("webhook", "url"))
    return REDACTED if is_secret and isinstance(body, str) else body


def outline(value: object) -> str:
    """Show no more of a mapping than its keys: there are secrets in it."""
    return (
        "{" + ", ".join(f"{key!r}: ..." for key in value) + "}" if isinstance(value, Mapping) else repr(value)
    )


def url_without_secrets(url: str) -> str:
    """Show an address without its user, password and query, and without what is a token in its path."""
    scheme, mark, rest = re.split(r"[?#]", url, maxsplit=1)[0].partition("://")
    host, *path = rest.split("/")
    shown = ("..." if len(part) >= _TOKEN else part for part in path)
    return repr(scheme + mark + "/".join([host.rpartition("@")[2], *shown]))


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
