"""Settings of every process, from `WEDSYNC_*` environment variables and the stack file of a data directory."""

from __future__ import annotations

import json
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretStr, model_validator
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, SettingsConfigDict

from activities.ports.outbound import OutboundRules
from activities.security.envelope import MasterKey
from activities.security.key_files import KeyFiles
from activities.security.keyring import KeyRing
from activities.transport.oauth import OAuthClient
from contracts.errors import Owner, Permanent
from contracts.health import HealthRules

STACK_FILE = "stack.json"


class Profile(StrEnum):
    """Embedded: everything on one machine for a first start. Production: nothing is assumed."""

    EMBEDDED = "embedded"
    PRODUCTION = "production"


class SecretStoreKind(StrEnum):
    """Where credentials lie: sealed in the SQL store, in HashiCorp Vault, or in AWS Secrets Manager."""

    SEALED = "sealed"
    VAULT = "vault"
    AWS = "aws"


class Stack(BaseModel):
    """The ready line of `wedsync up`, also kept in `<data-dir>/stack.json`."""

    model_config = ConfigDict(extra="ignore")
    event: str = "ready"
    temporal: str
    namespace: str = "default"
    temporal_ui: str = ""
    api: str = ""
    api_key: str = ""
    codec: str = ""
    emulators: str = ""
    metrics: str = ""


