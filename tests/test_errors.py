import copy
import inspect
import pickle
import re
from typing import Any

import pytest
from spine import get, post

from planet_async import errors
from planet_async.errors import (
    ConnectError,
    ConnectionLost,
    InvalidRequest,
    MissingCredentials,
    PlanetError,
    QuotaExceeded,
    ServerError,
    StatusError,
    TooManyRequests,
    TransportTimeout,
    WaitTimeout,
    status_class,
)

CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, PlanetError)
}


def test_the_drawn_tree_is_the_real_one() -> None:
    """The docstring shows every error, below the one it is caught with."""
    path: list[str] = []
    drawn = {}
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^    ((?:[│ ]   )*)(?:[├└]── )?([A-Z]\w+)  ", line + "  ")
        if found:
            depth = 0 if found[2] == "PlanetError" else len(found[1]) // 4 + 1
            path[depth:] = [found[2]]
            drawn[found[2]] = path[depth - 1] if depth else "Exception"
    assert drawn == {name: kind.__bases__[0].__name__ for name, kind in CLASSES.items()}


def test_the_text_says_what_to_which_request_and_what_to_do() -> None:
    """One line to read, without the query of the request, which may hold a token."""
    error = PlanetError("it broke", request=get("https://x/y?token=hidden"), hint="Mend it.")
    assert str(error) == "orders.get: it broke [GET https://x/y] Mend it."
    assert str(PlanetError("it broke")) == "it broke"
    assert str(PlanetError("it broke", hint="Mend it.")) == "it broke. Mend it."


@pytest.mark.parametrize(
    ("error", "transient", "may_have_acted"),
    [
        (ConnectError(""), True, False),
        (ConnectionLost(""), True, True),
        (TransportTimeout(""), True, True),
        (ServerError("", status=500), True, True),
        (TooManyRequests("", status=429), True, False),
        (StatusError("", status=418), False, False),
        (InvalidRequest(""), False, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PlanetError) else "",
)
def test_an_error_carries_its_own_advice(
    error: PlanetError, *, transient: bool, may_have_acted: bool
) -> None:
    """Whether a later try may work, and whether the server may have done what was asked."""
    assert (error.transient, error.may_have_acted) == (transient, may_have_acted)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (InvalidRequest, ValueError),
        (MissingCredentials, ValueError),
        (TransportTimeout, TimeoutError),
        (WaitTimeout, TimeoutError),
    ],
)
def test_builtin_kinds_catch_them_too(kind: type[PlanetError], builtin: type[Exception]) -> None:
    """Who catches ValueError or TimeoutError gets ours as well."""
    assert issubclass(kind, builtin)


def test_every_status_has_a_class() -> None:
    """Any number that a server may answer with is some StatusError."""
    assert {status_class(status) for status in range(300, 600)} == {
        kind for kind in CLASSES.values() if issubclass(kind, StatusError) and kind is not QuotaExceeded
    }


@pytest.mark.parametrize("name", CLASSES)
def test_errors_can_be_sent_to_another_process(name: str) -> None:
    """A worker's error comes out of its queue as it went in, with all its advice, and so does a copy."""
    kind = CLASSES[name]
    arguments: dict[str, Any] = {"status": 404, "field_errors": {"id": ["odd"]}, "candidates": ["a"]}
    arguments |= {"request": post(), "hint": "Wait.", "error_hints": ["cloudy"], "error_code": "NO"}
    known = inspect.signature(kind).parameters
    error = kind("it broke", **{key: value for key, value in arguments.items() if key in known})
    error.elapsed = 1.5
    error.add_note("also: that")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert str(again) == str(error)
        assert vars(again) == vars(error)
