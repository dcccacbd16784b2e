"""What a connector declares about its vendor, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import JsonValue

from contracts.integration import IntegrationType
from contracts.sync import RemovalPolicy


class Capability(StrEnum):
    """What a connector can do; callers choose by capability, never by the system's name."""

    DELIVER = "deliver"
    EMAIL = "email"
    TASK = "task"
    RECORDS = "records"
    BULK = "bulk"
    DATASETS = "datasets"
    WAREHOUSE = "warehouse"
    SOURCE = "source"
    TABLES = "tables"
    """Reads the tables of a database as reports."""
    MESSAGE = "message"
    """Reaches a recipient's phone number in writing."""
    CALL = "call"
    """Reaches a recipient's phone number by voice."""
    CALENDAR = "calendar"
    """Keeps events, and slots free."""
    AVAILABILITY = "availability"
    """Tells when a resource is busy."""
    FEED = "feed"
    """Is asked for what happens in the world, such as the weather."""


class EffectGuarantee(StrEnum):
    """How a repeated write is kept invisible at this vendor."""

    IDEMPOTENCY_KEY = "vendor idempotency key"
    UPSERT = "upsert by external id"
    LOOK_BEFORE_RETRY = "look before retry"
    AT_MOST_ONCE = "at most once, unknown outcome reported"
    READS_ONLY = "reads only"


@dataclass(frozen=True)
class RateLimit:
    """The vendor's documented limit: `requests` per `per_s` seconds."""

    requests: int
    per_s: float


@dataclass(frozen=True)
class OAuth:
    """How a vendor grants and renews access by OAuth 2.0 (RFC 6749, with PKCE, RFC 7636)."""

    authorize_url: str
    """Where the tenant consents; a path beginning with `/` is on the integration's own base URL, empty without."""
    token_url: str
    """Where tokens are asked for; a path likewise, else a URL in which `{name}` stands for a setting."""
    token_hosts: tuple[str, ...] = ()
    """The hosts a token URL may lead to, written as `Manifest.hosts` are."""
    scopes: tuple[str, ...] = ()
    default_life_s: int = 3_600
    """How long an access token lives where the vendor's answer does not say."""
    client_credentials: bool = False
    """Whether an app may ask in its own name."""
    instance_field: str = ""
    """The field of the answer that names the account's own API address, empty where there is none."""


@dataclass(frozen=True)
class Manifest:
    """The facts about a system that the rest of the house reads."""

    system: str
    title: str
    family: IntegrationType
    api_version: str
    documentation_url: str
    credential_fields: tuple[str, ...]
    """Names required in `connectionConfig.credential`."""
    default_base_url: str
    capabilities: frozenset[Capability]
    guarantee: EffectGuarantee
    rate_limit: RateLimit
    optional_credential_fields: tuple[str, ...] = ()
    required_settings: tuple[str, ...] = ()
    optional_settings: tuple[str, ...] = ()
    batch_size: int = 1
    """Records per write call."""
    delivery_batch: Mapping[str, int] = field(default_factory=dict)
    """Kind of effect -> effects per call of `apply_batch`; a kind it does not name is a call of its own."""
    page_size: int = 100
    """Records per read call."""
    bulk_from: int | None = None
    """A push with more changed records than this is one bulk job; None where the system has none."""
    bulk_size: int = 10_000
    """Records per bulk job."""
    modified_field: str = ""
    """The property by which `read` tells when a record was changed last; empty where it cannot."""
    removes: frozenset[RemovalPolicy] = frozenset()
    """What `remove` does to records that are gone from their report; nothing where there is no such call."""
    reversible: frozenset[str] = frozenset()
    """Kinds of effect that `retract` takes back."""
    correctable: frozenset[str] = frozenset()
    """Kinds of effect that `correct` sets right."""
    timeout_s: float = 30.0
    oauth: OAuth | None = None
    notes: tuple[str, ...] = field(default=())
    hosts: tuple[str, ...] = ()
    """The vendor's hosts: a name, or `*.` before one for all below it; that of `default_base_url` when empty."""
    free_hosts: bool = False
    """Whether tenants run the system themselves, so that any public host may be theirs."""
    schemes: tuple[str, ...] = ("https",)
    """How an address may begin; `http` stands for `https` on this machine's loopback, in development only."""
    ports: tuple[int, ...] = (443,)
    address: str = ""
    """The address as settings spell it where there is no `baseUrl`, such as `https://{account}.vendor.com`."""

    def address_of(self, base_url: str | None, settings: Mapping[str, JsonValue]) -> str:
        """Return the URL a connection leads to, as its configuration has it; nothing when settings are missing."""
        if base_url or not self.address:
            return base_url or self.default_base_url
        try:
            return self.address.format_map(settings)
        except KeyError:
            return ""
