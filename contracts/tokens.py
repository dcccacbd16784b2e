"""Inputs of the activities that keep an integration's access token alive."""

from __future__ import annotations

from pydantic import Field

from contracts.base import Contract, Instant
from contracts.health import IntegrationKey
from contracts.integration import CredentialRef


class ObtainToken(Contract):
    """Have a credential hold an access token that is good for a while."""

    key: IntegrationKey
    ref: CredentialRef
    renew: bool = False
    """Whether a new token is wanted whatever the clock of a worker says: the one held is due, or refused."""
    least_life_s: float = Field(default=60.0, ge=0)
    """With less life left a token counts as expired."""


class ObtainedToken(Contract):
    """The credential with its token."""

    ref: CredentialRef
    life_s: float | None = None
    """How long the token lives from here on; none when the credential does not expire by itself."""


class RefusedCredential(Contract):
    """A vendor refused this credential during work."""

    ref: CredentialRef


class TokenState(Contract):
    """What the entity workflow knows of the token's life, carried from run to run."""

    obtained_at: Instant
    expires_at: Instant | None = None
    renew_at: Instant | None = None
    refusals: int = Field(default=0, ge=0)
    """How often in a row the vendor has refused a token soon after it was obtained."""
