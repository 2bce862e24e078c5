"""What is secret, and how it is kept from what is shown."""

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from html import escape
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from planet_async.errors import InvalidRequest
from planet_async.http import Request

_SHORTEST = 8  # characters: no secret is shorter, and many a word is no longer
_TOKEN = 20  # characters: no word of an address is that long
_KEYS = frozenset(
    {
        *("aws_access_key_id", "aws_secret_access_key", "sas_token", "credentials"),
        *("customer_access_key_id", "customer_secret_key", "access_key_id", "secret_access_key"),
    }
)


def masked(text: str, secrets: Iterable[str]) -> str:
    """Give the text with dots in the place of each secret, in whatever way its characters are written."""
    known = sorted({secret for secret in secrets if len(secret) >= _SHORTEST}, key=len, reverse=True)
    patterns = [
        pattern for secret in known for pattern in (re.escape(secret), "".join(map(_any_form, secret)))
    ]
    return re.sub("|".join(patterns), "...", text) if patterns else text


@cache
def _any_form(character: str) -> str:
    """Give the pattern of a character as it is, or as JSON, addresses (twice, too) and HTML write it."""
    plain = re.escape(character)
    if character.isascii() and character.isalnum():
        return plain
    number, units = ord(character), character.encode("utf-16-be", "surrogatepass").hex()
    forms = {
        re.escape(escape(character)),
        re.escape(msgspec.json.encode(character).decode()[1:-1]),
        "".join(rf"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)),
        f"%(?:25)*{number:02x}" if character.isascii() else quote(character).replace("%", "%(?:25)*"),
        f"&#(?:{number}|x0*{number:x});",
    }
    plainer = [r"\\?" + plain, *([r"\+"] if character == " " else [])]
    # Atomic, the plain ones last: of two that fit, a long text would see all combinations tried.
    return f"(?>(?i:{'|'.join([*sorted(forms - {plain}), *plainer])}))"


def credential_of(request: Request) -> tuple[str, ...]:
    """Give what a signed request holds that is secret: what stands in its header, and what Basic hides."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return (value,)
    values = value, value.rstrip("=")
    try:
        return *values, *b64decode(value).decode().split(":")
    except ValueError:
        return values


def secrets_in(body: bytes | None) -> tuple[str, ...]:
    """Give the secrets in a request's body: those of deliveries, and of the address of a webhook."""
    try:
        return tuple(_secrets(msgspec.json.decode(body or b"null")))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()


def _secrets(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inside in value.items():
            if key in _KEYS and isinstance(inside, str):
                yield inside
            elif key == "webhook" and isinstance(inside, dict):
                yield from _secrets_of_address(inside.get("url"))
            else:
                yield from _secrets(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from _secrets(inside)


def _secrets_of_address(url: object) -> Iterator[str]:
    """Yield user and password, the query, and what is a token in the path."""
    if not isinstance(url, str):
        return
    authority, _, rest = url.partition("://")[2].partition("/")
    user, _, password = authority.rpartition("@")[0].partition(":")
    path, _, query = rest.partition("?")
    yield from (unquote(user), unquote(password), query)
    yield from (unquote(part) for part in path.split("/") if len(part) >= _TOKEN)


REDACTED = "<REDACTED>"
"""What the API shows in the place of a secret."""

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
