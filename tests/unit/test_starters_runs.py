"""Run ids are opaque, reversible and bound to their organisation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.exceptions import ApplicationError, TerminatedError
from temporalio.service import RPCError, RPCStatusCode

from contracts import names
from contracts.errors import ErrorDetail, ErrorKind, InvalidInput, RateLimited, Transient
from starters.failures import as_error, detail_of, translated
from starters.runs import run_id_of, workflow_id_of

opaque = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:\-]{0,63}", fullmatch=True)


@given(opaque, opaque, opaque)
def test_a_run_id_leads_back_to_its_workflow(org: str, integration: str, key: str) -> None:
    workflow_id = names.sync_workflow_id(org, integration, key)
    assert workflow_id_of(org, run_id_of(workflow_id)) == workflow_id


@given(opaque, opaque, opaque)
def test_another_organisations_run_is_not_found(org: str, other: str, key: str) -> None:
    run_id = run_id_of(names.routing_workflow_id(org, key))
    if org != other:
        with pytest.raises(InvalidInput, match="no such run"):
            workflow_id_of(other, run_id)


@given(st.text(max_size=60))
def test_no_text_at_all_breaks_the_look_up(text: str) -> None:
    with pytest.raises(InvalidInput):
        workflow_id_of("org", text)


def test_an_integrations_own_workflow_is_no_run() -> None:
    with pytest.raises(InvalidInput):
        workflow_id_of("org", run_id_of(names.integration_workflow_id("org", "crm")))


@given(st.sampled_from(ErrorKind), st.floats(0, 100))
def test_an_error_that_crosses_temporal_as_json_comes_back_as_itself(kind: ErrorKind, wait: float) -> None:
    detail = ErrorDetail(kind=kind, code="some_code", message="It failed.", action="Mend it.", retry_after_s=wait)
    crossed = ApplicationError("text", detail.model_dump(mode="json"), type=kind)
    assert as_error(detail_of(crossed)).detail == detail


def test_a_failure_without_a_detail_does_not_repeat_its_message() -> None:
    found = detail_of(ApplicationError("couple@example.com refused"))
    assert "couple" not in found.model_dump_json()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(RPCStatusCode.UNAVAILABLE, Transient), (RPCStatusCode.RESOURCE_EXHAUSTED, RateLimited)],
)
def test_temporal_being_away_is_transient(status: RPCStatusCode, kind: type[Exception]) -> None:
    with pytest.raises(kind), translated():
        raise RPCError("away", status, b"")


def test_a_terminated_run_says_so() -> None:
    assert detail_of(TerminatedError("ended")).code == "run_terminated"
