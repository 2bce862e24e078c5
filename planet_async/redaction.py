"""Secrets, and how they are kept out of errors, logs, reprs and ledgers.

A field whose value is secret is marked where it is declared:

    sas_token: str = field(repr=False, metadata=SECRET)

Each request record enters its marked fields into the one table here (`add_secret_fields`).  `secrets_in` and
`redact` read it for texts of a server that repeats what it was sent, `redacted` for what a ledger keeps.  A
field is secret by its name, wherever in a body that name stands.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from html import escape
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

import attrs
import msgspec

from planet_async.errors import InvalidRequest
from planet_async.http import Request, Response, SecretStr, without_query

REDACTED = "<REDACTED>"
"""The text that the API shows in place of a secret."""

_MARK = "planet_async.secret"
SECRET: Mapping[str, str] = {_MARK: "text"}
"""Metadata of a field whose value is secret."""
SECRET_URL: Mapping[str, str] = {_MARK: "url"}
"""Metadata of a field whose value is a URL that holds secrets: user, password, query, tokens in the path."""

_secret_fields: dict[str, str] = {}  # the kind of secret by the name of the field

_SHORTEST = 8  # characters: no secret is shorter, and many a word is no longer
_TOKEN = 20  # characters: no word of an address is that long
_QUERY = re.compile(r"\?[^\s\"'<>]*")  # a link to a file holds a token there
_WORD = r"[^\s\"'<>{}\[\],:;=]"
_LONG = re.compile(f"(?<!{_WORD})(?!//){_WORD}{{{_TOKEN},}}")  # no word, and every credential
_LINK = re.compile(r"https?://|\?", re.IGNORECASE)  # or only its query, as in some responses
_ALPHANUMERIC = re.compile("[A-Za-z0-9]+")
_HOST = r"(?:[\w.-]*|\[[\da-fA-F:.]+\])(?::\d*)?"
_DATABASE = re.compile(rf"(postgres(?:ql)?://)(?:[^@/?#]*@)?({_HOST}(?:,{_HOST})*(?:/[\w.-]*)?)(?:\?[^@]*)?")
_GO_ESCAPES = str.maketrans({"&": r"\u0026", "<": r"\u003c", ">": r"\u003e"})


def is_secret(field: "attrs.Attribute[Any]") -> bool:
    """Return whether a field is marked as secret."""
    return _MARK in field.metadata


def add_secret_fields(fields: "Iterable[attrs.Attribute[Any]]") -> None:
    """Enter the fields that are marked as secret into the table."""
    for field in filter(is_secret, fields):
        if field.repr is True:
            raise TypeError(f"the field {field.name} is secret: its repr must not show it")
        _secret_fields[field.name] = field.metadata[_MARK]


# What was sent


def secrets_in(body: bytes | None) -> tuple[str, ...]:
    """Return the secrets in the JSON body of a request."""
    try:
        texts = [*_texts(msgspec.json.decode(body or b"null"))]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    secrets: list[str] = []
    for _, key, text in texts:
        kind = _secret_fields.get(key)
        secrets += _secrets_of_url(text) if kind == "url" else [text] if kind else []
    return tuple(map(SecretStr, secrets))


def _texts(value: object, path: str = "$", key: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield each text in JSON, with its path and the name of its field."""
    if isinstance(value, Mapping):
        for name, inside in value.items():
            yield from _texts(inside, f"{path}.{name}", name)
    elif isinstance(value, list | tuple):
        for index, inside in enumerate(value):
            yield from _texts(inside, f"{path}[{index}]")
    elif isinstance(value, str):
        yield path, key, value


def _secrets_of_url(url: str) -> Iterator[str]:
    address, _, query = url.partition("://")[2].partition("?")
    authority, _, path = address.partition("/")
    user, _, password = authority.rpartition("@")[0].partition(":")
    for part in (user, password, query, *(part for part in path.split("/") if len(part) >= _TOKEN)):
        yield from (part, unquote(part))


def secrets_of_link(url: str) -> tuple[str, ...]:
    """Return what is secret in a link to a file: its query, and the values in it."""
    query = urlsplit(url).query
    return tuple(map(SecretStr, (query, *(value for _, value in parse_qsl(query)))))


def secrets_of_authorization(authorization: str) -> tuple[str, ...]:
    """Return what is secret in an Authorization: all of it, the part after its scheme, what Basic encodes."""
    scheme, _, value = authorization.partition(" ")
    found = [authorization, value, value.rstrip("=")]
    if scheme.lower() == "basic":
        with suppress(ValueError):
            found += b64decode(value).decode().split(":")
    return tuple(map(SecretStr, found))


