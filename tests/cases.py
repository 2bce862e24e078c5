"""Tests of many cases: `case` names the one that fails."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def case(*named: object) -> Iterator[None]:
    """Note with an error of the block which case it was; a failure of pytest's is no Exception."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"It was {', '.join(map(repr, named))}.")
        raise
