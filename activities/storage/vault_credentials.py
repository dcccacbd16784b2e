"""Credentials in HashiCorp Vault: KV version 2 holds them, Transit seals them, AppRole lets this process in."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import hvac
import hvac.exceptions as vault
import requests  # noqa: TID251 - the SDK raises its exceptions
from pydantic import SecretStr

from activities.ports.secrets import destroyed, place_of, superseded
from activities.transport.offload import offload
from contracts.errors import Owner, Permanent, Transient
from contracts.integration import CredentialRef

T = TypeVar("T")

_TIMEOUT_S = 10
_RENEW_AT = 0.8
"""Share of a token's life after which a new one is fetched."""
_AWAY = (
    vault.VaultDown,
    vault.VaultNotInitialized,
    vault.InternalServerError,
    vault.BadGateway,
    vault.RateLimitExceeded,
    vault.PreconditionFailed,
    requests.RequestException,
)


@dataclass(frozen=True)
class VaultAccess:
    """How to reach Vault.

    Args:
        address: such as `https://vault.example:8200`.
        role_id: of the AppRole.
        secret_id: of the AppRole.
        namespace: Vault Enterprise only.
        kv_mount: where KV version 2 is mounted.
        transit_mount: where Transit is mounted.
        transit_key: a key made with `derived=true`, type aes256-gcm96.
    """

    address: str
    role_id: str
    secret_id: SecretStr
    namespace: str | None = None
    kv_mount: str = "secret"
    transit_mount: str = "transit"
    transit_key: str = "wedsync"


