"""An open connection's parameters, resolved at the last moment inside an activity."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from pydantic import JsonValue, SecretStr

from activities.ports.admission import UNLIMITED, Admission
from activities.ports.outbound import PUBLIC_ONLY, OutboundRules


@dataclass
class _Admitted:
    """Requests of one operation that were admitted together."""

    admission: Admission
    left: int


_admitted: ContextVar[_Admitted | None] = ContextVar("admitted_together", default=None)


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

    async def admit(self) -> None:
        """Ask before one vendor request; one that `together` has admitted passes without asking again.

        Raises:
            RateLimited: there is no room for it now.
            Transient: the vendor is given time to recover.
        """
        granted = _admitted.get()
        if granted is not None and granted.admission == self.admission and granted.left:
            granted.left -= 1
        else:
            await self.admission.admit()

    @asynccontextmanager
    async def together(self, calls: int) -> AsyncIterator[None]:
        """Admit the requests of an operation at once, so that it is not refused between two of them.

        Args:
            calls: the most requests the block makes; those it does not make are given back.

        Raises:
            RateLimited: there is no room for all of them now.
            Transient: the vendor is given time to recover.
        """
        await self.admission.admit(calls)
        granted = _Admitted(self.admission, calls)
        token = _admitted.set(granted)
        try:
            yield
        finally:
            _admitted.reset(token)
            if granted.left:
                await self.admission.give_back(granted.left)
