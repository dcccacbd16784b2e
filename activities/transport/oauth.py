"""OAuth 2.0 token requests (RFC 6749 and 7636)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Protocol

import httpx
from pydantic import JsonValue, SecretStr

from activities.ports.connection import Connection
from activities.ports.manifest import OAuth
from activities.transport.addresses import is_loopback
from activities.transport.client import JsonClient, open_client
from activities.transport.outbound import is_among, parse, refused
from contracts.errors import AuthExpired, ErrorKind, OutcomeUnknown, Owner, WedSyncError

OPERATION = "token.request"
TIMEOUT_S = 20.0
_LONGEST_LIFE_S = 400 * 86_400.0
_REFUSED = {ErrorKind.AUTH_EXPIRED, ErrorKind.PERMANENT}
_OF_THE_CLIENT = {"invalid_client", "unauthorized_client"}
_CLIENT_CREDENTIALS = "client_credentials"


@dataclass(frozen=True)
class OAuthClient:
    """Our app at the vendor, or the tenant's own."""

    client_id: str
    client_secret: SecretStr
    is_tenants: bool = False


class OAuthClients(Protocol):
    """The apps that the operator registered."""

    def of(self, system: str) -> OAuthClient | None:
        """Return the app at a vendor, None where there is none."""
        ...


@dataclass(frozen=True)
class Grant:
    """What a token endpoint granted; `life_s` counts from the answer."""

    access_token: str
    refresh_token: str | None
    life_s: float
    instance_url: str | None
    scopes: tuple[str, ...]


class TokenEndpoint:
    """A vendor's token endpoint.

    Args:
        connection: gives the base URL and the lowest TLS version; its credential is not read.
        profile: what the vendor's manifest says.
        client: the app that asks.
        transport: replaces the network, in tests.

    Raises:
        InvalidInput: `url_not_allowed`, the settings lead to a host that is not the vendor's.
    """

    def __init__(
        self,
        connection: Connection,
        profile: OAuth,
        client: OAuthClient,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._system = connection.platform
        self._profile = profile
        self._client = client
        base_url, self._path = _place(connection, profile)
        self._http = JsonClient(
            connection.platform,
            open_client(connection, base_url=base_url, timeout_s=TIMEOUT_S, transport=transport),
            timeout_s=TIMEOUT_S,
            error_word=_error_word,
        )

    async def exchange(self, code: str, verifier: str, redirect_uri: str) -> Grant:
        """Exchange an authorisation code, which the vendor honours once; errors as `refresh`."""
        return await self._request(
            {
                "grant_type": "authorization_code",
                "code": code,
                "code_verifier": verifier,
                "redirect_uri": redirect_uri,
            }
        )

    async def refresh(self, refresh_token: str) -> Grant:
        """Exchange a refresh token for a new access token.

        Raises:
            AuthExpired: `grant_refused` or `client_refused`; asking again would be refused again.
            OutcomeUnknown: the request was sent and no usable answer came.
            Transient: nothing was sent, or the vendor asks to wait.
        """
        return await self._request({"grant_type": "refresh_token", "refresh_token": refresh_token})

    async def client_credentials(self) -> Grant:
        """Ask for a token in the app's own name; errors as `refresh`."""
        scopes = {"scope": " ".join(self._profile.scopes)} if self._profile.scopes else {}
        return await self._request({"grant_type": _CLIENT_CREDENTIALS, **scopes})

    async def aclose(self) -> None:
        """Close the sockets."""
        await self._http.aclose()

    async def _request(self, form: Mapping[str, str]) -> Grant:
        app = {"client_id": self._client.client_id, "client_secret": self._client.client_secret.get_secret_value()}
        try:
            answer = await self._http.request_json(
                "POST", self._path, operation=OPERATION, form={**form, **app}, writes=True
            )
        except WedSyncError as error:
            # An answer has a status; a certificate that is not trusted says nothing about the grant.
            if error.detail.kind in _REFUSED and "status" in error.detail.evidence:
                raise self._refused(error, alone=form["grant_type"] == _CLIENT_CREDENTIALS) from None
            raise
        return self._grant(answer)

    def _refused(self, error: WedSyncError, *, alone: bool) -> AuthExpired:
        """Return whose job a refusal is; where the app asks in its own name `alone`, it is all that can be refused."""
        status, word = error.detail.evidence.get("status"), error.detail.evidence.get("vendorCode", "")
        if not (alone or word in _OF_THE_CLIENT or (status == HTTPStatus.UNAUTHORIZED and not word)):
            return AuthExpired(
                "grant_refused",
                f"{self._system} no longer honours the access that was granted.",
                action="Grant it again with `wedsync integrations authorize FILE`.",
                system=self._system,
                operation=OPERATION,
                evidence=error.detail.evidence,
            )
        theirs = self._client.is_tenants
        return AuthExpired(
            "client_refused",
            f"{self._system} does not accept {'the' if theirs else 'our'} app's client id and secret.",
            owner=Owner.TENANT if theirs else Owner.OPERATOR,
            action="Compare them with the app's settings at the vendor, then give them with `integrations rotate FILE`."
            if theirs
            else "Compare WEDSYNC_OAUTH_CLIENTS with the app's settings at the vendor, then connect again.",
            system=self._system,
            operation=OPERATION,
            evidence=error.detail.evidence,
        )

    def _grant(self, answer: JsonValue) -> Grant:
        given = answer if isinstance(answer, dict) else {}
        token = given.get("access_token")
        if not isinstance(token, str) or not token:
            raise OutcomeUnknown(
                "vendor_bad_response",
                f"{self._system} answered {OPERATION} without an access token.",
                system=self._system,
                operation=OPERATION,
            )
        refresh = given.get("refresh_token")
        instance = given.get(self._profile.instance_field) if self._profile.instance_field else None
        return Grant(
            access_token=token,
            refresh_token=refresh if isinstance(refresh, str) and refresh else None,
            life_s=_life_s(given.get("expires_in"), self._profile.default_life_s),
            instance_url=instance if isinstance(instance, str) and instance else None,
            scopes=_scopes(given.get("scope") or given.get("scopes")),
        )


def _place(connection: Connection, profile: OAuth) -> tuple[str, str]:
    """Return base URL and path of the token endpoint; a stand-in of the vendor grants its tokens itself."""
    if profile.token_url.startswith("/"):
        return connection.base_url, profile.token_url
    target = parse(profile.token_url.format_map(connection.settings), connection.platform)
    if connection.base_url and is_loopback(parse(connection.base_url).host):
        return connection.base_url, target.path
    if not is_among(target.host, profile.token_hosts):
        raise refused("host_not_vendors", "its tokens come from a host that is not the vendor's", connection.platform)
    return replace(target, path="").url, target.path


def _scopes(given: JsonValue) -> tuple[str, ...]:
    if isinstance(given, list):
        return tuple(str(scope) for scope in given)
    return tuple(given.split()) if isinstance(given, str) else ()


def _life_s(given: JsonValue, default_s: float) -> float:
    try:
        seconds = float(given) if isinstance(given, int | float | str) else default_s
    except ValueError:
        return default_s
    return seconds if 0 < seconds <= _LONGEST_LIFE_S else default_s


def _error_word(body: JsonValue) -> str:
    """Return the endpoint's fixed error word: `error` of RFC 6749, or the `status` that HubSpot gives."""
    if not isinstance(body, dict):
        return ""
    for name in ("error", "status"):
        word = body.get(name)
        if isinstance(word, str) and word.isascii() and word.isidentifier():
            return word
    return ""
