"""What was sent in confidence, and is not to be shown where the server repeats it."""

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from urllib.parse import quote_plus

import msgspec

from planet_async.http import Request

_SHORTEST = 8  # characters: no secret is shorter, and many a word is no longer
_KEYS = frozenset(
    {
        *("aws_access_key_id", "aws_secret_access_key", "sas_token", "credentials"),
        *("customer_access_key_id", "customer_secret_key", "access_key_id", "secret_access_key"),
    }
)


def masked(text: str, secrets: Iterable[str]) -> str:
    """Give the text with dots in the place of each secret."""
    forms = {form for secret in secrets for form in (secret, quote_plus(secret), secret.replace("/", r"\/"))}
    found = sorted((form for form in forms if len(form) >= _SHORTEST), key=len, reverse=True)
    return re.sub("|".join(map(re.escape, found)), "...", text) if found else text


def credential_of(request: Request) -> tuple[str, ...]:
    """Give what a signed request holds that is secret: what stands in its header, and what Basic hides."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return (value,)
    try:
        return value, *b64decode(value).decode().split(":")
    except ValueError:
        return (value,)


def secrets_in(body: bytes | None) -> tuple[str, ...]:
    """Give the secrets of the deliveries in a request's body."""
    try:
        return tuple(_secrets(msgspec.json.decode(body or b"null")))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()


def _secrets(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inside in value.items():
            if key in _KEYS and isinstance(inside, str):
                yield inside
            else:
                yield from _secrets(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from _secrets(inside)
