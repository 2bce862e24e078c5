import pickle
from copy import deepcopy
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
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
    assert Config().base_url == "http://127.0.0.1:8080"
    assert Config(read_timeout=5).base_url == "http://127.0.0.1:8080", (
        "one tuned knob, and it orders for money"
    )
    assert Config(base_url="http://other").base_url == "http://other"
    monkeypatch.setenv("PL_BASE_URL", "")
    assert Config() == Config()
    monkeypatch.delenv("PL_BASE_URL")
    assert Config() == Config()


@pytest.mark.parametrize(
    "url",
    [
        "api.planet.com",
        "ftp://api.planet.com",
        "https://",
        "",
        "https://key@api.planet.com",
        "https://x/?a=b",
        "https://host:port",
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
        "max_downloads",
        "max_body_bytes",
        "max_attempts",
        "first_backoff",
        "longest_backoff",
        "retry_for",
        "deadline",
    ],
)
@pytest.mark.parametrize("value", [0, -1, float("nan"), "5"])
def test_a_number_that_makes_no_sense_is_refused(name: str, value: object) -> None:
    """The message names the field."""
    with pytest.raises(InvalidRequest, match=name):
        Config(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": 5},
        {"trust_env": "no"},
        {"max_connections": 2.5},
        {"ca_file": b"company.pem"},
        {"client_cert": 5},
        {"client_cert": ()},
        {"client_cert": ("cert.pem", "key.pem", "password", "more")},
        {"rates": 3},
        {"rates": {"orders": Window(3)}},
        {"rates": {"orders": (3,)}},
        {"schedule": 30},
        {"tasking_schedule": None},
    ],
    ids=repr,
)
def test_a_value_of_a_wrong_type_is_refused(options: dict[str, Any]) -> None:
    """It is an InvalidRequest that names the field, never a bare TypeError."""
    (name,) = options
    with pytest.raises(InvalidRequest, match=name.replace("base_url", "base URL")):
        Config(**options)


def test_numbers_of_numpy_are_numbers() -> None:
    """They come out of calculations, and mean what they say."""
    config = Config(max_attempts=np.int64(3), retry_for=np.float64(2.5))  # type: ignore[arg-type]
    assert (config.max_attempts, config.retry_for) == (3, 2.5)
    with pytest.raises(InvalidRequest, match="max_attempts"):
        Config(max_attempts=np.int64(0))  # type: ignore[arg-type]


SECRET = "s3cr3t-of-the-proxy"


@pytest.mark.parametrize(
    "proxy",
    [
        "http://proxy.example.com:3128",
        "https://proxy.example.com/",
        "http://user:p%40ss@[::1]:3128",
        "socks5://user@proxy:1080",
        "socks5h://proxy",
    ],
)
def test_a_proxy_is_an_address(proxy: str) -> None:
    """HTTP, HTTPS and SOCKS5, with user and password or without, are kept as given."""
    assert Config(proxy=proxy).proxy == proxy


@pytest.mark.parametrize(
    "proxy",
    [
        "",
        "proxy:3128",
        "ftp://proxy",
        "http://",
        "http://proxy:port",
        "http://proxy/path",
        "http://a b",
        3128,
    ],
)
def test_a_wrong_proxy_is_refused(proxy: Any) -> None:
    """The message shows what one looks like."""
    with pytest.raises(InvalidRequest, match=r"proxy must look like http://proxy\.example\.com:3128"):
        Config(proxy=proxy)


@given(st.text(max_size=3), st.text(max_size=3))
def test_the_password_of_a_proxy_is_never_shown(before: str, after: str) -> None:
    """Neither by `repr` nor by the error for a proxy that is wrong, whatever characters it has."""
    password = before + SECRET + after
    for url in (f"http://{password}:x@proxy:1", f"http://user:{password}@proxy:1", f"user:{password}@proxy"):
        for options in ({"proxy": url}, {"base_url": url}):
            try:
                text = repr(Config(**options))  # type: ignore[arg-type]
            except InvalidRequest as error:
                text = f"{error} {error!r} {error.__context__!r}"
            assert SECRET not in text


def test_the_files_of_tls_are_kept(tmp_path: Path) -> None:
    """A CA file may be text or a Path; a certificate may be one file, or have its key, and a password."""
    pem = tmp_path / "some.pem"
    pem.touch()
    assert Config(ca_file=pem).ca_file == Config(ca_file=str(pem)).ca_file == pem
    text = str(pem)
    for cert in (text, (text, text), (text, text, SECRET)):
        assert Config(client_cert=cert).client_cert == cert
    config = Config(client_cert=(text, text, SECRET))
    assert SECRET not in repr(config)
    assert text in repr(config), "what is no secret is shown"


@pytest.mark.parametrize("field", ["ca_file", "client_cert"])
def test_a_file_that_is_not_there_is_named(field: str, tmp_path: Path) -> None:
    """At once, not with the first request; a folder is no file."""
    missing = str(tmp_path / "missing.pem")
    for path in (missing, str(tmp_path), "", "nul\0"):
        with pytest.raises(InvalidRequest, match=f"{field}: there is no file") as caught:
            Config(**{field: path})  # type: ignore[arg-type]
        assert repr(str(Path(path))) in str(caught.value)


def test_both_files_of_a_certificate_are_looked_for(tmp_path: Path) -> None:
    """A missing key is named; the password is no file, and is not shown."""
    pem = tmp_path / "some.pem"
    pem.touch()
    with pytest.raises(InvalidRequest, match=r"missing\.key") as caught:
        Config(client_cert=(str(pem), str(tmp_path / "missing.key"), SECRET))
    assert SECRET not in repr(caught.value)


def test_a_config_can_be_copied_and_pickled(tmp_path: Path) -> None:
    """To other processes, with its rates and its secrets."""
    pem = tmp_path / "some.pem"
    pem.touch()
    full = Config(
        proxy="http://user:password@proxy:3128",
        ca_file=pem,
        client_cert=(str(pem), str(pem), "password"),
        rates={"orders": (Window(1), Window(100, 60))},
    )
    for config in (Config(), full):
        assert deepcopy(config) == config
        assert pickle.loads(pickle.dumps(config)) == config


def test_rates_are_those_of_when_the_config_was_made() -> None:
    """A list of windows will do, and changing the mapping afterwards changes nothing."""
    rates = {"orders": [Window(1)]}
    config = Config(rates=rates)
    rates["orders"].append(Window(2))
    rates["tasking"] = []
    assert config.rates == {"orders": (Window(1),)}


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
