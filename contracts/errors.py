"""The error taxonomy, chosen by what recovers from the error.

WedSyncError
  Transient            network, 5xx, time-out, lock: Temporal retries
    RateLimited        the vendor said wait: Temporal retries after `retry_after_s`
    OutcomeUnknown     a write was sent and no answer came: retried only after a look
  Permanent            a repeat would fail the same way: not retried
    InvalidInput       the request itself is wrong
    IntegrationPaused  work was refused because the integration is paused
    QualityGateFailed  more bad rows than the threshold allows
  AuthExpired          the vendor refuses the credential: not retried, the tenant reconnects
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import JsonValue

from contracts.base import Contract, JsonObject, ShortText, Text


class Owner(StrEnum):
    """Whose job the error is."""

    NOBODY = "nobody"
    VENDOR = "vendor"
    TENANT = "tenant"
    OPERATOR = "operator"
    ENGINEER = "engineer"


class ErrorKind(StrEnum):
    """The type name of an error in Temporal, in results and in problem details."""

    TRANSIENT = "Transient"
    RATE_LIMITED = "RateLimited"
    OUTCOME_UNKNOWN = "OutcomeUnknown"
    PERMANENT = "Permanent"
    INVALID_INPUT = "InvalidInput"
    INTEGRATION_PAUSED = "IntegrationPaused"
    QUALITY_GATE_FAILED = "QualityGateFailed"
    AUTH_EXPIRED = "AuthExpired"


NON_RETRYABLE = (
    ErrorKind.PERMANENT,
    ErrorKind.INVALID_INPUT,
    ErrorKind.INTEGRATION_PAUSED,
    ErrorKind.QUALITY_GATE_FAILED,
    ErrorKind.AUTH_EXPIRED,
)


CREDENTIAL_REFUSED = "credential_refused"
"""The code of a credential that a vendor does not accept."""

OUTCOME_UNKNOWN = "outcome_unknown"
"""The code of an effect that may stand, and that nobody can look up."""

RECONNECT_REQUIRED = "reconnect_required"
"""The code of work that waits until the tenant has connected the integration again."""


class ErrorDetail(Contract):
    """An error as it stands in results, in Temporal failures and in problem details."""

    kind: ErrorKind
    code: ShortText
    """Stable machine-readable code in snake_case, such as `vendor_unavailable`."""
    message: Text
    """What happened, in one sentence without secrets or personal data."""
    owner: Owner = Owner.NOBODY
    action: Text = ""
    """What the owner does next, in one sentence."""
    system: ShortText = ""
    operation: ShortText = ""
    retry_after_s: float | None = None
    evidence: JsonObject = {}

    def sentence(self) -> str:
        """Return message, owner and next step as one line."""
        parts = [self.message]
        if self.owner is not Owner.NOBODY:
            parts.append(f"This is the {self.owner.value}'s to mend.")
        if self.action:
            parts.append(self.action)
        return " ".join(parts)


class WedSyncError(Exception):
    """The root of every error this project raises on purpose.

    Args:
        code: stable snake_case code.
        message: one sentence, no secrets, no personal data.
        action: what the owner does next.
        system: the vendor or part concerned, such as `hubspot`.
        operation: the operation that failed, such as `contacts.update`.
        evidence: small typed facts, such as `{"status": 503}`.
    """

    kind = ErrorKind.TRANSIENT
    owner = Owner.NOBODY
    of_vendor: tuple[Owner, str] | None = None
    """Owner and next step where a vendor is named and the caller says neither."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        action: str = "",
        system: str = "",
        operation: str = "",
        owner: Owner | None = None,
        retry_after_s: float | None = None,
        evidence: dict[str, JsonValue] | None = None,
    ) -> None:
        if system and owner is None and self.of_vendor is not None:
            owner, action = self.of_vendor[0], action or self.of_vendor[1]
        self.detail = ErrorDetail(
            kind=self.kind,
            code=code,
            message=message,
            owner=owner or self.owner,
            action=action,
            system=system,
            operation=operation,
            retry_after_s=retry_after_s,
            evidence=evidence or {},
        )
        super().__init__(self.detail.sentence())


class Transient(WedSyncError):
    """A fault that passes by itself; where a vendor is named, it is the vendor's."""

    of_vendor = (Owner.VENDOR, "A run repeats it by itself; repeat anything else once the vendor answers.")


class RateLimited(Transient):
    """The vendor asks to wait; `retry_after_s` is its own word, clamped by the boundary."""

    kind = ErrorKind.RATE_LIMITED
    of_vendor = (Owner.NOBODY, "A run waits and repeats it by itself; repeat anything else after that time.")


class OutcomeUnknown(Transient):
    """A write was sent and its answer was lost: look before repeating it."""

    kind = ErrorKind.OUTCOME_UNKNOWN


class Permanent(WedSyncError):
    """A fault that a repeat would meet again."""

    kind = ErrorKind.PERMANENT
    owner = Owner.ENGINEER


class InvalidInput(Permanent):
    """The request, the file or the mapping is wrong."""

    kind = ErrorKind.INVALID_INPUT
    owner = Owner.TENANT


class IntegrationPaused(Permanent):
    """The integration is paused and refuses work."""

    kind = ErrorKind.INTEGRATION_PAUSED
    owner = Owner.TENANT


class QualityGateFailed(Permanent):
    """More rows are bad than the threshold allows; nothing was loaded past RAW."""

    kind = ErrorKind.QUALITY_GATE_FAILED
    owner = Owner.TENANT


class AuthExpired(WedSyncError):
    """The vendor refuses the credential; the tenant connects again."""

    kind = ErrorKind.AUTH_EXPIRED
    owner = Owner.TENANT
