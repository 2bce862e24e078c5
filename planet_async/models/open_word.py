"""Words of the API, as enumerations that are open: what Planet adds later is a word too."""

from enum import StrEnum
from typing import Self

_MOST = 1000


class OpenWord(StrEnum):
    """Base of the enumerations; a word that is not listed becomes a member when it is first met.

    Each is its own text: ``subscription.status == "running"``.  The new ones are not iterated.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str) or not value:
            return None
        word = str.__new__(cls, value)
        word._name_ = value.upper()
        word._value_ = value
        if len(cls._value2member_map_) >= _MOST:
            return word  # no API has so many: not all of them are kept
        # One for each word, also if two threads meet a new one, so that `is` holds as it does for the others.
        return cls._value2member_map_.setdefault(value, word)  # type: ignore[return-value]
