"""Each fault at HubSpot becomes the one error that says what recovers from it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from activities.connectors.crm.hubspot import HubSpot
from contracts.errors import AuthExpired, OutcomeUnknown, Permanent, RateLimited, Transient, WedSyncError
from tests.support.emulators import Emulators
from tests.support.hubspot_account import TOKEN, connection, patient, step_of

EMULATED = ("hubspot",)
WRITE_FAULTS = [
    ({"kind": "status", "status": 401}, AuthExpired, "credential_refused"),
    ({"kind": "revoke_token"}, AuthExpired, "credential_refused"),
    ({"kind": "status", "status": 403}, Permanent, "missing_permission"),
    ({"kind": "status", "status": 404}, Permanent, "not_found"),
    ({"kind": "status", "status": 409}, Permanent, "request_refused"),
    ({"kind": "status", "status": 423}, OutcomeUnknown, "vendor_unavailable"),
    ({"kind": "status", "status": 502}, OutcomeUnknown, "vendor_unavailable"),
    ({"kind": "status", "status": 524}, OutcomeUnknown, "vendor_unavailable"),
    ({"kind": "rate_limit", "retryAfter": 3}, RateLimited, "rate_limited"),
    ({"kind": "status", "status": 477}, RateLimited, "account_migrating"),
    ({"kind": "reset"}, OutcomeUnknown, "vendor_no_answer"),
    ({"kind": "truncate"}, OutcomeUnknown, "vendor_no_answer"),
    ({"kind": "hang"}, OutcomeUnknown, "vendor_no_answer"),
    ({"kind": "garbage"}, OutcomeUnknown, "vendor_bad_response"),
    ({"kind": "html_login_page"}, OutcomeUnknown, "vendor_bad_response"),
    ({"kind": "schema_drift"}, OutcomeUnknown, "vendor_bad_response"),
]


@pytest.mark.parametrize(("fault", "error", "code"), WRITE_FAULTS, ids=lambda value: json.dumps(value, default=str))
async def test_a_write_meets_each_fault_with_the_right_error(
    provisioned: HubSpot, emulators: Emulators, fault: dict[str, Any], error: type[WedSyncError], code: str
) -> None:
    step = step_of(provisioned, "contact.update")
    if fault["kind"] == "hang":
        provisioned._api._timeout_s = 1.0
    emulators.fault("hubspot", **fault)
    with pytest.raises(error) as caught:
        await provisioned.apply(step)
    detail = caught.value.detail
    assert (type(caught.value), detail.code) == (error, code)
    assert (detail.system, detail.operation) == ("hubspot", "contact.update")


READ_FAULTS = [
    ({"kind": "status", "status": 503}, Transient, "vendor_unavailable"),
    ({"kind": "reset"}, Transient, "vendor_no_answer"),
    ({"kind": "garbage"}, Transient, "vendor_bad_response"),
    ({"kind": "html_login_page"}, Transient, "vendor_bad_response"),
]


@pytest.mark.parametrize(("fault", "error", "code"), READ_FAULTS, ids=lambda value: json.dumps(value, default=str))
async def test_a_read_leaves_no_outcome_open(
    hubspot: HubSpot, emulators: Emulators, fault: dict[str, Any], error: type[WedSyncError], code: str
) -> None:
    emulators.fault("hubspot", **fault)
    with pytest.raises(error) as caught:
        await hubspot.probe()
    assert (type(caught.value), caught.value.detail.code) == (error, code)


async def test_a_rate_limit_carries_the_vendors_own_wait(hubspot: HubSpot, emulators: Emulators) -> None:
    emulators.fault("hubspot", "rate_limit", retryAfter=7, count=1)
    with pytest.raises(RateLimited) as caught:
        await hubspot.probe()
    assert caught.value.detail.retry_after_s == 7
    assert caught.value.detail.evidence["vendorCode"] == "RATE_LIMITS"


async def test_nothing_is_retried_below_the_connector(hubspot: HubSpot, emulators: Emulators) -> None:
    emulators.fault("hubspot", "reset")
    with pytest.raises(Transient):
        await hubspot.probe()
    assert len(emulators.requests("hubspot")) == 1


async def test_a_host_that_cannot_be_reached_leaves_no_outcome_open(unused_tcp_port: int) -> None:
    connector = HubSpot(connection(f"http://127.0.0.1:{unused_tcp_port}"))
    with pytest.raises(Transient) as caught:
        await connector.apply(step_of(connector, "contact.update"))
    assert (type(caught.value), caught.value.detail.code) == (Transient, "vendor_unreachable")


async def test_errors_hold_neither_the_token_nor_personal_data(provisioned: HubSpot, emulators: Emulators) -> None:
    step = step_of(provisioned, "note.create")
    bad = step.model_copy(update={"payload": {**step.payload, "properties": {"hs_note_body": "Anna Fisher"}}})
    stranger = patient(emulators.base_url("hubspot"), "stolen-token-0815")
    errors = []
    for connector, given in ((provisioned, bad), (stranger, step)):
        with pytest.raises(WedSyncError) as caught:
            await connector.apply(given)
        errors.append(caught.value)
    await stranger.aclose()
    for error in errors:
        shown = f"{error!r} {error} {error.detail.model_dump_json()} {error.__cause__!r} {error.__context__!r}"
        assert not any(word in shown for word in (TOKEN, "stolen-token-0815", "Fisher", "Orangery"))
