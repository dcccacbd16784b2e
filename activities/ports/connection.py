"""An open connection's parameters, resolved at the last moment inside an activity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue, SecretStr

from activities.ports.admission import UNLIMITED, Admission
from activities.ports.outbound import PUBLIC_ONLY, OutboundRules


@dataclass(frozen=True)
class Connection:
    """Where and as whom a connector speaks; never serialised.

    `credential` and `settings` are keyed by wire (camelCase) names; `base_url` has no trailing slash.
    """

    organization_id: str
    integration_id: str
    platform: str
    base_url: str
    settings: Mapping[str, JsonValue] = field(default_factory=dict)
    credential: Mapping[str, SecretStr] = field(default_factory=dict, repr=False)
    min_tls_version: str = "1.3"
    admission: Admission = field(default=UNLIMITED, repr=False, compare=False)
    """Says whether the vendor may be called now; asked before every request."""

    outbound: OutboundRules = PUBLIC_ONLY
    """What the installation lets it reach."""

    def secret(self, name: str) -> str:
        """Return one secret of the credential in the clear; hand it to the SDK and nowhere else."""
        return self.credential[name].get_secret_value()

    def setting(self, name: str, default: str = "") -> str:
        """Return one setting as text, `default` when absent or null."""
        value = self.settings.get(name)
        return default if value is None else str(value)
