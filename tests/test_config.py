from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planet_async.config import DOCUMENTED_RATES, Config, Options, Schedule, Window
from planet_async.errors import InvalidRequest


def test_defaults_are_planets() -> None:
    """Without arguments: the real API, at its documented rates."""
    config = Config()
    assert config.base_url == "https://api.planet.com"
    assert config.rates == DOCUMENTED_RATES
    assert DOCUMENTED_RATES["tasking"] == (Window(40, 1.0), Window(300, 60.0))


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`PL_BASE_URL` points at another server; unset or empty it is Planet's."""
    monkeypatch.setenv("PL_BASE_URL", "http://127.0.0.1:8080/")
    assert Config.from_env().base_url == "http://127.0.0.1:8080"
    assert Config(read_timeout=5).base_url == "http://127.0.0.1:8080", (
        "one tuned knob, and it orders for money"
    )
    assert Config(base_url="http://other").base_url == "http://other"
    monkeypatch.setenv("PL_BASE_URL", "")
    assert Config.from_env() == Config()
    monkeypatch.delenv("PL_BASE_URL")
    assert Config.from_env() == Config()


@pytest.mark.parametrize(
    "url",
    [
        "api.planet.com",
        "ftp://api.planet.com",
        "https://",
        "",
        "https://key@api.planet.com",
        "https://x/?a=b",
    ],
)
def test_a_wrong_address_is_refused(url: str) -> None:
    """A base URL without scheme or host, or with a credential or query in it, is an error at once."""
    with pytest.raises(InvalidRequest, match="base URL"):
        Config(base_url=url)


@pytest.mark.parametrize(
    "name",
    [
        "connect_timeout",
        "read_timeout",
        "max_connections",
        "max_attempts",
        "first_backoff",
        "longest_backoff",
        "retry_for",
        "deadline",
    ],
)
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_number_that_makes_no_sense_is_refused(name: str, value: float) -> None:
    """The message names the field."""
    with pytest.raises(InvalidRequest, match=name):
        Config(**{name: value})  # type: ignore[arg-type]


def test_windows_and_schedules_are_checked_too() -> None:
    """No rate of nothing, and no schedule that gets faster."""
    for make in (
        lambda: Window(0),
        lambda: Window(1, 0),
        lambda: Schedule(first=0),
        lambda: Schedule(factor=0.5),
    ):
        with pytest.raises(InvalidRequest):
            make()


@given(
    st.builds(Schedule, st.floats(0.1, 100), st.floats(1, 10), st.floats(0.1, 1000)), st.integers(1, 10_000)
)
def test_pauses_grow_to_the_longest(schedule: Schedule, looks: int) -> None:
    """Each pause is as long as the one before or longer, never above `longest`, for any number of looks."""
    assert schedule.pause(looks) <= schedule.pause(looks + 1) <= schedule.longest
    assert schedule.pause(1) == min(schedule.first, schedule.longest)


def test_the_default_pauses() -> None:
    """2, 3, 4.5 ... 30 seconds."""
    assert [Schedule().pause(looks) for looks in range(1, 10)] == [
        2,
        3,
        4.5,
        6.75,
        10.125,
        15.1875,
        22.78125,
        30,
        30,
    ]


def test_the_options_of_a_call_are_fields_of_the_config() -> None:
    """By name and by type, so that what one of them means is said in one place."""
    fields = get_type_hints(Config)
    assert {name: fields[name] for name in Options.__annotations__} == get_type_hints(Options)
