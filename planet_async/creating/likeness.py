"""Whether something the API shows is what was asked for, as far as that can be told from outside."""

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from math import isclose
from typing import Any

from planet_async.redaction import REDACTED

_NOISE = 1e-6  # degrees, and shares: services round
_NEAR = 1e-2


class Likeness(IntEnum):
    """How alike: surely the same, perhaps, or surely not."""

    SAME = 0
    DOUBTFUL = 1
    OTHER = 2


def likeness(asked: Mapping[str, Any], shown: Mapping[str, Any], identity: str) -> Likeness:
    """Compare a request with what exists.

    The name and the field called `identity` tell two apart; what else differs leaves a doubt, since services
    add defaults, round, and black secrets out.  What was asked for and is not shown counts as alike.
    """
    if shown.get("name") != asked.get("name"):
        return Likeness.OTHER
    if shown.get(identity) is None:
        return Likeness.DOUBTFUL
    try:
        found = _compare(asked.get(identity), shown[identity])
        rest = max((_compare(value, shown.get(key)) for key, value in asked.items()), default=Likeness.SAME)
    except RecursionError:  # nested too deeply to be compared
        return Likeness.DOUBTFUL
    return max(found, min(rest, Likeness.DOUBTFUL))


def _compare(asked: Any, shown: Any) -> Likeness:
    match asked, shown:
        case (None, _) | (_, None):
            return Likeness.SAME
        case Mapping(), Mapping():
            return _compare_objects(asked, shown)
        case list(), list():
            return _compare_lists(asked, shown)
        case str(), str():
            return _compare_texts(asked, shown)
        case ((int() | float()), (int() | float())):
            return _compare_numbers(asked, shown)
    return Likeness.DOUBTFUL


def _compare_objects(asked: Mapping[str, Any], shown: Mapping[str, Any]) -> Likeness:
    # A reference comes back as the geometry it stands for.
    if asked.get("type") == "ref" != shown.get("type"):
        return Likeness.SAME
    worst = max((_compare(value, shown.get(key)) for key, value in asked.items()), default=Likeness.SAME)
    if asked.get("type") == shown.get("type"):
        return worst
    return min(worst, Likeness.DOUBTFUL)  # a point, say, as the square around it: comparing says nothing


def _compare_lists(asked: list[Any], shown: list[Any]) -> Likeness:
    if all(isinstance(item, str) for item in (*asked, *shown)):
        return Likeness.SAME if set(asked) == set(shown) else Likeness.OTHER
    if len(asked) != len(shown):
        return Likeness.DOUBTFUL
    return max(map(_compare, asked, shown), default=Likeness.SAME)


def _compare_texts(asked: str, shown: str) -> Likeness:
    # One of several product bundles, the first that fits, may be all that is shown.
    if REDACTED in shown or asked.casefold() == shown.casefold() or shown in asked.split(","):
        return Likeness.SAME
    try:
        same = datetime.fromisoformat(asked) == datetime.fromisoformat(shown)
    except (ValueError, TypeError):
        return Likeness.OTHER
    return Likeness.SAME if same else Likeness.OTHER


def _compare_numbers(asked: float, shown: float) -> Likeness:
    try:
        if isclose(asked, shown, rel_tol=_NOISE, abs_tol=_NOISE):
            return Likeness.SAME
        return Likeness.DOUBTFUL if isclose(asked, shown, rel_tol=0, abs_tol=_NEAR) else Likeness.OTHER
    except OverflowError:  # a whole number beyond all fractions
        return Likeness.SAME if asked == shown else Likeness.OTHER
