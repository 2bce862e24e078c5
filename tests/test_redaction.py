"""Nothing that was sent in confidence is shown, however a server writes what it repeats."""

import html
import json
from base64 import b64encode
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from attrs import field, fields, frozen
from hypothesis import given
from hypothesis import strategies as st
from spine import API

from planet_async import TaskingOrderRequest
from planet_async.http import Request
from planet_async.models.delivery import DELIVERIES, Delivery
from planet_async.redaction import SECRET, is_secret, redact, secrets_in, secrets_of_authorization
from planet_async.simulator import catalog

KEYS = (
    "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY==",
    'pa"ss\\w örd&<x>\U0001f600',
    "line 1\nline 2\ttab",
    "a'b\\c+d e",
)
FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON by Go": lambda text: (
        json.dumps(text, ensure_ascii=False)[1:-1]
        .replace("&", r"\u0026")
        .replace("<", r"\u003c")
        .replace(">", r"\u003e")
    ),
    "a path": quote,
    "a part of a path": lambda text: quote(text, safe=""),
    "a query": quote_plus,
    "HTML": html.escape,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", KEYS)
def test_a_secret_is_redacted_however_it_is_written(key: str, form: str) -> None:
    """A server that repeats what it was sent writes it as its language and its gateway do."""
    assert redact(f"no: {FORMS[form](key)}, sorry", [key]) == "no: ..., sorry"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=30), st.sampled_from([*FORMS]))
def test_any_secret_is_redacted(key: str, form: str) -> None:
    """None is left whole, whatever its characters."""
    written = FORMS[form](key)
    assert written not in redact(f"[{written}]", [key]).replace("...", "")


def test_of_two_secrets_the_longer_one_goes_first() -> None:
    """Where one secret is the beginning of another, the rest of the longer one is not left over."""
    assert redact("no: password-and-more", ["password", "password-and-more"]) == "no: ..."


def test_a_key_without_its_padding_is_masked() -> None:
    """The end of base64 says nothing, and what is before it says all."""
    basic = b64encode(b"PLAKexample0123456789:").decode()
    assert basic.endswith("=")
    request = Request("GET", API, headers={"authorization": f"Basic {basic}"})
    for said in (basic, basic.rstrip("="), "PLAKexample0123456789"):
        assert said.rstrip("=") not in redact(
            f"[{said}]", secrets_of_authorization(request.headers["authorization"])
        )


WEBHOOK = (
    "https://me%40here:pass%2Fword%2B1@hook.example/planet/0123456789abcdefghijklmnop/orders?key=sesame-open"
)


@pytest.mark.parametrize(
    "said", ["pass/word+1", "pass%2Fword%2B1", "0123456789abcdefghijklmnop", "key=sesame-open"]
)
def test_the_address_of_a_webhook_holds_secrets(said: str) -> None:
    """User, password, query, and a token in the path; where it leads is no secret."""
    for body in (
        {"notifications": {"webhook": {"url": WEBHOOK}}},
        [{"notifications": {"webhook": {"url": WEBHOOK}}}],
    ):
        secrets = secrets_in(json.dumps(body).encode())
        shown = redact(f"notifications.webhook: {said} at hook.example/planet is bad", secrets)
        assert shown == "notifications.webhook: ... at hook.example/planet is bad"


@pytest.mark.parametrize("url", [None, 7, "", "nonsense", "https://", "https://[", "https://@/?"])
def test_what_is_no_address_holds_none(url: object) -> None:
    """A mapping is sent as it is, so anything may stand there."""
    assert not any(secrets_in(json.dumps({"notifications": {"webhook": {"url": url}}}).encode()))


def test_the_query_of_an_address_without_a_path_is_a_secret() -> None:
    """The address of a webhook may be no more than a host and a key."""
    body = {"notifications": {"webhook": {"url": "https://hook.example?key=sesame-open"}}}
    assert "key=sesame-open" in secrets_in(json.dumps(body).encode())


def test_a_secret_field_must_not_be_shown() -> None:
    """Who marks a field as secret and forgets its repr hears of it at once."""
    with pytest.raises(TypeError, match="the field application_token is secret"):

        @frozen(kw_only=True)
        class Shown(Delivery):
            application_token: str = field(metadata=SECRET)


def test_the_simulator_knows_the_same_secrets() -> None:
    """The client's table and the simulator's, which share no code, name the same fields of deliveries."""
    ours = {part.name for delivery in DELIVERIES.values() for part in fields(delivery) if is_secret(part)}
    assert ours == catalog.SECRETS


def test_the_delivery_of_a_tasking_order_shows_only_its_keys() -> None:
    """It is a plain mapping, so anything in it may be a secret."""
    point = {"type": "Point", "coordinates": [40.7, 64.6]}
    request = TaskingOrderRequest("x", point, delivery={"backblaze": {"application_key": "sesame"}})
    assert "delivery={'backblaze': ...}" in repr(request)
    assert "sesame" not in repr(request)
