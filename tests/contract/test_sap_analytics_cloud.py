"""SAP Analytics Cloud against its emulated tenant: jobs found again, every refused row named, whole or red."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from activities.connectors.bi import sap_rows
from activities.connectors.bi.sap_analytics_cloud import SapAnalyticsCloud
from activities.ports.datasets import DatasetConnector, PublishRequest
from activities.transport.oauth import OAuthClient, TokenEndpoint
from contracts.errors import (
    AuthExpired,
    InvalidInput,
    OutcomeUnknown,
    Permanent,
    QualityGateFailed,
    RateLimited,
    Transient,
    WedSyncError,
)
from emulators import sap_analytics_cloud as tenant
from tests.support.admissions import Counting
from tests.support.deliveries import connection
from tests.support.emulators import Emulators
from tests.support.publications import publication

SYSTEM = "sap_analytics_cloud"
EMULATED = (SYSTEM,)
NAME = "Catering_Costs"
SETTINGS = {"tenant": "lumen", "region": "eu10", "version": "public.WedSync"}
ROWS = 25
DAY = date(2027, 6, 12)


def opened(emulators: Emulators, token: str = tenant.TOKEN, room: int | None = None) -> SapAnalyticsCloud:
    """Return a connector; with `room` it makes so many requests, as a worker does that is killed then."""
    place = connection(SYSTEM, emulators.base_url(SYSTEM), {"accessToken": token}, **SETTINGS)
    return SapAnalyticsCloud(place if room is None else replace(place, admission=Counting(room=room)))


@pytest.fixture
async def sap(emulators: Emulators) -> AsyncIterator[SapAnalyticsCloud]:
    connector = opened(emulators)
    yield connector
    await connector.aclose()


@pytest.fixture
def catering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublishRequest:
    """The catering of 25 weddings in uploads of ten."""
    monkeypatch.setattr(sap_rows, "_PART_ROWS", 10)
    return publication(tmp_path, weddings(ROWS), name=NAME)


def weddings(rows: int, **changed: list[Any]) -> pa.Table:
    numbers = range(rows)
    values: dict[str, Any] = {
        "Wedding": [f"wed-{number}" for number in numbers],
        "Date": [DAY] * rows,
        "Region": ["Scotland"] * rows,
        "Supplier": ["sup-1"] * rows,
        "Meals": list(numbers),
        "MealCost": [float(number) for number in numbers],
    }
    return pa.table({**values, **changed})


def facts(emulators: Emulators) -> list[dict[str, Any]]:
    return [fact["row"] for fact in emulators.objects(SYSTEM, "facts")]


def meals(emulators: Emulators) -> list[int]:
    return sorted(fact["Meals"] for fact in facts(emulators))


def imports(emulators: Emulators) -> int:
    return [effect["kind"] for effect in emulators.effects(SYSTEM)].count("facts.imported")


def asked(emulators: Emulators, operation: str) -> int:
    return [request.get("operation") for request in emulators.requests(SYSTEM)].count(operation)


async def test_it_fulfils_the_port(sap: SapAnalyticsCloud) -> None:
    assert isinstance(sap, DatasetConnector)


async def test_the_probe_names_the_models_that_take_imports(sap: SapAnalyticsCloud) -> None:
    assert (await sap.probe()).features == ["Catering_Costs", "Wedding_Revenue"]


async def test_a_report_becomes_the_facts_of_its_version(
    sap: SapAnalyticsCloud, emulators: Emulators, catering: PublishRequest
) -> None:
    answer = await sap.publish(catering)
    assert (answer.rows, answer.refused, meals(emulators)) == (ROWS, {}, list(range(ROWS)))
    first = next(fact for fact in facts(emulators) if fact["Wedding"] == "wed-3")
    assert first == {
        "Version": "public.WedSync",
        "Wedding": "wed-3",
        "Date": "20270612",
        "Region": "Scotland",
        "Supplier": "sup-1",
        "Meals": 3,
        "MealCost": 3.0,
    }
    assert answer.vendor_calls == len(emulators.requests(SYSTEM))


async def test_an_upload_has_at_most_ten_thousand_rows(
    sap: SapAnalyticsCloud, emulators: Emulators, tmp_path: Path
) -> None:
    assert (await sap.publish(publication(tmp_path, weddings(10_001), name=NAME))).rows == 10_001
    assert asked(emulators, "upload") == 2


async def test_a_day_becomes_a_month_where_the_dimension_has_months(
    sap: SapAnalyticsCloud, emulators: Emulators, tmp_path: Path
) -> None:
    table = pa.table({"Wedding": ["wed-1"], "Date": [DAY], "Revenue": [1.5]})
    await sap.publish(publication(tmp_path, table, name="Wedding_Revenue"))
    assert [fact["Date"] for fact in facts(emulators)] == ["202706"]


async def test_the_next_publication_takes_the_place_of_the_one_before_and_of_no_other_version(
    sap: SapAnalyticsCloud, emulators: Emulators, catering: PublishRequest, tmp_path: Path
) -> None:
    place = connection(SYSTEM, emulators.base_url(SYSTEM), {"accessToken": tenant.TOKEN}, **SETTINGS)
    other = SapAnalyticsCloud(replace(place, settings={**SETTINGS, "version": "public.Budget"}))
    await other.publish(publication(tmp_path, weddings(3), name=NAME, request_id="budget"))
    await other.aclose()
    await sap.publish(catering)
    await sap.publish(publication(tmp_path, weddings(2), name=NAME, request_id="request-2"))
    versions = [fact["Version"] for fact in facts(emulators)]
    assert sorted(versions) == ["public.Budget"] * 3 + ["public.WedSync"] * 2


async def test_the_same_publication_again_imports_nothing(
    sap: SapAnalyticsCloud, emulators: Emulators, catering: PublishRequest
) -> None:
    first = await sap.publish(catering)
    again = await sap.publish(catering)
    assert (again.rows, again.refused, imports(emulators)) == (first.rows, first.refused, 1)


async def test_every_row_that_is_not_taken_is_named_with_its_reason_and_the_others_stand(
    sap: SapAnalyticsCloud, emulators: Emulators, tmp_path: Path
) -> None:
    table = weddings(
        6,
        Wedding=["wed-0", "wed-1", None, "wed-3", "wed-3", "x" * 300],
        Region=["Scotland", "Atlantis", *["Scotland"] * 4],
        MealCost=[0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
    )
    answer = await sap.publish(publication(tmp_path, table, name=NAME))
    assert answer.refused == {
        1: "Invalid column value for: Region",
        2: "no value for: Wedding",
        4: "an earlier record has the same Wedding, Date, Region, Supplier",
        5: "Invalid column value for: Wedding",
    }
    assert (answer.rows, meals(emulators)) == (2, [0, 3])


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(regions=st.lists(st.sampled_from(["Scotland", "Wales", "Atlantis", None]), min_size=1, max_size=12))
async def test_taken_and_refused_rows_are_all_rows(
    sap: SapAnalyticsCloud, emulators: Emulators, tmp_path: Path, regions: list[str | None]
) -> None:
    emulators.reset()
    bad = {number for number, region in enumerate(regions) if region not in {"Scotland", "Wales"}}
    request = publication(tmp_path, weddings(len(regions), Region=pa.array(regions, pa.string())), name=NAME)
    if len(bad) == len(regions):
        with pytest.raises(Permanent) as caught:
            await sap.publish(request)
        assert (caught.value.detail.code, facts(emulators)) == ("no_row_taken", [])
        return
    answer = await sap.publish(request)
    assert set(answer.refused) == bad
    assert meals(emulators) == sorted(set(range(len(regions))) - bad)


async def test_more_refused_rows_than_may_be_leave_the_model_as_it_was(
    sap: SapAnalyticsCloud, emulators: Emulators, catering: PublishRequest, tmp_path: Path
) -> None:
    await sap.publish(catering)
    table = weddings(4, Region=["Scotland", "Atlantis", "Atlantis", "Scotland"])
    request = replace(publication(tmp_path, table, name=NAME, request_id="request-2"), most_refused=1)
    with pytest.raises(QualityGateFailed, match=r"2 rows .* are refused"):
        await sap.publish(request)
    assert meals(emulators) == list(range(ROWS))
    assert [job["status"] for job in emulators.objects(SYSTEM, "jobs")] == ["COMPLETED"]


@pytest.mark.parametrize("room", range(1, 12))
async def test_f2_a_killed_worker_leaves_one_import_and_all_rows(
    room: int, sap: SapAnalyticsCloud, emulators: Emulators, catering: PublishRequest
) -> None:
    emulators.control(SYSTEM, "runs", {"looks": 1})
    with pytest.raises(RateLimited):
        await opened(emulators, room=room).publish(catering)
    assert (await sap.publish(catering)).rows == ROWS
    assert (meals(emulators), imports(emulators)) == (list(range(ROWS)), 1)
    assert [job["status"] for job in emulators.objects(SYSTEM, "jobs")] == ["COMPLETED"]


@pytest.mark.parametrize("path", ["factData$", "jobs/[^/]+$", "validate$", "run$"])
async def test_f21_a_lost_answer_leads_to_a_look_and_to_one_import(
    path: str, sap: SapAnalyticsCloud, emulators: Emulators, catering: PublishRequest
) -> None:
    emulators.fault(SYSTEM, "drop_after_effect", method="POST", path=path, count=1)
    with pytest.raises(OutcomeUnknown):
        await sap.publish(catering)
    assert (await sap.publish(catering)).rows == ROWS
    assert (meals(emulators), imports(emulators)) == (list(range(ROWS)), 1)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    trouble=st.lists(
        st.tuples(st.integers(0, 14), st.sampled_from([None, "drop_after_effect", "reset", "truncate", "status"])),
        max_size=5,
    )
)
async def test_f3_whatever_interrupts_it_a_publication_ends_with_exactly_its_rows(
    emulators: Emulators, catering: PublishRequest, tmp_path: Path, trouble: list[tuple[int, str | None]]
) -> None:
    emulators.reset()
    mine = replace(catering, progress=publication(tmp_path, weddings(1), name=NAME, request_id="memory").progress)
    for room, kind in trouble:
        if kind is not None:
            emulators.fault(SYSTEM, kind, method="POST", count=1, status=503)
        connector = opened(emulators, room=room)
        with suppress(Transient):
            assert (await connector.publish(mine)).rows == ROWS
        await connector.aclose()
        emulators.clear_faults(SYSTEM)
    connector = opened(emulators)
    assert (await connector.publish(mine)).rows == ROWS
    await connector.aclose()
    assert (meals(emulators), imports(emulators)) == (list(range(ROWS)), 1)


async def test_a_run_that_takes_long_is_waited_for(
    sap: SapAnalyticsCloud, emulators: Emulators, catering: PublishRequest
) -> None:
    emulators.control(SYSTEM, "runs", {"looks": 3})
    assert (await sap.publish(catering)).rows == ROWS
    assert (catering.progress.pauses, imports(emulators)) == (3, 1)  # type: ignore[attr-defined]


async def test_a_run_that_fails_is_red_and_the_next_one_begins_anew(
    sap: SapAnalyticsCloud, emulators: Emulators, catering: PublishRequest
) -> None:
    emulators.control(SYSTEM, "runs", {"status": "FAILED"})
    with pytest.raises(Permanent) as caught:
        await sap.publish(catering)
    assert (caught.value.detail.code, facts(emulators)) == ("import_failed", [])
    assert (await sap.publish(catering)).rows == ROWS


async def test_a_session_that_ended_gets_a_new_token_for_its_writes(
    sap: SapAnalyticsCloud, emulators: Emulators, catering: PublishRequest
) -> None:
    waited = catering.progress

    class Ending:
        """Ends every session as soon as a job is noted."""

        async def noted(self) -> str:
            return await waited.noted()

        async def note(self, text: str) -> None:
            await waited.note(text)
            emulators.control(SYSTEM, "sessions/end", {})

        async def pause(self) -> None:
            await waited.pause()

    assert (await sap.publish(replace(catering, progress=Ending()))).rows == ROWS
    assert asked(emulators, "fetch") > 1


@pytest.mark.parametrize(
    ("name", "table", "code"),
    [
        ("No_Such_Model", weddings(1), "model_missing"),
        (NAME, weddings(1, Dessert=["cake"]), "columns_unknown"),
        (NAME, weddings(1).drop_columns(["Supplier"]), "columns_unknown"),
    ],
    ids=["model", "column too many", "dimension missing"],
)
async def test_a_data_set_that_does_not_fit_is_refused_before_a_job_is_made(
    name: str, table: pa.Table, code: str, sap: SapAnalyticsCloud, emulators: Emulators, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await sap.publish(publication(tmp_path, table, name=name))
    assert (caught.value.detail.code, emulators.objects(SYSTEM, "jobs")) == (code, [])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"kind": "status", "status": 503}, OutcomeUnknown),
        ({"kind": "rate_limit", "retryAfter": 7}, RateLimited),
        ({"kind": "html_login_page"}, OutcomeUnknown),
        ({"kind": "garbage"}, OutcomeUnknown),
        ({"kind": "expire_token"}, AuthExpired),
        ({"kind": "status", "status": 400}, Permanent),
    ],
)
async def test_each_fault_of_an_upload_becomes_the_error_that_says_what_recovers(
    sap: SapAnalyticsCloud,
    emulators: Emulators,
    catering: PublishRequest,
    rule: dict[str, Any],
    expected: type[WedSyncError],
) -> None:
    emulators.fault(SYSTEM, method="POST", path="jobs/[^/]+$", **rule, count=1)
    with pytest.raises(expected) as caught:
        await sap.publish(catering)
    assert (type(caught.value), facts(emulators)) == (expected, [])


async def test_an_oauth_client_without_access_to_the_service_is_told(
    sap: SapAnalyticsCloud, emulators: Emulators, catering: PublishRequest
) -> None:
    emulators.fault(SYSTEM, "status", method="POST", status=403)
    with pytest.raises(Permanent) as caught:
        await sap.publish(catering)
    assert (caught.value.detail.code, asked(emulators, "create_job")) == ("missing_permission", 0)


async def test_a_token_of_the_apps_own_opens_the_tenant_until_it_expires(emulators: Emulators) -> None:
    profile = SapAnalyticsCloud.manifest.oauth
    assert profile is not None
    place = connection(SYSTEM, emulators.base_url(SYSTEM), {}, **SETTINGS)
    endpoint = TokenEndpoint(place, profile, OAuthClient("sandbox-sap-client", SecretStr("sandbox-sap-secret")))
    granted = await endpoint.client_credentials()
    await endpoint.aclose()
    connector = opened(emulators, granted.access_token)
    assert ((await connector.probe()).ok, granted.life_s) == (True, 3_600.0)
    await connector.aclose()
    expired = opened(emulators, str(emulators.grant(SYSTEM, lifetimeS=0)["accessToken"]))
    with pytest.raises(AuthExpired):
        await expired.probe()
    await expired.aclose()


@pytest.mark.parametrize("tenant_name", ["lumen.example.com/x", "lumen.example.com#", "lumen@evil", ""])
async def test_the_settings_lead_to_saps_hosts_only(tenant_name: str) -> None:
    profile, app = SapAnalyticsCloud.manifest.oauth, OAuthClient("app", SecretStr("secret"))
    assert profile is not None
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"access_token": "token"})

    good = connection(SYSTEM, "", {}, **SETTINGS)
    endpoint = TokenEndpoint(good, profile, app, transport=httpx.MockTransport(answer))
    await endpoint.client_credentials()
    await endpoint.aclose()
    assert asked == ["https://lumen.authentication.eu10.hana.ondemand.com/oauth/token"]
    with pytest.raises(InvalidInput) as caught:
        TokenEndpoint(replace(good, settings={**SETTINGS, "tenant": tenant_name}), profile, app)
    assert caught.value.detail.code == "url_not_allowed"
