"""Keeping access tokens alive: one request per renewal, and its answer never lost by us."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr
from temporalio import activity

from activities.access import Access
from activities.ports.manifest import Manifest, OAuth
from activities.ports.secrets import SecretStore
from activities.storage.connections import ConnectionStore
from activities.transport.oauth import Grant, OAuthClient, OAuthClients, TokenEndpoint
from contracts.errors import CREDENTIAL_REFUSED, AuthExpired, Owner, Permanent, Transient, WedSyncError
from contracts.integration import CredentialRef, IntegrationConfiguration
from contracts.tokens import ObtainedToken, ObtainToken

CODE, VERIFIER, REDIRECT = "authorizationCode", "codeVerifier", "redirectUri"
"""What a credential holds between the tenant's consent and the exchange of the code."""
_FROM = "renewedFrom"
_EXPIRES = "expiresAt"
_STORE_PAUSES_S = (0.1, 0.5, 2.0, 5.0)

Values = Mapping[str, SecretStr]


class Tokens:
    """The verb of the token keeper, which is the `Integration` workflow: it alone asks, one at a time per connection.

    Args:
        access: knows where the vendor is.
        connections: where the credential in use is named.
        secrets: the credential store.
        clients: our apps at the vendors.
    """

    def __init__(
        self, access: Access, connections: ConnectionStore, secrets: SecretStore, clients: OAuthClients
    ) -> None:
        self._access = access
        self._connections = connections
        self._secrets = secrets
        self._clients = clients

    @activity.defn(name="tokens.obtain")
    async def obtain(self, wanted: ObtainToken) -> ObtainedToken:
        """Return the credential with a token that lives, renewed at the vendor where it does not.

        The renewed credential is stored as the next version before anything else is done, and takes the place of the
        one in use. Idempotent: yes, a renewal that was stored is found again by the version it came from.

        Raises:
            AuthExpired: the vendor refuses the grant, or the credential cannot be renewed; the tenant has to act.
            OutcomeUnknown: the answer was lost; the next attempt asks with the same grant.
            Transient: the vendor or the store does not answer.
        """
        stored = await self._access.stored(wanted.key.organization_id, wanted.key.integration_id)
        manifest = self._access.manifest(stored.configuration.platform)
        if manifest.oauth is None:
            return _kept(wanted, manifest)
        renewed = await self._renewed_before(wanted.ref)
        if renewed is not None:
            ref, values = renewed
            return await self._adopt(wanted.ref, ref, _life_s(values))
        values = await self._secrets.get(wanted.ref)
        life_s = _life_s(values)
        if "accessToken" in values and not wanted.renew and (life_s is None or life_s > wanted.least_life_s):
            return ObtainedToken(ref=wanted.ref, life_s=life_s)
        if not _renewable(values, manifest.oauth):
            return _kept(wanted, manifest)
        grant = await self._request(stored.configuration, manifest, values)
        # From here on the vendor may honour nothing but this answer: no cancellation comes between it and the store.
        ref = await asyncio.shield(self._keep(wanted.ref, _granted(values, grant, wanted.ref)))
        return await self._adopt(wanted.ref, ref, grant.life_s)

    async def _renewed_before(self, ref: CredentialRef) -> tuple[CredentialRef, Values] | None:
        """Return the version an earlier attempt renewed this one to."""
        newest = await self._secrets.newest(ref.organization_id, ref.integration_id)
        for version in range(newest.version if newest else 0, ref.version, -1):
            candidate = ref.model_copy(update={"version": version})
            try:
                values = await self._secrets.get(candidate)
            except AuthExpired:
                continue
            if _FROM in values and values[_FROM].get_secret_value() == str(ref.version):
                return candidate, values
        return None

    async def _request(self, configuration: IntegrationConfiguration, manifest: Manifest, values: Values) -> Grant:
        if manifest.oauth is None:
            message = "only a platform with OAuth renews tokens"
            raise TypeError(message)
        connection = await self._access.reach(configuration)
        endpoint = TokenEndpoint(connection, manifest.oauth, self._client(manifest, values))
        try:
            if CODE in values:
                code, verifier, redirect = (values[name].get_secret_value() for name in (CODE, VERIFIER, REDIRECT))
                return await endpoint.exchange(code, verifier, redirect)
            if "refreshToken" in values:
                return await endpoint.refresh(values["refreshToken"].get_secret_value())
            return await endpoint.client_credentials()
        finally:
            await endpoint.aclose()

    def _client(self, manifest: Manifest, values: Values) -> OAuthClient:
        if "clientId" in values and "clientSecret" in values:
            return OAuthClient(values["clientId"].get_secret_value(), values["clientSecret"], is_tenants=True)
        client = self._clients.of(manifest.system)
        if client is None:
            raise missing_client(manifest)
        return client

    async def _keep(self, old: CredentialRef, values: Mapping[str, str]) -> CredentialRef:
        """Store the renewed credential; the store gets every chance, for there is no second answer."""
        for pause_s in (*_STORE_PAUSES_S, None):
            try:
                newest = await self._secrets.newest(old.organization_id, old.integration_id)
                after = newest.version if newest else 0
                return await self._secrets.put(old.organization_id, old.integration_id, values, after=after)
            except Transient:
                if pause_s is None:
                    raise
                await asyncio.sleep(pause_s)
        message = "unreachable"
        raise AssertionError(message)

    async def _adopt(self, old: CredentialRef, new: CredentialRef, life_s: float | None) -> ObtainedToken:
        expires_at = None if life_s is None else datetime.now(UTC) + timedelta(seconds=life_s)
        if await self._connections.adopt_credential(old, new, expires_at):
            await self._secrets.drop(old)
        return ObtainedToken(ref=new, life_s=life_s)


def missing_client(manifest: Manifest) -> WedSyncError:
    """Return the error of a vendor at which the operator has registered no app."""
    return Permanent(
        "oauth_client_missing",
        f"This installation has no app at {manifest.title}, so that nobody can grant access to it.",
        owner=Owner.OPERATOR,
        action="Register one at the vendor and name it in WEDSYNC_OAUTH_CLIENTS.",
        system=manifest.system,
    )


def _kept(wanted: ObtainToken, manifest: Manifest) -> ObtainedToken:
    """Return a credential that does not renew itself, unless the vendor refuses it."""
    if not wanted.renew:
        return ObtainedToken(ref=wanted.ref)
    raise AuthExpired(
        CREDENTIAL_REFUSED,
        f"{manifest.title} refuses the stored credential, and it is not one that can be renewed.",
        action="Give a valid one with `wedsync integrations rotate FILE`.",
        system=manifest.system,
    )


def _renewable(values: Values, profile: OAuth) -> bool:
    return CODE in values or "refreshToken" in values or (profile.client_credentials and "clientSecret" in values)


def _life_s(values: Values) -> float | None:
    if _EXPIRES not in values:
        return None
    return (datetime.fromisoformat(values[_EXPIRES].get_secret_value()) - datetime.now(UTC)).total_seconds()


def _granted(values: Values, grant: Grant, old: CredentialRef) -> dict[str, str]:
    kept = {name: value.get_secret_value() for name, value in values.items() if name not in {CODE, VERIFIER, REDIRECT}}
    fresh = {
        "accessToken": grant.access_token,
        "refreshToken": grant.refresh_token,
        "instanceUrl": grant.instance_url,
        "scope": " ".join(grant.scopes),
        _EXPIRES: (datetime.now(UTC) + timedelta(seconds=grant.life_s)).isoformat(),
        _FROM: str(old.version),
    }
    return {**kept, **{name: value for name, value in fresh.items() if value}}
