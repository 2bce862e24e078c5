"""Records that are written ``{"type": "clip", "parameters": {...}}``, as the Subscriptions API does.

They are the records of the Orders API, which there are written ``{"clip": {...}}``.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from cattrs import ClassValidationError

from planet_async.models.structure import Hook, Unexpected, converter, noted


class Block(Protocol):
    """A record that knows the name of its kind."""

    @property
    def block(self) -> str:
        """The name of the kind."""
        ...

    def set_fields(self) -> dict[str, object]:
        """Give the fields that are not None."""
        ...


def typed(record: Block) -> dict[str, object]:
    """Write a record as its type and parameters."""
    return {"type": record.block, "parameters": record.set_fields()}


def typed_hook(base: type, known: Mapping[str, type]) -> Hook:
    """Structure what has a type and parameters as the record of that type; one unknown here stays."""

    def structure(value: object, _: object) -> object:
        if not isinstance(value, Mapping):
            raise Unexpected("an object", value)
        wrong: list[Exception] = []
        name, parameters = value.get("type"), value.get("parameters", {})
        if not isinstance(name, str) or not name:
            wrong.append(noted(Unexpected("a text, the name of its kind", name), "type", base))
        if not isinstance(parameters, Mapping):
            wrong.append(noted(Unexpected("an object", parameters), "parameters", base))
        elif isinstance(name, str) and name in known:
            try:
                return converter.structure(parameters, known[name])
            except Exception as error:  # noqa: BLE001 - collected, so that all are reported at once
                wrong.append(noted(error, "parameters", base))
        if wrong:
            raise ClassValidationError("in a typed object", wrong, base)
        return value

    return structure


def type_of(value: object) -> str:
    """Give the type of a record or of a mapping; an empty text where it has none."""
    found: Any = value.get("type") if isinstance(value, Mapping) else getattr(value, "block", "")
    return found if isinstance(found, str) else ""
