"""What every credential store does, and the errors they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pydantic import SecretStr

from contracts.errors import AuthExpired, Transient
from contracts.integration import CredentialRef


class SecretStore(Protocol):
    """Where credentials live; a reference names one version."""

    async def put(
        self, organization_id: str, integration_id: str, values: Mapping[str, str], *, after: int | None = None
    ) -> CredentialRef:
        """Store the values as the next version and return its reference.

        Args:
            organization_id: the owner.
            integration_id: whose credential it is.
            values: names and secrets.
            after: the version that must be the newest, 0 where there must be none; any when absent.

        Raises:
            Transient: another version is the newest: read it before deciding again.
        """
        ...

    async def get(self, ref: CredentialRef) -> Mapping[str, SecretStr]:
        """Return the values of a version.

        Raises:
            AuthExpired: the version was destroyed.
        """
        ...

    async def newest(self, organization_id: str, integration_id: str) -> CredentialRef | None:
        """Return the newest version, None when there is none; a store may name one that was dropped."""
        ...

    async def drop(self, ref: CredentialRef) -> None:
        """Destroy one version, such as the one that its successor has replaced. Idempotent: yes."""
        ...

    async def destroy(self, organization_id: str, integration_id: str) -> int:
        """Destroy every version and return how many there were. Idempotent: yes."""
        ...


def destroyed(ref: CredentialRef) -> AuthExpired:
    """Return the error of a version that is no longer there."""
    return AuthExpired(
        "credential_destroyed",
        f"The credential of the integration {ref.integration_id!r} is no longer stored.",
        action="Connect the integration again.",
    )


def superseded(integration_id: str) -> Transient:
    """Return the error of a write that another one was faster than."""
    return Transient(
        "credential_superseded",
        f"The credential of the integration {integration_id!r} was changed meanwhile; nothing was overwritten.",
        action="Read the newest version and decide again.",
    )


def place_of(ref: CredentialRef) -> str:
    """Return what a sealed version is bound to: it opens nowhere else."""
    return f"credential|{ref.organization_id}|{ref.integration_id}|{ref.version}"
