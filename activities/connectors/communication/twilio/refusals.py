"""Twilio's error codes as the errors that recover."""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue

from contracts.base import JsonObject
from contracts.errors import (
    CREDENTIAL_REFUSED,
    AuthExpired,
    InvalidInput,
    OutcomeUnknown,
    Owner,
    Permanent,
    RateLimited,
    Transient,
    WedSyncError,
)

_QUEUE_WAIT_S = 30.0
_AUTH = frozenset({"20003", "20005"})
_BUSY = frozenset({"14107", "20429", "21611"})
CALL_IS_OVER = frozenset({"20404", "21220"})
_RECIPIENT = "Correct the recipient's number, or reach the person another way."
_REFUSALS = {
    "21211": ("recipient_invalid", "the recipient's number is not valid", _RECIPIENT),
    "21214": ("recipient_invalid", "the recipient's number cannot be reached", _RECIPIENT),
    "21217": ("recipient_invalid", "the recipient's number is not valid", _RECIPIENT),
    "21612": ("recipient_invalid", "no route leads from the sender to the recipient's number", _RECIPIENT),
    "21614": ("recipient_invalid", "the recipient's number is not a mobile number", _RECIPIENT),
    "21610": (
        "recipient_unsubscribed",
        "the recipient has replied STOP to this sender",
        "Reach the person another way; only the person can undo it, by replying START.",
    ),
    "21408": ("region_not_enabled", "the account may not write to the recipient's country", "Enable it at Twilio."),
    "21215": ("region_not_enabled", "the account may not call the recipient's country", "Enable it at Twilio."),
    "21608": ("recipient_unverified", "a trial account reaches verified numbers only", "Upgrade the Twilio account."),
    **dict.fromkeys(
        ("21210", "21212", "21603", "21606", "21659", "21701", "21703"),
        ("sender_invalid", "the sender is not one of the account", "Correct fromNumber or messagingServiceSid."),
    ),
    "30003": ("not_delivered", "the recipient's phone is off or out of reach", _RECIPIENT),
    "30004": ("not_delivered", "the recipient or the carrier blocks the message", _RECIPIENT),
    "30005": ("not_delivered", "the recipient's number is unknown", _RECIPIENT),
    "30006": ("not_delivered", "the recipient's number is a landline or its carrier is out of reach", _RECIPIENT),
    "30007": ("carrier_filtered", "the carrier filtered the message as unwanted", "Register the sender at Twilio."),
    "30008": ("not_delivered", "the carrier gave no reason", _RECIPIENT),
}
UNDELIVERED = ("failed", "undelivered")


def code_of(body: JsonValue) -> str:
    """Return Twilio's error code, or nothing."""
    code = body.get("code") if isinstance(body, dict) else None
    return str(code) if isinstance(code, int) else ""


def typed(error: WedSyncError, operation: str) -> WedSyncError:
    """Return the error that Twilio's code means, or the one its HTTP status means where the code says no more."""
    code = str(error.detail.evidence.get("vendorCode") or "")
    if code in _AUTH:
        return refused_credential(operation)
    if code in _BUSY and not isinstance(error, RateLimited):
        message = "twilio has no more room in its queue for this sender."
        told: dict[str, Any] = {"system": "twilio", "operation": operation, "evidence": error.detail.evidence}
        return RateLimited("rate_limited", message, retry_after_s=_QUEUE_WAIT_S, **told)
    if isinstance(error, Permanent) and code in _REFUSALS:
        return refusal(code, operation, error.detail.evidence)
    return error


def refusal(vendor_code: str, operation: str, evidence: JsonObject) -> Permanent:
    """Return why a message or a call was refused, or was not delivered.

    Source: https://www.twilio.com/docs/api/errors.
    """
    code, why, action = _REFUSALS.get(vendor_code, _REFUSALS["30008"])
    return Permanent(
        code,
        f"twilio did not carry out {operation}: {why}.",
        owner=Owner.TENANT,
        action=action,
        system="twilio",
        operation=operation,
        evidence=evidence,
    )


def refused_credential(operation: str) -> AuthExpired:
    """Return that the account is not open to us."""
    return AuthExpired(
        CREDENTIAL_REFUSED,
        f"twilio refuses the stored credential for {operation}.",
        action="Connect the integration again with the credential of an active account.",
        system="twilio",
        operation=operation,
    )


def bad_answer(operation: str, *, writes: bool) -> Transient:
    """Return that an answer is not what the vendor documents."""
    kind = OutcomeUnknown if writes else Transient
    message = f"twilio answered {operation} with something other than the JSON it documents."
    return kind("vendor_bad_response", message, system="twilio", operation=operation)


def undecided(operation: str, message: str) -> OutcomeUnknown:
    """Return that a look-up could not tell whether the effect stands."""
    return OutcomeUnknown(
        "look_up_exhausted",
        message,
        action="Look in the Twilio log whether it stands before sending it again.",
        system="twilio",
        operation=operation,
    )


def invalid(code: str, message: str) -> InvalidInput:
    """Return that the target or the integration lacks something."""
    return InvalidInput(code, message, action="Correct the target or the settings.", system="twilio")
