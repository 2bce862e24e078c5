import pytest
from hypothesis import given
from hypothesis import strategies as st

from planet_async.errors import NotFound
from planet_async.outcome import Outcome, chunks


def test_an_outcome_gives_its_value_or_raises_its_error() -> None:
    """`unwrap` is the value, or the error that ended it."""
    assert Outcome("a", 7).unwrap() == 7
    with pytest.raises(NotFound, match="gone"):
        Outcome[int]("a", error=NotFound("gone", status=404)).unwrap()


def test_an_outcome_of_nothing_says_so() -> None:
    """Neither value nor error: that is a mistake of whoever made it, and names the id."""
    with pytest.raises(LookupError, match="abc"):
        Outcome[int]("abc").unwrap()


@given(st.lists(st.integers()), st.integers(1, 20))
def test_chunks_lose_and_double_nothing(things: list[int], size: int) -> None:
    """All things, in order, in pieces that are full except the last; of nothing, no piece."""
    pieces = list(chunks(things, size))
    assert [thing for piece in pieces for thing in piece] == things
    assert all(len(piece) == size for piece in pieces[:-1])
    assert all(0 < len(piece) <= size for piece in pieces)
