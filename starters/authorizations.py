"""Asking a tenant for consent by OAuth 2.0, with PKCE and a state that is good once."""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from activities.access import EndpointResolver
from activities.connectors.registry import connector_class
from activities.ports.manifest import Manifest, OAuth
from activities.storage.authorizations import AuthorizationStore, PendingAuthorization
from activities.tokens import CODE, REDIRECT, VERIFIER, missing_client
from activities.transport.oauth import OAuthClients
from contracts.base import Contract, Instant, Text
from contracts.connection import ConnectionResult
from contracts.errors import InvalidInput, Owner
from contracts.integration import IntegrationConfiguration
from starters.credentials import Lifted
from starters.failures import translated
from starters.integrations import Integrations

CALLBACK_PATH = "/v1/oauth/callback"
GOOD_FOR = timedelta(minutes=10)
_OF_THE_APP = {"clientId", "clientSecret"}


class Authorization(Contract):
    """Where the tenant consents, and until when."""

    url: Text
    expires_at: Instant


class Authorizations:
    """Begins and finishes consents.

    Args:
        store: the consents under way.
        integrations: takes over what a consent brings.
        clients: our apps at the vendors.
        endpoints: where the development stand-ins live.
        public_url: where browsers reach the HTTP API.
    """

    def __init__(
        self,
        store: AuthorizationStore,
        integrations: Integrations,
        clients: OAuthClients,
        endpoints: EndpointResolver,
        public_url: str,
    ) -> None:
        self._store = store
        self._integrations = integrations
        self._clients = clients
        self._endpoints = endpoints
        self._public_url = public_url.rstrip("/")

    async def begin(self, configuration: IntegrationConfiguration, *, beside: Path | None = None) -> Authorization:
        """Return where the tenant grants access to the integration's account.

        Args:
            configuration: of the integration to connect, or to connect again; its credential may name the tenant's
                own app by `clientId` and `clientSecret`, and nothing else.
            beside: the directory of the configuration file, see `starters.credentials.lift`.

        Raises:
            InvalidInput: the platform has no OAuth, or the configuration does not fit it.
            Permanent: this installation has no app at the vendor.
        """
        manifest = connector_class(configuration.platform).manifest
        profile = _profile(manifest)
        lifted = self._integrations.lift(configuration, beside=beside)
        own = dict(lifted.values or {})
        client_id = self._client_id(manifest, own)
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
        pending = PendingAuthorization(
            configuration=lifted.configuration,
            code_verifier=verifier,
            redirect_uri=self._redirect_uri(),
            client=own,
        )
        expires_at = datetime.now(UTC) + GOOD_FOR
        with translated():
            await self._store.put(state, pending, expires_at)
        asked = {
            "client_id": client_id,
            "redirect_uri": pending.redirect_uri,
            "response_type": "code",
            "scope": " ".join(profile.scopes),
            "state": state,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
        }
        return Authorization(
            url=f"{await self._page(configuration, profile)}?{urlencode(asked)}", expires_at=expires_at
        )

    async def finish(self, state: str, code: str | None) -> ConnectionResult:
        """Connect the integration with the code that the vendor sent the tenant back with.

        Args:
            state: as sent out; it is used up whatever the outcome.
            code: none when the tenant declined.

        Raises:
            InvalidInput: the state is unknown, used or expired; or the tenant declined.
            AuthExpired: the vendor does not honour the code.
        """
        with translated():
            pending = await self._store.take(state)
        if pending is None:
            raise InvalidInput(
                "authorization_unknown",
                "This consent was not asked for, was used before, or is older than ten minutes.",
                action="Begin again with `wedsync integrations authorize FILE`.",
            )
        if not code:
            raise InvalidInput(
                "authorization_declined",
                "Access was not granted, and nothing was changed.",
                action="Begin again if that was a mistake.",
            )
        held = {CODE: code, VERIFIER: pending.code_verifier, REDIRECT: pending.redirect_uri, **pending.client}
        return await self._integrations.take(Lifted(pending.configuration, held))

    def _client_id(self, manifest: Manifest, own: dict[str, str]) -> str:
        if own and own.keys() != _OF_THE_APP:
            raise InvalidInput(
                "credential_refused_here",
                "An authorisation brings the credential; the file may name your own app only.",
                action="Keep clientId and clientSecret, or no credential at all.",
                system=manifest.system,
            )
        if own:
            return own["clientId"]
        client = self._clients.of(manifest.system)
        if client is None:
            raise missing_client(manifest)
        return client.client_id

    def _redirect_uri(self) -> str:
        if not self._public_url:
            raise InvalidInput(
                "public_url_missing",
                "This installation does not know where browsers reach its HTTP API.",
                owner=Owner.OPERATOR,
                action="Set WEDSYNC_PUBLIC_URL, and register it with the path /v1/oauth/callback at the vendor.",
            )
        return f"{self._public_url}{CALLBACK_PATH}"

    async def _page(self, configuration: IntegrationConfiguration, profile: OAuth) -> str:
        stand_in = await self._endpoints(configuration.platform)
        if stand_in is not None:
            return f"{stand_in.rstrip('/')}{urlsplit(profile.authorize_url).path}"
        if not profile.authorize_url.startswith("/"):
            return profile.authorize_url
        manifest = connector_class(configuration.platform).manifest
        base_url = configuration.connection_config.base_url or manifest.default_base_url
        return f"{base_url.rstrip('/')}{profile.authorize_url}"


def _profile(manifest: Manifest) -> OAuth:
    if manifest.oauth is None or not manifest.oauth.authorize_url:
        raise InvalidInput(
            "oauth_unsupported",
            f"{manifest.title} does not grant access by OAuth here.",
            action="Connect it with `wedsync integrations connect FILE` and its credential.",
            system=manifest.system,
        )
    return manifest.oauth


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
