"""`AuthProfile`: the logins of Planet's own command and SDK, through planet-auth (the extra ``login``).

Planet's libraries keep a login in ``~/.planet``: the settings of a profile, and its tokens, which they renew.
Its requests for tokens are made by planet-auth, which takes proxies and certificates from the environment.

See https://docs.planet.com/develop/authentication/
"""

import logging
import os
import re
from collections.abc import Callable, Generator, Mapping
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, TypeVar

from attrs import Attribute, field, frozen

from planet_async.auth.credentials import ApiKey, Credentials
from planet_async.auth.signed_by import SignedBy
from planet_async.clock import Clock
from planet_async.errors import ConnectError, InvalidRequest, MissingCredentials, PlanetError
from planet_async.http import SecretStr, Transport

T = TypeVar("T")

_AUDIENCES = ["https://api.planet.com/"]
# The two profiles that Planet's SDK brings along: they have no file, and are shared by name.
_USER_PROFILE = "planet-user"
_USER: Mapping[str, Any] = MappingProxyType(
    {
        "client_type": "oidc_device_code",
        "client_id": "49lHVBYlXCdfIYqE1B9zeXt0iFHSXees",  # the public one of the command `planet`
        "auth_server": "https://login.planet.com/",
        "audiences": _AUDIENCES,
        "scopes": ["planet", "offline_access"],
    }
)
_MACHINE_PROFILE = "planet-m2m"
_MACHINE: Mapping[str, Any] = MappingProxyType(
    {
        "client_type": "oidc_client_credentials_secret",
        "auth_server": "https://services.sentinel-hub.com/auth/realms/main",
        "audiences": _AUDIENCES,
        "scopes": [],
    }
)
_SELECTED = "PL_AUTH_PROFILE"  # a variable of the environment, and a key of ~/.planet.json
# What planet-auth warns of is raised as errors: without any handler, Python would also write it to stderr.
_SILENT = logging.NullHandler()
_OAUTH_CODE = re.compile(r"[a-z_]{1,40}", re.ASCII)
_LOG_IN = "Log in with `planet-async auth login`, or with `planet auth login`."


def _check_name(_: object, __: "Attribute[Any]", value: object) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"\w[\w.-]*", value):
        raise InvalidRequest("the name of a profile must be letters, digits, '.', '-' and '_'")


@frozen
class AuthProfile:
    """A login that `planet-async auth login` or `planet auth login` has saved in ``~/.planet``.

        Planet(credentials=AuthProfile())

    Tokens are renewed when needed, and saved for the other programs that use the profile.  Calls raise
    MissingCredentials where nobody has logged in, or where the login has expired and cannot be renewed.

    Args:
        name: The name of the profile; by default that of an interactive user.

    Raises:
        InvalidRequest: it is no name of a profile, or planet-auth is not installed.
    """

    name: str = field(default=_USER_PROFILE, validator=_check_name)

    def __attrs_post_init__(self) -> None:
        if not is_installed():
            raise InvalidRequest(
                "the logins of Planet need planet-auth, which is not installed",
                hint='pip install "planet-async[login]"',
            )

    def sign(self, network: Transport, clock: Clock) -> Transport:
        """Return a transport that sends a valid token with each request."""
        return SignedBy(session_of(self)).sign(network, clock)


