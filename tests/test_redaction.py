"""Nothing that was sent in confidence is shown, however a server writes what it repeats."""

import html
import json
from base64 import b64encode
from collections.abc import Callable
from time import perf_counter
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spine import API

from planet_async.http import Request
from planet_async.redaction import credential_of, masked, secrets_in

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
    "JSON with slashes escaped": lambda text: json.dumps(text)[1:-1].replace("/", r"\/"),
    "JSON that is safe in HTML": lambda text: (
        json.dumps(text)[1:-1]
        .replace("=", r"\u003D")
        .replace("&", r"\u0026")
        .replace("<", r"\u003c")
        .replace("+", r"\u002b")
    ),
    "a path": quote,
    "a query": quote_plus,
    "a query in lower case": lambda text: "".join(
        character if character.isascii() and character.isalnum() else quote(character, safe="").lower()
        for character in text
    ),
    "an address in a query": lambda text: quote(quote(text, safe=""), safe=""),
    "HTML": html.escape,
    "HTML with numbers": lambda text: (
        text.replace("+", "&#43;").replace("/", "&#x2F;").replace("=", "&#x3d;")
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", KEYS)
def test_a_secret_is_masked_however_it_is_written(key: str, form: str) -> None:
    """A server that repeats what it was sent writes it as its language and its gateway like."""
    assert masked(f"no: {FORMS[form](key)}, sorry", [key]) == "no: ..., sorry"


@given(
    # Of two backslashes in a row nobody knows whether they are two, or one that is escaped.
    st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=30).filter(
        lambda key: r"\\" not in key
    ),
    st.sampled_from([*FORMS]),
)
def test_any_secret_is_masked(key: str, form: str) -> None:
    """None is left whole, whatever its characters."""
    written = FORMS[form](key)
    assert written not in masked(f"[{written}]", [key]).replace("...", "")


def test_a_long_text_is_masked_in_no_time() -> None:
    """Patterns that fit in two ways would be tried in all combinations, and a refusal would hang."""
    began = perf_counter()
    masked("ab/+" * 16_000, ["ab/+" * 100 + "!", "\\" * 40 + "!"])
    masked("\\" * 2_000, ["\\" * 40 + "!"])
    assert perf_counter() - began < 5


def test_a_key_without_its_padding_is_masked() -> None:
    """The end of base64 says nothing, and what is before it says all."""
    basic = b64encode(b"PLAKexample0123456789:").decode()
    assert basic.endswith("=")
    request = Request("GET", API, headers={"authorization": f"Basic {basic}"})
    for said in (basic, basic.rstrip("="), "PLAKexample0123456789"):
        assert said.rstrip("=") not in masked(f"[{said}]", credential_of(request))


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
        shown = masked(f"notifications.webhook: {said} at hook.example/planet is bad", secrets)
        assert shown == "notifications.webhook: ... at hook.example/planet is bad"


@pytest.mark.parametrize("url", [None, 7, "", "nonsense", "https://", "https://[", "https://@/?"])
def test_what_is_no_address_holds_none(url: object) -> None:
    """A mapping is sent as it is, so anything may stand there."""
    assert not any(secrets_in(json.dumps({"notifications": {"webhook": {"url": url}}}).encode()))
