"""WhatsApp's error codes as the errors that recover."""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue

from contracts.errors import (
    CREDENTIAL_REFUSED,
    AuthExpired,
    OutcomeUnknown,
    Owner,
    Permanent,
    RateLimited,
    Transient,
    WedSyncError,
)

_AUTH = frozenset({"0", "190"})
_PERMISSIONS = frozenset({"3", "10", *(str(code) for code in range(200, 300))})
_LIMITED = {"4": 300.0, "80007": 300.0, "130429": 30.0, "131056": 10.0}
"""Codes of limits, with seconds of our own: the vendor says no time."""

_ELSEWHERE = "Reach the person another way."
_TEMPLATE = "Compare the target's template, language and properties with the approved template."
_REFUSALS = {
    "131026": ("recipient_unreachable", "the recipient has no WhatsApp or has not accepted its terms", _ELSEWHERE),
    "131030": ("recipient_not_allowed", "the number is not on the test account's list", "Add the number at Meta."),
    "131047": ("template_required", "the recipient has not written within 24 hours", "Name a template."),
    "131048": ("quality_restricted", "too many people marked messages of the number as spam", "Look at Meta's report."),
    "131049": ("recipient_capped", "the recipient gets no more marketing messages for now", _ELSEWHERE),
    "131050": ("recipient_unsubscribed", "the recipient has stopped marketing messages", _ELSEWHERE),
    "131031": ("account_locked", "the account is locked", "Settle it with Meta's support."),
    "133010": ("sender_invalid", "the phone number is not registered", "Register the number at Meta."),
    **dict.fromkeys(
        ("132000", "132001", "132005", "132007", "132012", "132015", "132016", "132018"),
        ("template_refused", "the template is missing, paused or called with other parameters", _TEMPLATE),
    ),
}


def code_of(body: JsonValue) -> str:
    """Return the vendor's error code, or nothing."""
    error = body.get("error") if isinstance(body, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return str(code) if isinstance(code, int) else ""


def typed(error: WedSyncError, operation: str) -> WedSyncError:
    """Return the error that the vendor's code means, or the one its HTTP status means where the code says no more.

    Source: https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes, which advises to decide by
    code and not by status.
    """
    code = str(error.detail.evidence.get("vendorCode") or "")
    told: dict[str, Any] = {"system": "whatsapp", "operation": operation, "evidence": error.detail.evidence}
    if code in _AUTH:
        return AuthExpired(
            CREDENTIAL_REFUSED,
            f"whatsapp refuses the stored token for {operation}.",
            action="Connect the integration again with a valid system user token.",
            **told,
        )
    if code in _LIMITED and not isinstance(error, RateLimited):
        wait = _LIMITED[code]
        message = f"whatsapp has reached a limit for {operation}; it is tried again in {wait:.0f} s."
        return RateLimited("rate_limited", message, retry_after_s=wait, **told)
    if code in _PERMISSIONS:
        action = "Grant the token whatsapp_business_messaging for this number."
        message = f"whatsapp does not allow this token to do {operation}."
        return Permanent("missing_permission", message, owner=Owner.TENANT, action=action, **told)
    return _refused(code, told) if code in _REFUSALS else error


def undelivered(code: str) -> Permanent:
    """Return why a message that was accepted did not arrive, by the code of a status webhook."""
    return _refused(code, {"system": "whatsapp", "operation": "delivery", "evidence": {"vendorCode": code}})


def _refused(code: str, told: dict[str, Any]) -> Permanent:
    word, why, action = _REFUSALS.get(code, ("not_delivered", "the vendor's code says no more", _ELSEWHERE))
    message = f"whatsapp did not carry out {told['operation']}: {why}."
    return Permanent(word, message, owner=Owner.TENANT, action=action, **told)


def bad_answer(operation: str, *, writes: bool) -> Transient:
    """Return that an answer is not what the vendor documents."""
    kind = OutcomeUnknown if writes else Transient
    message = f"whatsapp answered {operation} with something other than the JSON it documents."
    return kind("vendor_bad_response", message, system="whatsapp", operation=operation)