class Session:
    """A login of planet-auth; its calls block, and raise errors of ours only.

    It signs requests as an authentication of HTTPX does, so `SignedBy` runs it in a thread.
    """

    def __init__(self, name: str, config: Mapping[str, Any] | None) -> None:
        self.name: str = name.lower()
        self._config = config
        self._opened: Any = None

    def __repr__(self) -> str:
        return f"<Session {self.name}>"

    def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Put a token on a request of HTTPX."""
        self._translated(lambda: next(self._open().request_authenticator().auth_flow(request)))
        if "authorization" not in request.headers:
            raise self._not_logged_in()
        self._check_expiry()
        yield request

    def access_token(self) -> str:
        """Return a valid access token; renew it if needed."""
        return self._translated(self._access_token)

    def _access_token(self) -> str:
        credential = self._open().request_authenticator().credential(refresh_if_needed=True)
        if not isinstance(credential, import_module("planet_auth").FileBackedOidcCredential):
            raise InvalidRequest(f"the profile {self.name} has a key, and no access token")
        token = SecretStr(credential.access_token() or "")
        self._check_expiry()
        if not token:
            raise self._not_logged_in()
        return token

    def log_in(self, show: Callable[[str], object], *, open_browser: bool = False) -> None:
        """Log in and save the tokens; `show` displays where the user confirms it, for which this waits."""

        def act() -> None:
            opened = self._open()
            client = opened.auth_client()
            if "device_code" not in client.config().meta()["client_type"]:
                opened.login(allow_open_browser=True, allow_tty_prompt=True)
                return
            begun = opened.device_login_initiate()
            address = begun.get("verification_uri_complete") or begun["verification_uri"]
            show(f"Open {address} and confirm the code {begun['user_code']}.")
            if open_browser:
                import_module("webbrowser").open_new(address)
            opened.device_login_complete(begun)

        self._translated(act)

    def select(self) -> bool:
        """Make it the profile of all programs, if there is none yet; return whether it is."""
        return self._translated(lambda: _selected_profile() or _select(self.name)) == self.name

    def _open(self) -> Any:
        if self._opened is None:
            logging.getLogger("planet_auth").addHandler(_SILENT)
            auth, profile = import_module("planet_auth"), import_module("planet_auth_utils").Profile
            config = self._config
            self._opened = auth.Auth.initialize_from_config(
                profile.load_auth_client_config(self.name)
                if config is None
                else auth.AuthClientConfig.from_dict({**config}),
                token_file=profile.get_profile_file_path_with_priority(
                    ["token.sops.json", "token.json"], self.name
                ),
                profile_name=self.name,
            )
        return self._opened

    def _check_expiry(self) -> None:
        """Raise for a token that planet-auth could not renew, instead of sending it: only its log says so."""
        if self._open().request_authenticator().credential().is_expired():
            raise MissingCredentials(
                f"the login of the profile {self.name} has expired and could not be renewed",
                hint=f"{_LOG_IN} If that fails, the login server cannot be reached.",
            )

    def _not_logged_in(self) -> MissingCredentials:
        return MissingCredentials(f"nobody has logged in to the profile {self.name}", hint=_LOG_IN)

    def _translated(self, act: Callable[[], T]) -> T:
        """Raise errors of planet-auth as ours, without their texts and causes, which may hold tokens."""
        try:
            return act()
        except PlanetError:
            raise
        except FileNotFoundError:
            failure: PlanetError = (
                self._not_logged_in()
                if self._opened is not None
                else InvalidRequest(f"there is no profile {self.name} in ~/.planet", hint=_LOG_IN)
            )
        except Exception as error:  # noqa: BLE001 - whatever planet-auth raises
            code = str(getattr(error, "error_code", None) or type(error).__name__)
            what = code if _OAUTH_CODE.fullmatch(code) else type(error).__name__
            is_of_network = isinstance(error, OSError) and type(error).__module__.startswith("requests")
            failure = (
                ConnectError(f"the login server cannot be reached: {what}")
                if is_of_network
                else MissingCredentials(f"the profile {self.name} cannot be used: {what}", hint=_LOG_IN)
            )
        raise failure


def is_installed() -> bool:
    """Return whether planet-auth is there."""
    return find_spec("planet_auth") is not None and find_spec("planet_auth_utils") is not None


def session_of(profile: AuthProfile) -> Session:
    """Return what reads, renews and saves the tokens of a profile."""
    return Session(profile.name, _USER if profile.name.lower() == _USER_PROFILE else None)


def selected_session(profile: str | None) -> Session | None:
    """Return the login of a profile, or that of the environment: a profile, or a client and its secret."""
    name = profile or os.environ.get(_SELECTED)
    if name:
        return session_of(AuthProfile(name))
    client = os.environ.get("PL_AUTH_CLIENT_ID"), os.environ.get("PL_AUTH_CLIENT_SECRET")
    if not all(client):
        return None
    AuthProfile()  # refuses where planet-auth is not installed
    config = {**_MACHINE, "client_id": client[0], "client_secret": client[1]}
    return Session(f"{_MACHINE_PROFILE}-{client[0]}", config)


def saved_session() -> Session | None:
    """Return the login that ``~/.planet.json`` selects."""
    name = _selected_profile() if is_installed() else None
    return session_of(AuthProfile(name)) if name else None


def credentials_of_command(profile: str | None) -> Credentials:
    """Return the credentials of a command: a profile, those of the environment, or the saved login.

    Raises:
        MissingCredentials: there are none.
    """
    session = selected_session(profile)
    if session is None and not os.environ.get("PL_API_KEY"):
        session = saved_session()
    return ApiKey.from_env() if session is None else SignedBy(session)


def _selected_profile() -> str | None:
    try:
        name = import_module("planet_auth_utils").PlanetAuthUserConfig().lazy_get(_SELECTED)
    except (OSError, ValueError):
        return None
    return name.lower() if isinstance(name, str) else None


def _select(name: str) -> str:
    config = import_module("planet_auth_utils").PlanetAuthUserConfig()
    try:
        config.load()
    except FileNotFoundError:
        config.set_data({})
    config.update_data({_SELECTED: name})
    config.save()
    return name
