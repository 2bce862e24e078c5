"""What all requests to the API have in common."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

import attrs

from planet_async.errors import InvalidRequest


class RequestModel:
    """Base of the records that the API is sent: what is None is left out, all else goes under its own name.

    What the API would refuse anyway is refused when the record is made, with InvalidRequest.
    """

    __slots__ = ()

    always_sent: ClassVar[tuple[str, ...]] = ()

    def __attrs_post_init__(self) -> None:
        for field, problem in self._problems():
            raise InvalidRequest(f"{type(self).__name__}.{field}: {problem}")

    def _problems(self) -> Iterable[tuple[str, str]]:
        """Yield what is wrong: the field, and how."""
        return ()

    def set_fields(self) -> dict[str, object]:
        """Give the fields that are not None."""
        fields = attrs.fields(type(self))  # type: ignore[arg-type]  # all below this base are attrs classes
        named = {field.name: getattr(self, field.name) for field in fields}
        return {name: value for name, value in named.items() if value is not None}

    def to_body(self) -> Mapping[str, object]:
        """Give the object that the API is sent, as far as it is this record's business."""
        return self.set_fields()


class Named(RequestModel):
    """A record that is sent under the name of its kind: ``{"clip": {...}}``."""

    __slots__ = ()

    block: ClassVar[str]

    def to_body(self) -> Mapping[str, object]:
        """Give the fields below the name."""
        return {self.block: self.set_fields()}