def secrets_of_signature(signed: Request, unsigned: Request) -> tuple[str, ...]:
    """Return what is secret in a signed request: what was added to its headers and to its address."""
    found = set(signed.headers.values()).difference(unsigned.headers.values())
    if signed.url != unsigned.url:
        found.update(value for _, value in parse_qsl(urlsplit(signed.url).query))
    return (*map(SecretStr, found), *secrets_of_authorization(signed.headers.get("authorization", "")))


# What is shown


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return the text with dots in place of each secret, however servers and gateways write it."""
    forms = {form for secret in _possible(secrets, text) for form in _forms(secret)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "...")
    return text


def redact_response(response: Response, secrets: Sequence[str]) -> Response:
    """Return a response whose headers show none of the secrets, and whose errors are to show none, either.

    Errors quote some headers, and logs of users all of them; a server or a gateway may repeat in any of them
    what it was sent.
    """
    response.secrets = tuple(secrets)
    if _possible(secrets, "\n".join(response.headers.values())):
        response.headers = {name: redact(value, secrets) for name, value in response.headers.items()}
    return response


def _possible(secrets: Iterable[str], text: str) -> list[str]:
    """Return the secrets that may be in a text in some form: letters and digits are the same in all forms."""
    return [
        secret
        for secret in secrets
        if len(secret) >= _SHORTEST and max(_ALPHANUMERIC.findall(secret), key=len, default="") in text
    ]


def _forms(secret: str) -> Iterator[str]:
    """Yield a text as it is, and as JSON, URLs and HTML write it."""
    in_json = json.dumps(secret, ensure_ascii=False)[1:-1]
    yield from (secret, in_json, json.dumps(secret)[1:-1], in_json.translate(_GO_ESCAPES), escape(secret))
    for safe in ("", "/"):
        yield quote(secret, safe, errors="replace")
        yield quote_plus(secret, safe, errors="replace")


def without_tokens(text: str) -> str:
    """Return a text of a server without the queries of URLs, and without what is too long to be a word."""
    return _LONG.sub("...", _QUERY.sub("?...", text))


def keys_only(value: object) -> str:
    """Return the repr of a value; of a mapping its keys only, since its values may be secret."""
    return (
        "{" + ", ".join(f"{key!r}: ..." for key in value) + "}" if isinstance(value, Mapping) else repr(value)
    )


def url_without_secrets(url: str) -> str:
    """Return the repr of a URL without its user, password and query, and without tokens in its path."""
    scheme, mark, rest = without_query(url).partition("://")
    shown = ("..." if len(part) >= _TOKEN else part for part in rest.split("/")[1:])
    return repr(scheme + mark + "/".join([rest.split("/")[0], *shown]))


def database_without_secrets(address: str) -> str:
    """Return the address of a database without its user, password and options."""
    parts = _DATABASE.fullmatch(address)
    # Where a character of a password is not encoded, a part of it looks like something else.
    return parts[1] + parts[2] if parts else "postgresql://..."


# What is kept, and what comes back


def redacted(body: Any) -> Any:
    """Return the JSON of a request with a placeholder in place of each secret."""
    if isinstance(body, dict):
        return {
            key: REDACTED if key in _secret_fields and isinstance(value, str) else redacted(value)
            for key, value in body.items()
        }
    return [redacted(item) for item in body] if isinstance(body, list) else body


def shareable(value: Any, key: str = "") -> Any:
    """Return JSON of a response as others may see it.

    Links have no query, which can be a signature, and no password.  A placeholder stands in place of secrets,
    so that they cannot be sent back by mistake.
    """
    if isinstance(value, dict):
        return {name: shareable(inside, name) for name, inside in value.items()}
    if isinstance(value, list):
        return [shareable(inside) for inside in value]
    if not isinstance(value, str) or not value:
        return value
    kind = _secret_fields.get(key)
    if kind == "url":
        for secret in sorted({*_secrets_of_url(value)} - {""}, key=len, reverse=True):
            value = value.replace(secret, REDACTED)
        return value
    if kind is not None:
        return REDACTED
    return without_query(value) if _LINK.match(value) else value


def refuse_redacted(body: Mapping[str, object], where: str = "") -> None:
    """Raise InvalidRequest where the API's placeholder would be sent in place of a secret."""
    found = [path for path, _, text in _texts(body) if REDACTED in text]
    if found:
        prefix = f"{where}: " if where else ""
        raise InvalidRequest(
            f"{prefix}{', '.join(found)}: the API has redacted this ({REDACTED}); nothing was sent",
            hint="Replace it with the secret, or remove this part.",
        )