class VaultSecretStore:
    """A version is `<kv mount>/wedsync/<organisation>/<integration>`, sealed for its organisation, place and version.

    Source: Vault's HTTP API, sections KV secrets engine version 2, Transit and AppRole.
    """

    def __init__(self, access: VaultAccess) -> None:
        self._access = access
        self._lock = threading.Lock()
        self._client: hvac.Client | None = None
        self._stale_at = 0.0

    async def put(
        self, organization_id: str, integration_id: str, values: Mapping[str, str], *, after: int | None = None
    ) -> CredentialRef:
        """Store the values as the next version and return its reference.

        Raises:
            Transient: `after` is not the newest version, another write was faster, or Vault does not answer.
            Permanent: Vault does not let this process in.
        """
        return await self._with_client(self._put, organization_id, integration_id, dict(values), after)

    async def get(self, ref: CredentialRef) -> Mapping[str, SecretStr]:
        """Return the values of a version.

        Raises:
            AuthExpired: the version was destroyed.
            Transient: Vault does not answer.
            Permanent: Vault does not let this process in, or the version was changed or moved.
        """
        return await self._with_client(self._get, ref)

    async def newest(self, organization_id: str, integration_id: str) -> CredentialRef | None:
        """Return the newest version, dropped or not; None when there is none."""
        version = await self._with_client(self._newest, _path(organization_id, integration_id))
        if not version:
            return None
        return CredentialRef(organization_id=organization_id, integration_id=integration_id, version=version)

    async def drop(self, ref: CredentialRef) -> None:
        """Destroy one version."""
        await self._with_client(self._drop, ref)

    async def destroy(self, organization_id: str, integration_id: str) -> int:
        """Destroy every version and its metadata, and return how many versions were left."""
        return await self._with_client(self._destroy, _path(organization_id, integration_id))

    def _put(
        self, client: hvac.Client, organization_id: str, integration_id: str, values: dict[str, str], after: int | None
    ) -> CredentialRef:
        path = _path(organization_id, integration_id)
        newest = self._newest(client, path) if after is None else after
        ref = CredentialRef(organization_id=organization_id, integration_id=integration_id, version=newest + 1)
        answer = client.secrets.transit.encrypt_data(
            name=self._access.transit_key,
            plaintext=_text(json.dumps(values)),
            context=_text(organization_id),
            associated_data=_text(place_of(ref)),
            mount_point=self._access.transit_mount,
        )
        try:
            client.secrets.kv.v2.create_or_update_secret(
                path, {"sealed": answer["data"]["ciphertext"]}, cas=newest, mount_point=self._access.kv_mount
            )
        except vault.InvalidRequest:
            # The request is one that Vault takes; what it refuses then is the check-and-set.
            raise superseded(integration_id) from None
        return ref

    def _newest(self, client: hvac.Client, path: str) -> int:
        try:
            found = client.secrets.kv.v2.read_secret_metadata(path, mount_point=self._access.kv_mount)
        except vault.InvalidPath:
            return 0
        return int(found["data"]["current_version"])

    def _get(self, client: hvac.Client, ref: CredentialRef) -> Mapping[str, SecretStr]:
        path = _path(ref.organization_id, ref.integration_id)
        try:
            found = client.secrets.kv.v2.read_secret_version(
                path, version=ref.version, mount_point=self._access.kv_mount, raise_on_deleted_version=True
            )
        except vault.InvalidPath:
            raise destroyed(ref) from None
        try:
            answer = client.secrets.transit.decrypt_data(
                name=self._access.transit_key,
                ciphertext=found["data"]["data"]["sealed"],
                context=_text(ref.organization_id),
                associated_data=_text(place_of(ref)),
                mount_point=self._access.transit_mount,
            )
        except vault.InvalidRequest:
            raise Permanent(
                "sealed_data_unreadable",
                "A credential in Vault does not open: it was changed, moved, or its Transit key was trimmed.",
                owner=Owner.OPERATOR,
                action="Restore the Transit key, or connect the integration again.",
            ) from None
        values = json.loads(base64.b64decode(answer["data"]["plaintext"]))
        return {name: SecretStr(value) for name, value in values.items()}

    def _drop(self, client: hvac.Client, ref: CredentialRef) -> None:
        path = _path(ref.organization_id, ref.integration_id)
        client.secrets.kv.v2.destroy_secret_versions(path, [ref.version], mount_point=self._access.kv_mount)

    def _destroy(self, client: hvac.Client, path: str) -> int:
        try:
            found = client.secrets.kv.v2.read_secret_metadata(path, mount_point=self._access.kv_mount)
        except vault.InvalidPath:
            return 0
        client.secrets.kv.v2.delete_metadata_and_all_versions(path, mount_point=self._access.kv_mount)
        return sum(not one["destroyed"] for one in found["data"]["versions"].values())

    async def _with_client(self, call: Callable[..., T], *given: object) -> T:
        return await offload(self._call, call, *given)

    def _call(self, call: Callable[..., T], *given: object) -> T:
        try:
            client, fresh = self._logged_in()
            try:
                return call(client, *given)
            except (vault.Forbidden, vault.Unauthorized):
                if fresh:
                    raise
                # The token may have been revoked: the next attempt logs in anew.
                self._forget(client)
                raise _away("Vault no longer accepts this process's token; it logs in again.") from None
        except _AWAY:
            raise _away("Vault does not answer, or is sealed.") from None
        except (vault.Forbidden, vault.Unauthorized, vault.InvalidRequest):
            raise Permanent(
                "secret_store_refused",
                "Vault refuses this process's AppRole, or its policy lacks a path.",
                owner=Owner.OPERATOR,
                action="Check WEDSYNC_VAULT_ROLE_ID, WEDSYNC_VAULT_SECRET_ID and the policy of that role.",
            ) from None

    def _logged_in(self) -> tuple[hvac.Client, bool]:
        with self._lock:
            if self._client is not None and time.monotonic() < self._stale_at:
                return self._client, False
            access = self._access
            client = hvac.Client(
                url=access.address, namespace=access.namespace, timeout=_TIMEOUT_S, allow_redirects=False
            )
            answer: dict[str, Any] = client.auth.approle.login(access.role_id, access.secret_id.get_secret_value())
            self._client = client
            self._stale_at = time.monotonic() + float(answer["auth"]["lease_duration"]) * _RENEW_AT
            return client, True

    def _forget(self, client: hvac.Client) -> None:
        with self._lock:
            if self._client is client:
                self._client = None


def _path(organization_id: str, integration_id: str) -> str:
    return f"wedsync/{organization_id}/{integration_id}"


def _text(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def _away(message: str) -> Transient:
    return Transient(
        "secret_store_unavailable",
        message,
        owner=Owner.OPERATOR,
        action="If it lasts, look at Vault's health and unseal it; nothing was lost.",
    )
