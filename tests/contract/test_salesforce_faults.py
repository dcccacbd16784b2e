"""Each fault at Salesforce becomes the one error that says what recovers from it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from activities.connectors.crm.salesforce import Salesforce
from contracts.errors import AuthExpired, OutcomeUnknown, Permanent, RateLimited, Transient, WedSyncError
from tests.support.emulators import Emulators
from tests.support.salesforce_account import TOKEN, connection, patient, step_of

EMULATED = ("salesforce",)
WRITE_FAULTS = [
    ({"kind": "status", "status": 401}, AuthExpired, "credential_refused"),
    ({"kind": "revoke_token"}, AuthExpired, "credential_refused"),
    ({"kind": "expire_token"}, AuthExpired, "credential_refused"),
    ({"kind": "status", "status": 403}, Permanent, "missing_permission"),
    ({"kind": "status", "status": 404}, Permanent, "not_found"),
    ({"kind": "status", "status": 302}, Permanent, "request_refused"),
    ({"kind": "status", "status": 503}, OutcomeUnknown, "vendor_unavailable"),
    ({"kind": "status", "status": 500}, OutcomeUnknown, "vendor_unavailable"),
    ({"kind": "rate_limit", "retryAfter": 3}, RateLimited, "rate_limited"),
    ({"kind": "reset"}, OutcomeUnknown, "vendor_no_answer"),
    ({"kind": "truncate"}, OutcomeUnknown, "vendor_no_answer"),
    ({"kind": "hang"}, OutcomeUnknown, "vendor_no_answer"),
    ({"kind": "garbage"}, OutcomeUnknown, "vendor_bad_response"),
    ({"kind": "html_login_page"}, OutcomeUnknown, "vendor_bad_response"),
    ({"kind": "schema_drift"}, OutcomeUnknown, "vendor_bad_response"),
]


@pytest.fixture
async def salesforce(emulators: Emulators) -> AsyncIterator[Salesforce]:
    connector = patient(connection(emulators.base_url("salesforce")))
    yield connector
    await connector.aclose()


@pytest.mark.parametrize(("fault", "error", "code"), WRITE_FAULTS, ids=lambda value: json.dumps(value, default=str))
async def test_a_write_meets_each_fault_with_the_right_error(
    salesforce: Salesforce, emulators: Emulators, fault: dict[str, Any], error: type[WedSyncError], code: str
) -> None:
    if fault["kind"] == "hang":
        salesforce._api._timeout_s = 1.0
    emulators.fault("salesforce", **fault)
    with pytest.raises(error) as caught:
        await salesforce.apply(step_of(salesforce, "task.upsert"))
    detail = caught.value.detail
    assert (type(caught.value), detail.code) == (error, code)
    assert (detail.system, detail.operation) == ("salesforce", "task.upsert")


READ_FAULTS = [
    ({"kind": "status", "status": 503}, Transient, "vendor_unavailable"),
    ({"kind": "reset"}, Transient, "vendor_no_answer"),
    ({"kind": "garbage"}, Transient, "vendor_bad_response"),
    ({"kind": "html_login_page"}, Transient, "vendor_bad_response"),
]


@pytest.mark.parametrize(("fault", "error", "code"), READ_FAULTS, ids=lambda value: json.dumps(value, default=str))
async def test_a_read_leaves_no_outcome_open(
    salesforce: Salesforce, emulators: Emulators, fault: dict[str, Any], error: type[WedSyncError], code: str
) -> None:
    emulators.fault("salesforce", **fault)
    with pytest.raises(error) as caught:
        await salesforce.probe()
    assert (type(caught.value), caught.value.detail.code) == (error, code)


async def test_a_used_up_limit_is_told_from_a_missing_permission(salesforce: Salesforce, emulators: Emulators) -> None:
    emulators.fault("salesforce", "rate_limit", count=1)
    with pytest.raises(RateLimited) as caught:
        await salesforce.probe()
    detail = caught.value.detail
    assert (detail.evidence["status"], detail.evidence["vendorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert detail.retry_after_s == 300


async def test_nothing_is_retried_below_the_connector(salesforce: Salesforce, emulators: Emulators) -> None:
    emulators.fault("salesforce", "reset")
    with pytest.raises(Transient):
        await salesforce.probe()
    assert len(emulators.requests("salesforce")) == 1


async def test_a_host_that_cannot_be_reached_leaves_no_outcome_open(unused_tcp_port: int) -> None:
    connector = Salesforce(connection(f"http://127.0.0.1:{unused_tcp_port}"))
    with pytest.raises(Transient) as caught:
        await connector.apply(step_of(connector, "task.upsert"))
    assert (type(caught.value), caught.value.detail.code) == (Transient, "vendor_unreachable")


async def test_errors_hold_neither_the_token_nor_personal_data(salesforce: Salesforce, emulators: Emulators) -> None:
    step = step_of(salesforce, "task.upsert")
    bad = step.model_copy(update={"payload": {**step.payload, "Subject": "Anna Fisher" * 50}})
    stranger = patient(connection(emulators.base_url("salesforce"), "stolen-token-0815"))
    errors = []
    for connector, given in ((salesforce, bad), (stranger, step)):
        with pytest.raises(WedSyncError) as caught:
            await connector.apply(given)
        errors.append(caught.value)
    await stranger.aclose()
    for error in errors:
        shown = f"{error!r} {error} {error.detail.model_dump_json()} {error.__cause__!r} {error.__context__!r}"
        assert not any(word in shown for word in (TOKEN, "stolen-token-0815", "Fisher", "Orangery"))
