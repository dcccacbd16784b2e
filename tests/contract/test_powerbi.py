"""The Power BI connector against the emulated workspace: pushed once, whole or red, and refreshed from a warehouse."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from activities.connectors.bi import powerbi_rows
from activities.connectors.bi.powerbi import PowerBi
from activities.connectors.bi.powerbi_rows import MARK, MOST_ROWS, parts_of
from activities.ports.datasets import DatasetConnector, PublishRequest
from activities.transport.oauth import OAuthClient, TokenEndpoint
from contracts.errors import AuthExpired, InvalidInput, OutcomeUnknown, Permanent, RateLimited, Transient, WedSyncError
from emulators import powerbi as workspace
from emulators import powerbi_limits
from emulators.powerbi_workspace import GROUP
from tests.support.deliveries import connection
from tests.support.emulators import Emulators
from tests.support.powerbi_group import (
    NAME,
    ROWS,
    SETTINGS,
    columns,
    guests,
    held,
    interrupted,
    kinds,
    model_id,
    opened,
    send,
    warehouse,
)
from tests.support.publications import publication
from tests.support.specs import specs_dir
from tests.support.swagger import problems

EMULATED = ("powerbi",)


@pytest.fixture
async def powerbi(emulators: Emulators) -> AsyncIterator[PowerBi]:
    connector = opened(emulators)
    yield connector
    await connector.aclose()


@pytest.fixture
def bookings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublishRequest:
    """25 bookings in parts of ten, which are three requests."""
    monkeypatch.setattr(powerbi_rows, "_PART_ROWS", 10)
    return publication(tmp_path, columns(ROWS), name=NAME)


async def test_it_fulfils_the_port(powerbi: PowerBi) -> None:
    assert isinstance(powerbi, DatasetConnector)


async def test_the_probe_names_the_workspace(powerbi: PowerBi) -> None:
    assert (await powerbi.probe()).account == GROUP


async def test_a_report_becomes_a_model_with_typed_columns_and_every_row(
    powerbi: PowerBi, emulators: Emulators, bookings: PublishRequest
) -> None:
    answer = await powerbi.publish(bookings)
    [model] = [one for one in emulators.objects("powerbi", "models") if one["name"] == NAME]
    assert model["tables"] == {"Report": {"venueId": "String", "guests": "Int64", MARK: "String"}}
    assert (answer.remote_id, answer.rows, guests(emulators)) == (model["id"], ROWS, list(range(ROWS)))
    assert kinds(emulators) == ["model.created", *["rows.added"] * 3]
    assert answer.vendor_calls == len(emulators.requests("powerbi"))


async def test_a_request_has_at_most_ten_thousand_rows(powerbi: PowerBi, emulators: Emulators, tmp_path: Path) -> None:
    assert (await powerbi.publish(publication(tmp_path, columns(20_001), name=NAME))).rows == 20_001
    added = [effect["body"]["rows"] for effect in emulators.effects("powerbi") if effect["kind"] == "rows.added"]
    assert added == [10_000, 10_000, 1]


async def test_every_type_of_column_arrives(powerbi: PowerBi, emulators: Emulators, tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": pa.array(["Siân", None]),
            "integer": pa.array([1, None], pa.int64()),
            "decimal": pa.array([1.5, None]),
            "boolean": pa.array([True, None]),
            "date": pa.array([20_000, None], pa.date32()),
            "timestamp": pa.array([0, None], pa.timestamp("us")),
        }
    )
    await powerbi.publish(publication(tmp_path, table, name=NAME))
    first, second = ({name: row[name] for name in table.column_names} for row in held(emulators))
    assert first == {
        "text": "Siân",
        "integer": 1,
        "decimal": 1.5,
        "boolean": True,
        "date": "2024-10-04",
        "timestamp": "1970-01-01T00:00:00",
    }
    assert set(second.values()) == {None}


async def test_the_same_publication_again_changes_nothing(
    powerbi: PowerBi, emulators: Emulators, bookings: PublishRequest
) -> None:
    first = await powerbi.publish(bookings)
    effects = kinds(emulators)
    again = await powerbi.publish(bookings)
    assert (again.remote_id, again.rows, kinds(emulators)) == (first.remote_id, ROWS, effects)


async def test_the_next_publication_takes_the_place_of_the_one_before(
    powerbi: PowerBi, emulators: Emulators, bookings: PublishRequest, tmp_path: Path
) -> None:
    await powerbi.publish(bookings)
    fewer = publication(tmp_path, {"guests": [1, 2]}, name=NAME, request_id="request-2")
    assert (await powerbi.publish(fewer)).rows == 2
    assert guests(emulators) == [1, 2]
    assert kinds(emulators)[-3:] == ["table.updated", "rows.deleted", "rows.added"]


@pytest.mark.parametrize("part", [1, 2, 3])
async def test_f21_a_part_whose_answer_was_lost_is_found_and_not_added_again(
    part: int, powerbi: PowerBi, emulators: Emulators, bookings: PublishRequest
) -> None:
    with pytest.raises(RateLimited):
        await interrupted(emulators, BEFORE_ROWS + part - 1).publish(bookings)
    emulators.fault("powerbi", "drop_after_effect", method="POST", path="rows$", count=1)
    with pytest.raises(OutcomeUnknown):
        await powerbi.publish(bookings)
    assert (await powerbi.publish(bookings)).rows == ROWS
    assert guests(emulators) == list(range(ROWS))
    assert kinds(emulators) == ["model.created", *["rows.added"] * 3]


async def test_f3_rows_that_a_killed_worker_sent_and_that_come_late_are_not_left_twice(
    powerbi: PowerBi, emulators: Emulators, bookings: PublishRequest
) -> None:
    await powerbi.publish(bookings)
    late = next(parts_of(bookings, {}))
    send(emulators, f"/{model_id(emulators)}/tables/Report/rows", late.body)
    assert len(held(emulators)) == ROWS + late.rows
    assert (await powerbi.publish(bookings)).rows == ROWS
    assert guests(emulators) == list(range(ROWS))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    trouble=st.lists(
        st.tuples(st.integers(0, 10), st.sampled_from([None, "drop_after_effect", "reset", "truncate", "status"])),
        max_size=5,
    )
)
async def test_f2_whatever_interrupts_it_a_publication_ends_with_exactly_its_rows(
    emulators: Emulators, bookings: PublishRequest, trouble: list[tuple[int, str | None]]
) -> None:
    emulators.reset()
    for room, kind in trouble:
        if kind is not None:
            emulators.fault("powerbi", kind, method="POST", count=1, status=503)
        connector = interrupted(emulators, room)
        with suppress(Transient):
            assert (await connector.publish(bookings)).rows == ROWS
        await connector.aclose()
        emulators.clear_faults("powerbi")
    connector = opened(emulators)
    await connector.publish(bookings)
    await connector.aclose()
    assert guests(emulators) == list(range(ROWS))


async def test_rows_of_somebody_else_do_not_stay(
    powerbi: PowerBi, emulators: Emulators, bookings: PublishRequest
) -> None:
    await powerbi.publish(bookings)
    stranger = {"rows": [{"venueId": "ven-1", "guests": 5}]}
    send(emulators, f"/{model_id(emulators)}/tables/Report/rows", json.dumps(stranger).encode())
    await powerbi.publish(bookings)
    assert guests(emulators) == list(range(ROWS))


async def test_a_value_power_bi_would_refuse_rejects_its_row_only(
    powerbi: PowerBi, emulators: Emulators, tmp_path: Path
) -> None:
    notes, ratios = ["short", "x" * 4_001, "y" * 4_000, "fine"], [1.0, 1.0, 1.0, float("nan")]
    values = {"note": notes, "guests": [1, 2, 3, 4], "ratio": ratios}
    answer = await powerbi.publish(publication(tmp_path, values, name=NAME))
    assert (answer.rows, set(answer.refused)) == (2, {1, 3})
    assert "note" in answer.refused[1]
    assert "xxx" not in answer.refused[1]
    assert guests(emulators) == [1, 3]


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"guests": pa.nulls(MOST_ROWS + 1, pa.int64())}),
        pa.table({f"column{number}": pa.array([1], pa.int64()) for number in range(75)}),
    ],
    ids=["rows", "columns"],
)
async def test_more_than_a_push_model_takes_is_refused_before_anything_is_asked(
    powerbi: PowerBi, emulators: Emulators, tmp_path: Path, table: pa.Table
) -> None:
    with pytest.raises(InvalidInput, match="route: refresh") as caught:
        await powerbi.publish(publication(tmp_path, table, name=NAME))
    assert (caught.value.detail.code, emulators.requests("powerbi")) == ("data_set_too_large", [])


async def test_f18_the_vendors_rate_is_told_with_its_wait_and_what_stands_is_not_sent_again(
    powerbi: PowerBi, emulators: Emulators, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(powerbi_rows, "_PART_ROWS", 1)
    request = publication(tmp_path, columns(130), name=NAME)
    with pytest.raises(RateLimited) as caught:
        await powerbi.publish(request)
    assert 0 < (caught.value.detail.retry_after_s or 0) <= 60
    assert guests(emulators) == list(range(120))
    monkeypatch.setattr(powerbi_limits, "_REQUESTS", 1_000)
    assert (await powerbi.publish(request)).rows == 130
    assert kinds(emulators).count("rows.added") == 130


async def test_a_model_that_takes_no_rows_is_refused(powerbi: PowerBi, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        await powerbi.publish(publication(tmp_path, columns(7), name=workspace.WAREHOUSE_MODEL))
    assert caught.value.detail.code == "model_not_pushable"


async def test_two_models_of_one_name_are_told_apart_by_a_person(
    powerbi: PowerBi, emulators: Emulators, bookings: PublishRequest
) -> None:
    table = {"name": "Report", "columns": [{"name": "guests", "dataType": "Int64"}]}
    for _ in range(2):
        send(emulators, "", json.dumps({"name": NAME, "defaultMode": "Push", "tables": [table]}).encode())
    with pytest.raises(InvalidInput) as caught:
        await powerbi.publish(bookings)
    assert caught.value.detail.code == "name_not_unique"


async def test_an_unknown_route_is_refused_when_it_is_connected(emulators: Emulators) -> None:
    with pytest.raises(InvalidInput, match="push or by refresh"):
        await opened(emulators, route="pull").probe()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"kind": "status", "status": 503}, OutcomeUnknown),
        ({"kind": "status", "status": 500}, OutcomeUnknown),
        ({"kind": "rate_limit", "retryAfter": 7}, RateLimited),
        ({"kind": "html_login_page"}, OutcomeUnknown),
        ({"kind": "expire_token"}, AuthExpired),
        ({"kind": "revoke_token"}, AuthExpired),
        ({"kind": "status", "status": 403}, Permanent),
    ],
)
async def test_each_fault_while_a_model_is_made_becomes_the_error_that_says_what_recovers(
    powerbi: PowerBi, emulators: Emulators, bookings: PublishRequest, rule: dict[str, Any], expected: type[WedSyncError]
) -> None:
    emulators.fault("powerbi", method="POST", path="datasets$", **rule, count=1)
    with pytest.raises(expected) as caught:
        await powerbi.publish(bookings)
    assert type(caught.value) is expected


async def test_a_query_that_fails_inside_a_success_is_no_count(
    powerbi: PowerBi, emulators: Emulators, bookings: PublishRequest
) -> None:
    await powerbi.publish(bookings)
    emulators.fault("powerbi", "garbage", path="executeQueries", count=1)
    with pytest.raises(Transient):
        await powerbi.publish(bookings)
    assert "rows.deleted" not in kinds(emulators)


async def test_a_token_of_the_apps_own_opens_the_workspace_until_it_expires(emulators: Emulators) -> None:
    profile = PowerBi.manifest.oauth
    assert profile is not None
    place = connection("powerbi", emulators.base_url("powerbi"), {}, **SETTINGS)
    endpoint = TokenEndpoint(place, profile, OAuthClient("sandbox-powerbi-client", SecretStr("sandbox-powerbi-secret")))
    granted = await endpoint.client_credentials()
    await endpoint.aclose()
    connector = opened(emulators, granted.access_token)
    assert ((await connector.probe()).ok, granted.life_s, granted.refresh_token) == (True, 3_599.0, None)
    await connector.aclose()
    expired = opened(emulators, str(emulators.grant("powerbi", lifetimeS=0)["accessToken"]))
    with pytest.raises(AuthExpired):
        await expired.probe()
    await expired.aclose()


async def test_a_token_is_asked_of_the_vendors_login_host_only(emulators: Emulators) -> None:
    profile, app = PowerBi.manifest.oauth, OAuthClient("app", SecretStr("secret"))
    assert profile is not None
    place = replace(connection("powerbi", "https://api.powerbi.com", {}, **SETTINGS))
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"access_token": "token", "expires_in": 3_599})

    endpoint = TokenEndpoint(place, profile, app, transport=httpx.MockTransport(answer))
    await endpoint.client_credentials()
    await endpoint.aclose()
    assert asked == [f"https://login.microsoftonline.com/{workspace.TENANT}/oauth2/v2.0/token"]
    elsewhere = replace(profile, token_url="https://{tenantId}.example.com/token")
    with pytest.raises(InvalidInput) as caught:
        TokenEndpoint(place, elsewhere, app)
    assert caught.value.detail.code == "url_not_allowed"


async def test_every_request_is_one_that_the_vendor_describes(
    powerbi: PowerBi,
    emulators: Emulators,
    bookings: PublishRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    described = json.loads(gzip.decompress((specs_dir("powerbi") / "swagger.json.gz").read_bytes()))
    sent: list[tuple[httpx.Request, int]] = []
    real = httpx.AsyncClient.send

    async def sending(self: httpx.AsyncClient, request: httpx.Request, **given: Any) -> httpx.Response:
        answer = await real(self, request, **given)
        sent.append((request, answer.status_code))
        return answer

    monkeypatch.setattr(httpx.AsyncClient, "send", sending)
    await powerbi.probe()
    for request_id in ("request-1", "request-2"):
        await powerbi.publish(replace(bookings, request_id=request_id))
    warehouse(emulators, rows=7, looks=1)
    refreshing = opened(emulators, route="refresh", table="Weddings")
    await refreshing.publish(publication(tmp_path, columns(7), name=workspace.WAREHOUSE_MODEL))
    await refreshing.aclose()
    assert len(sent) > 15
    found = {problem for request, status in sent for problem in problems(described, request, status)}
    # The description asks for notifyOption in every body, and says beside it that an enhanced refresh must not have it.
    assert {problem for problem in found if not problem.endswith("refreshes: lacks notifyOption")} == set()


BEFORE_ROWS = 3
"""Requests of a first publication before its first rows: the list of models, the new one, the count."""