class OAuthClientSetting(BaseModel):
    """One app: what the vendor calls its client id and secret."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")
    client_id: str
    client_secret: SecretStr


class OAuthClientSettings(RootModel[dict[str, OAuthClientSetting]]):
    """Apps by system; fulfils `activities.transport.oauth.OAuthClients`."""

    root: dict[str, OAuthClientSetting] = {}

    def of(self, system: str) -> OAuthClient | None:
        """Return the app at a vendor, None where there is none."""
        found = self.root.get(system)
        return None if found is None else OAuthClient(found.client_id, found.client_secret)


SANDBOX_CLIENTS = OAuthClientSettings(
    {
        system: OAuthClientSetting(client_id=f"sandbox-{system}-client", client_secret=f"sandbox-{system}-secret")
        for system in ("hubspot", "salesforce")
    }
)
"""What the stand-ins accept; it is published with them."""


class Settings(BaseSettings):
    """How a process finds Temporal, the store, the staging area and its keys."""

    model_config = SettingsConfigDict(env_prefix="WEDSYNC_", extra="ignore")

    profile: Profile = Profile.EMBEDDED
    data_dir: Path = Path(".wedsync")
    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    temporal_tls: bool = False
    temporal_tls_client_cert: Path | None = None
    temporal_tls_client_key: Path | None = None
    temporal_api_key: SecretStr | None = None
    master_key: SecretStr | None = None
    """The newest master key, which seals: 32 random bytes in base64."""
    master_key_previous: SecretStr | None = None
    """Comma-separated: the keys that are accepted besides, older ones and one that is to become the newest."""
    secret_store: SecretStoreKind = SecretStoreKind.SEALED
    vault_address: str = ""
    vault_role_id: str = ""
    vault_secret_id: SecretStr | None = None
    vault_namespace: str = ""
    vault_kv_mount: str = "secret"
    vault_transit_mount: str = "transit"
    vault_transit_key: str = "wedsync"
    """A Transit key made with `derived=true`, so that every organisation's credentials have a key of their own."""
    aws_region: str = ""
    aws_endpoint: str = ""
    """Another address of Secrets Manager than the region's, such as a VPC endpoint."""
    aws_kms_key_id: str = ""
    oauth_clients: OAuthClientSettings = Field(default_factory=OAuthClientSettings)
    """Our apps at the vendors: `{"hubspot": {"clientId": "...", "clientSecret": "..."}}`."""
    public_url: str = ""
    """Where browsers reach the HTTP API, such as `https://hooks.example.com`; vendors send them back there."""
    database_url: str = ""
    staging_url: str = ""
    emulators_url: str = ""
    """Development stand-ins of the vendors; production refuses it."""
    allow_loopback: bool | None = None
    """Whether connectors reach this machine's loopback, http included; on in the embedded profile with stand-ins."""
    outbound_allow: str = ""
    """Private ranges that connectors may reach, as CIDRs with commas between them."""
    outbound_ca_file: Path | None = None
    """Certificate authorities (PEM) that connectors trust beside the machine's own."""
    report_url: str = ""
    """Base URL of the WedSync reporting API."""
    report_token: SecretStr = SecretStr("")
    allow_plain_inputs: bool | None = None
    """Whether clients without the codec may start workflows; on in the embedded profile only."""
    import_dirs: list[Path] | None = None
    """Directories that file sources may lie in; any in the embedded profile, none in production, when absent."""
    import_stores: list[str] = []
    """Prefixes of object stores that file sources may lie below, as JSON: `["s3://exports/{organization}/"]`."""
    api_url: str = ""
    api_key: SecretStr = SecretStr("")
    metrics_address: str = ""
    health: HealthRules = HealthRules()
    """When a check's findings count, as a JSON object such as `{"worsenAfter": 3}`."""
    health_shards: int = Field(default=8, ge=1, le=1_000)
    """Over how many schedules the health checks are spread."""
    otlp_endpoint: str = ""
    """Where our own measurements go by OTLP over HTTP, such as `http://collector:4318/v1/metrics`; nowhere if empty."""
    alerts_organization: str = ""
    """The organisation that runs this installation: its alert routes take what no other organisation's do."""
    answer_timeout_s: float = 60.0
    """How long a door waits for a worker to answer a question or to act."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        self.data_dir = self.data_dir.absolute()
        self.database_url = self.database_url or f"sqlite:///{self.data_dir / 'wedsync.db'}"
        self.staging_url = self.staging_url or f"file://{self.data_dir / 'staging'}"
        if self.allow_plain_inputs is None:
            self.allow_plain_inputs = self.profile is Profile.EMBEDDED
        if self.master_key is None and self.master_key_previous is not None:
            raise Permanent(
                "master_key_missing",
                "WEDSYNC_MASTER_KEY_PREVIOUS is set, and WEDSYNC_MASTER_KEY is not.",
                owner=Owner.OPERATOR,
                action="Set WEDSYNC_MASTER_KEY to the newest key; the key files hold all keys or none.",
            )
        if self.profile is Profile.PRODUCTION:
            self.import_dirs = self.import_dirs or []
            self._refuse_in_production()
        self.outbound_rules()
        return self

    def _refuse_in_production(self) -> None:
        if self.emulators_url:
            raise Permanent(
                "emulators_in_production",
                "WEDSYNC_EMULATORS_URL is set, and the production profile speaks to real vendors only.",
                owner=Owner.OPERATOR,
                action="Unset it, or use the embedded profile for development.",
            )
        if self.allow_loopback:
            raise Permanent(
                "loopback_in_production",
                "WEDSYNC_ALLOW_LOOPBACK is set, and the production profile speaks to real vendors only.",
                owner=Owner.OPERATOR,
                action="Unset it, or use the embedded profile for development.",
            )
        if self.master_key is None and not self.master_key_file.exists():
            raise Permanent(
                "master_key_missing",
                "There is no master key, and the production profile does not invent one.",
                owner=Owner.OPERATOR,
                action="Set WEDSYNC_MASTER_KEY to 32 random bytes in base64.",
            )

    def outbound_rules(self) -> OutboundRules:
        """Return the operator's part of the outbound policy.

        Raises:
            Permanent: `WEDSYNC_OUTBOUND_ALLOW` is not a list of CIDRs, or the CA file is not there.
        """
        if self.outbound_ca_file is not None and not self.outbound_ca_file.is_file():
            raise _outbound("WEDSYNC_OUTBOUND_CA_FILE does not name a file", "Name a file of certificates in PEM form.")
        try:
            networks = [ip_network(text.strip()) for text in self.outbound_allow.split(",") if text.strip()]
        except ValueError:
            raise _outbound(
                "WEDSYNC_OUTBOUND_ALLOW is not a list of address ranges",
                "Write CIDRs such as 10.20.0.0/16, with commas.",
            ) from None
        emulated = self.profile is Profile.EMBEDDED and bool(self.emulators_url)
        return OutboundRules(
            allowed_networks=tuple(networks),
            development=emulated if self.allow_loopback is None else self.allow_loopback,
            ca_file=self.outbound_ca_file,
        )

    @property
    def oauth_apps(self) -> OAuthClientSettings:
        """Our apps at the vendors, or the published ones of the stand-ins."""
        if self.emulators_url and not self.oauth_clients.root:
            return SANDBOX_CLIENTS
        return self.oauth_clients

    @property
    def master_key_file(self) -> Path:
        """Where the newest key lies when the environment gives none; the embedded profile generates it."""
        return self.data_dir / "master.key"

    def load_master_keys(self) -> KeyRing:
        """Return the keys from the environment, or from their files in the data directory.

        Raises:
            Permanent: a key is short, malformed, or readable by others.
        """
        if self.master_key is None:
            return KeyRing(KeyFiles(self.master_key_file))
        given = [self.master_key.get_secret_value()]
        if self.master_key_previous is not None:
            given += self.master_key_previous.get_secret_value().split(",")
        return KeyRing(given=[MasterKey.from_text(text) for text in given])

    @property
    def stack_file(self) -> Path:
        """Where a running stack describes itself."""
        return self.data_dir / STACK_FILE

    def on_stack(self) -> Self:
        """Return these settings, filled from the data directory's running stack where the environment is silent.

        Raises:
            Permanent: the stack file is not readable.
        """
        if not self.stack_file.exists():
            return self
        try:
            stack = Stack.model_validate(json.loads(self.stack_file.read_text()))
        except ValueError as error:
            raise Permanent(
                "stack_file_unreadable",
                f"The file {self.stack_file.name} in the data directory is damaged.",
                owner=Owner.OPERATOR,
                action="Stop the stack, delete the file and run `wedsync up` again.",
            ) from error
        found = {
            "temporal_address": stack.temporal,
            "temporal_namespace": stack.namespace,
            "emulators_url": stack.emulators,
            "api_url": stack.api,
            "api_key": SecretStr(stack.api_key),
        }
        return self.model_copy(
            update={name: value for name, value in found.items() if name not in self.model_fields_set}
        )


def _outbound(problem: str, action: str) -> Permanent:
    return Permanent("outbound_settings_invalid", f"{problem}.", owner=Owner.OPERATOR, action=action)
