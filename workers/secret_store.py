"""The credential store that the settings choose."""

from __future__ import annotations

from urllib.parse import urlsplit

from activities.ports.secrets import SecretStore
from activities.security.keyring import MasterKeys
from activities.storage.credentials import SealedSecretStore
from activities.storage.database import Database
from contracts.errors import Owner, Permanent
from workers.settings import Profile, SecretStoreKind, Settings


def open_secret_store(settings: Settings, database: Database, keys: MasterKeys) -> SecretStore:
    """Return the store; nothing is asked of it yet.

    Raises:
        Permanent: a setting of the chosen store is missing or unsafe, or its SDK is not installed.
    """
    if settings.secret_store is SecretStoreKind.VAULT:
        return _vault(settings)
    if settings.secret_store is SecretStoreKind.AWS:
        return _aws(settings)
    return SealedSecretStore(database, keys)


def _vault(settings: Settings) -> SecretStore:
    try:
        # An extra, which the default installation does without.
        from activities.storage.vault_credentials import VaultAccess, VaultSecretStore  # noqa: PLC0415
    except ModuleNotFoundError:
        raise _misconfigured(
            "WEDSYNC_SECRET_STORE is vault, and Vault's SDK is not installed.", "Install the extra `vault`."
        ) from None
    if not (settings.vault_address and settings.vault_role_id and settings.vault_secret_id):
        raise _misconfigured(
            "WEDSYNC_SECRET_STORE is vault, and its address or its AppRole is not set.",
            "Set WEDSYNC_VAULT_ADDRESS, WEDSYNC_VAULT_ROLE_ID and WEDSYNC_VAULT_SECRET_ID.",
        )
    if settings.profile is Profile.PRODUCTION and urlsplit(settings.vault_address).scheme != "https":
        raise _misconfigured(
            "WEDSYNC_VAULT_ADDRESS is not an https address, and credentials never cross a network in the clear.",
            "Give Vault's https address.",
        )
    return VaultSecretStore(
        VaultAccess(
            address=settings.vault_address,
            role_id=settings.vault_role_id,
            secret_id=settings.vault_secret_id,
            namespace=settings.vault_namespace or None,
            kv_mount=settings.vault_kv_mount,
            transit_mount=settings.vault_transit_mount,
            transit_key=settings.vault_transit_key,
        )
    )


def _aws(settings: Settings) -> SecretStore:
    try:
        from activities.storage.aws_credentials import AwsAccess, AwsSecretStore  # noqa: PLC0415 - an extra as well
    except ModuleNotFoundError:
        raise _misconfigured(
            "WEDSYNC_SECRET_STORE is aws, and AWS's SDK is not installed.", "Install the extra `aws`."
        ) from None
    if not settings.aws_region:
        raise _misconfigured("WEDSYNC_SECRET_STORE is aws, and its region is not set.", "Set WEDSYNC_AWS_REGION.")
    if (
        settings.profile is Profile.PRODUCTION
        and settings.aws_endpoint
        and urlsplit(settings.aws_endpoint).scheme != "https"
    ):
        raise _misconfigured(
            "WEDSYNC_AWS_ENDPOINT is not an https address, and credentials never cross a network in the clear.",
            "Give an https address, or none for the region's own.",
        )
    return AwsSecretStore(AwsAccess(settings.aws_region, settings.aws_endpoint or None, settings.aws_kms_key_id))


def _misconfigured(message: str, action: str) -> Permanent:
    return Permanent("secret_store_misconfigured", message, owner=Owner.OPERATOR, action=action)
