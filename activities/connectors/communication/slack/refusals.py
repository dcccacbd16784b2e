"""What Slack refuses, by the word in its answer."""

from __future__ import annotations

import re
from typing import Any

from pydantic import JsonValue
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from activities.transport.classify import retry_after_s, status_error
from contracts.errors import (
    AuthExpired,
    OutcomeUnknown,
    Owner,
    Permanent,
    RateLimited,
    Transient,
    WedSyncError,
)

GONE = "message_not_found"
_OK = 200
_WORD = re.compile(r"[a-z][a-z0-9_]{1,63}")

_AUTH = frozenset({"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"})
_LIMITED = frozenset({"ratelimited", "rate_limited"})
_NOT_APPLIED = frozenset({"service_unavailable", "request_timeout", "team_added_to_org"})
_OPEN = frozenset({"internal_error", "fatal_error"})
_FORBIDDEN = frozenset({
    "not_in_channel", "missing_scope", "no_permission", "access_denied", "accesslimited", "restricted_action",
    "restricted_action_read_only_channel", "restricted_action_thread_only_channel", "ekm_access_denied",
    "org_login_required", "team_access_not_granted", "is_archived",
})  # fmt: skip
_ABSENT = frozenset({"channel_not_found", "thread_not_found", "user_not_found"})


def refusal(method: str, error: SlackApiError, *, writes: bool) -> WedSyncError:
    """Return the error for an answer that says no; of a write that may have had its effect, OutcomeUnknown."""
    response = error.response
    if not isinstance(response, AsyncSlackResponse):
        status = getattr(response, "status", _OK)
        return (
            no_answer("vendor_bad_response", method, writes=writes)
            if status == _OK
            else status_error("slack", method, status, writes=writes)
        )
    word = response.get("error") if isinstance(response.data, dict) else None
    word = word if isinstance(word, str) and _WORD.fullmatch(word) else ""
    wait = response.headers.get("Retry-After")
    if response.status_code != _OK:
        return status_error("slack", method, response.status_code, retry_after=wait, code=word, writes=writes)
    return (
        _word_error(method, word, wait, writes=writes)
        if word
        else no_answer("vendor_bad_response", method, writes=writes)
    )


def _word_error(method: str, word: str, wait: str | None, *, writes: bool) -> WedSyncError:
    told: dict[str, Any] = {"system": "slack", "operation": method}
    evidence: dict[str, JsonValue] = {"vendorCode": word}
    if word in _AUTH:
        message = f"slack refuses the stored token for {method} ({word})."
        action = "Connect the integration again with a valid bot token."
        return AuthExpired("credential_refused", message, action=action, evidence=evidence, **told)
    if word in _LIMITED:
        seconds = retry_after_s(wait)
        message = f"slack asks to wait {seconds:.0f} s before {method}."
        return RateLimited("rate_limited", message, retry_after_s=seconds, evidence=evidence, **told)
    if word in _NOT_APPLIED | _OPEN:
        kind = OutcomeUnknown if writes and word in _OPEN else Transient
        return kind("vendor_unavailable", f"slack could not do {method} ({word}).", evidence=evidence, **told)
    code, owner, action = "request_refused", Owner.ENGINEER, "Compare the request with the vendor's word."
    if word in _FORBIDDEN:
        action = "Invite the app to the channel or grant the missing scope."
        code, owner = "missing_permission", Owner.TENANT
    elif word == GONE:
        code, owner, action = "not_found", Owner.NOBODY, "Nothing: somebody has deleted the message."
    elif word in _ABSENT:
        code, owner, action = "not_found", Owner.TENANT, "Check the channel's id in the request."
    message = f"slack refused {method} ({word})."
    return Permanent(code, message, action=action, owner=owner, evidence=evidence, **told)


def no_answer(code: str, method: str, *, writes: bool) -> Transient:
    """Return the error for an answer that did not come, or is none."""
    kind = OutcomeUnknown if writes else Transient
    return kind(code, f"slack gave no usable answer to {method}.", system="slack", operation=method)
