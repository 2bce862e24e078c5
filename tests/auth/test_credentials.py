from base64 import b64decode

import pytest
from spine import KEY

from planet_async.auth.credentials import ApiKey, BearerToken
from planet_async.errors import InvalidRequest, MissingCredentials

pytestmark = pytest.mark.anyio


async def test_an_api_key_is_sent_as_basic_user_name() -> None:
    """HTTP Basic with an empty password: the form that all four APIs document."""
    scheme, _, value = ApiKey(KEY).authorization().partition(" ")
    assert scheme == "Basic"
    assert b64decode(value).decode() == f"{KEY}:"


async def test_an_api_key_can_be_sent_on_its_own() -> None:
    """The form of the tasking guide."""
    assert ApiKey(KEY, scheme="api-key").authorization() == f"api-key {KEY}"


async def test_a_token_is_sent_as_bearer() -> None:
    """An OAuth2 access token that the caller has."""
    assert BearerToken(f" {KEY}\n").authorization() == f"Bearer {KEY}"


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`PL_API_KEY`, white space around it forgiven."""
    monkeypatch.setenv("PL_API_KEY", f" {KEY}\n")
    assert ApiKey.from_env() == ApiKey(KEY)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_no_key_says_how_to_pass_one(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """The error names the variable and the other way."""
    monkeypatch.delenv("PL_API_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("PL_API_KEY", value)
    with pytest.raises(MissingCredentials, match="PL_API_KEY") as caught:
        ApiKey.from_env()
    assert "Planet(api_key=" in str(caught.value)


@pytest.mark.parametrize("kind", [ApiKey, BearerToken])
@pytest.mark.parametrize("value", ["", " \n"])
def test_an_empty_secret_is_missing(kind: type[ApiKey] | type[BearerToken], value: str) -> None:
    """Nothing is no credential."""
    with pytest.raises(MissingCredentials, match="is empty"):
        kind(value)


@pytest.mark.parametrize("kind", [ApiKey, BearerToken])
@pytest.mark.parametrize("value", ["two words", f"{KEY}\nx-evil: 1", f"{KEY}é", "\x00key"])
def test_what_cannot_be_a_secret_is_refused_and_not_shown(
    kind: type[ApiKey] | type[BearerToken], value: str
) -> None:
    """No header can be smuggled in by a key, and the refusal does not repeat it."""
    with pytest.raises(InvalidRequest) as caught:
        kind(value)
    assert value not in str(caught.value)


@pytest.mark.parametrize("credential", [ApiKey(KEY), ApiKey(KEY, scheme="api-key"), BearerToken(KEY)])
def test_no_text_of_a_credential_shows_its_secret(credential: ApiKey | BearerToken) -> None:
    """A repr ends up in logs and tracebacks."""
    assert KEY not in repr(credential) + str(credential)
