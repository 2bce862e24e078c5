"""The error bodies of four APIs and their gateways, read with no assumption that holds for all of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

_SHOWN = 200  # characters of a body of no known shape
_MESSAGE = 2_000  # characters; `field_errors` has the texts in full
_DEEPEST = 10  # a message is not wrapped more often, and Python does not like to go on

FieldErrors = Mapping[str, Sequence[str]]


def parse_error_body(body: bytes) -> tuple[str, FieldErrors]:
    """Give what a refusal says, in one line, and what it says of single fields.

    Known shapes: Orders' ``{"general": [...], "field": {...}}``, ``{"message": ...}``, Reports'
    ``{"reason": ...}``, ``{"error": ...}``, Tasking's ``{"detail": ...}`` and ``{"field": ["..."]}``;
    anything else (HTML, text, half a document) is shown by its first line.
    """
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _first_line(body), {}
    if not isinstance(data, dict):
        return _first_line(body), {}
    fields = _field_errors(data)
    said = [*_messages(data.get("general"))]
    said += [
        text for key in ("message", "reason", "error", "detail", "title") for text in _messages(data.get(key))
    ]
    said += [f"{name}: {text}" for name, texts in fields.items() for text in texts]
    return "; ".join(dict.fromkeys(said))[:_MESSAGE] or _first_line(body), fields


def _field_errors(data: Mapping[str, Any]) -> dict[str, list[str]]:
    nested = data.get("field")
    # Tasking (Django REST) has the fields at the top level.
    found = nested if isinstance(nested, dict) else {k: v for k, v in data.items() if isinstance(v, list)}
    texts = {str(name): _messages(value) for name, value in found.items() if name != "general"}
    return {name: value for name, value in texts.items() if value}


def _messages(value: object, depth: int = 0) -> list[str]:
    """Find the texts in a message, a list of them, or an object around one."""
    if isinstance(value, str):
        return [value.strip()] if value.strip() else []
    if depth > _DEEPEST:
        return []
    if isinstance(value, list):
        return [text for element in value[:20] for text in _messages(element, depth + 1)]
    if isinstance(value, dict):
        return _messages(value.get("message") or value.get("error") or value.get("detail"), depth + 1)
    return []


def _first_line(body: bytes) -> str:
    text = body[: 4 * _SHOWN].decode("utf-8", "replace").strip()
    line = text.splitlines()[0] if text else "(no text)"
    return line[:_SHOWN]
