"""A caller's JSON becomes a contract, or an error that names fields and never their values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.alerts import AlertRoutes
from contracts.analytics import AnalyticsQuery
from contracts.automation import WorkflowOrchestration
from contracts.base import Contract
from contracts.conflict import BookingConflicts
from contracts.emergency import EmergencyAlert
from contracts.errors import InvalidInput
from contracts.escalation import EscalationPolicy
from contracts.etl import EtlRequest
from contracts.integration import IntegrationConfiguration
from contracts.notification import CrossSystemRouting
from contracts.sync import DataSynchronizationRequest
from contracts.transformation import DataTransformation
from contracts.wedding import Wedding
from starters.documents import parse, read_file

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.json"))
CONTRACTS: dict[str, type[Contract]] = {
    "alert-routes": AlertRoutes,
    "analytics-query": AnalyticsQuery,
    "automation": WorkflowOrchestration,
    "booking-conflict": BookingConflicts,
    "emergency-alert": EmergencyAlert,
    "escalation-policy": EscalationPolicy,
    "integration": IntegrationConfiguration,
    "route-notification": CrossSystemRouting,
    "sync-report": DataSynchronizationRequest,
    "transform-report": DataTransformation,
    "warehouse-etl": EtlRequest,
    "wedding-timeline": Wedding,
}
SYNC = {
    "syncId": "sync-1",
    "organizationId": "org",
    "sourceReportId": "weddings",
    "targetIntegration": {"integrationId": "crm"},
}


def refused(text: str | bytes, organization_id: str | None = None) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parse(text, DataSynchronizationRequest, organization_id)
    return caught.value


def test_a_valid_document_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "sync.json"
    file.write_text(json.dumps(SYNC))
    assert read_file(file, DataSynchronizationRequest).sync_id == "sync-1"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_read_to_its_last_field(path: Path) -> None:
    read_file(path, next(model for name, model in CONTRACTS.items() if path.stem.startswith(name)))


def test_a_failover_to_nobody_is_refused() -> None:
    [path] = [path for path in EXAMPLES if path.stem == "emergency-alert"]
    with pytest.raises(InvalidInput) as caught:
        parse(path.read_text().replace('"failover": ["sms-planner"]', '"failover": ["nobody"]'), EmergencyAlert)
    assert caught.value.detail.code == "invalid_input"


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_file(tmp_path / "absent.json", DataSynchronizationRequest)
    assert caught.value.detail.code == "file_unreadable"


@pytest.mark.parametrize(
    "text",
    ["{", "[1", "", '{"syncId": NaN}', b"\xff\xfe", "[" * 100_000],
    ids=["cut", "cut list", "empty", "no number", "no text", "deep"],
)
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    assert refused(text).detail.code == "not_json"


@pytest.mark.parametrize("text", ["[]", "1", "null", '"text"'])
def test_json_that_is_no_object_is_refused(text: str) -> None:
    assert refused(text).detail.code == "not_an_object"


@pytest.mark.parametrize(
    ("extra", "path"),
    [({"sink": 1}, "sink"), ({"targetIntegration": {"integrationId": "crm", "sink": 1}}, "targetIntegration.sink")],
)
def test_an_unknown_field_is_refused_by_its_path(extra: dict[str, object], path: str) -> None:
    found = refused(json.dumps({**SYNC, **extra}))
    assert found.detail.code == "unknown_fields"
    assert path in found.detail.message


@given(st.text("xyzw", min_size=12, max_size=40))
def test_an_invalid_value_is_never_repeated(value: str) -> None:
    found = refused(json.dumps({**SYNC, "batchSize": value, "syncType": value}))
    assert "batchSize" in found.detail.message
    assert value not in found.detail.model_dump_json()


def test_a_silent_document_gets_the_organisation_it_was_sent_to() -> None:
    silent = {name: value for name, value in SYNC.items() if name != "organizationId"}
    assert parse(json.dumps(silent), DataSynchronizationRequest, "org").organization_id == "org"


def test_another_organisations_document_is_refused() -> None:
    assert refused(json.dumps(SYNC), "other").detail.code == "organization_mismatch"
