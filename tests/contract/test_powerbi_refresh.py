"""Power BI models refreshed from a warehouse: waited for, found again, and red where rows lack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from activities.connectors.bi.powerbi import PowerBi
from activities.ports.datasets import PublishRequest
from contracts.errors import InvalidInput, Permanent, RateLimited
from emulators import powerbi as workspace
from tests.support.emulators import Emulators
from tests.support.powerbi_group import NAME, columns, interrupted, kinds, look, opened, remembered, warehouse
from tests.support.publications import publication

EMULATED = ("powerbi",)


@pytest.fixture
async def refreshing(emulators: Emulators) -> AsyncIterator[PowerBi]:
    connector = opened(emulators, route="refresh", table="Weddings")
    yield connector
    await connector.aclose()


@pytest.fixture
def portfolio(tmp_path: Path) -> PublishRequest:
    return publication(tmp_path, columns(7), name=workspace.WAREHOUSE_MODEL)


async def test_a_refresh_is_waited_for_and_its_rows_are_counted(
    refreshing: PowerBi, emulators: Emulators, portfolio: PublishRequest
) -> None:
    warehouse(emulators, rows=7, looks=3)
    answer = await refreshing.publish(portfolio)
    assert (answer.rows, remembered(portfolio).pauses) == (7, 3)
    assert kinds(emulators) == ["refresh.begun", "model.refreshed"]


async def test_f3_a_refresh_under_way_is_found_again_after_a_killed_worker(
    refreshing: PowerBi, emulators: Emulators, portfolio: PublishRequest
) -> None:
    warehouse(emulators, rows=7, looks=1)
    with pytest.raises(RateLimited):
        await interrupted(emulators, 2, route="refresh", table="Weddings").publish(portfolio)
    assert (await refreshing.publish(portfolio)).rows == 7
    assert kinds(emulators).count("refresh.begun") == 1


async def test_a_refresh_beside_another_waits_for_it_and_then_reads_what_is_new(
    refreshing: PowerBi, emulators: Emulators, portfolio: PublishRequest, tmp_path: Path
) -> None:
    warehouse(emulators, rows=5, looks=2)
    earlier = publication(tmp_path, columns(5), name=workspace.WAREHOUSE_MODEL, request_id="request-0")
    with pytest.raises(RateLimited):
        await interrupted(emulators, 2, route="refresh", table="Weddings").publish(earlier)
    warehouse(emulators, rows=7)
    waiting = remembered(portfolio)

    async def pause() -> None:
        waiting.pauses += 1
        # Whoever began the other refresh goes on looking at it.
        look(emulators)

    waiting.pause = pause  # type: ignore[method-assign]
    assert (await refreshing.publish(portfolio)).rows == 7
    assert waiting.pauses == 2
    assert kinds(emulators) == ["refresh.begun", "model.refreshed", "refresh.begun", "model.refreshed"]


@pytest.mark.parametrize("status", ["Failed", "Disabled"])
async def test_a_refresh_that_fails_is_red_and_the_next_run_begins_another(
    status: str, refreshing: PowerBi, emulators: Emulators, portfolio: PublishRequest
) -> None:
    warehouse(emulators, rows=7, status=status)
    with pytest.raises(Permanent) as caught:
        await refreshing.publish(portfolio)
    assert (caught.value.detail.code, caught.value.detail.evidence["status"]) == ("refresh_failed", status)
    warehouse(emulators, rows=7)
    assert (await refreshing.publish(portfolio)).rows == 7


async def test_a_model_whose_warehouse_lacks_rows_is_red(
    refreshing: PowerBi, emulators: Emulators, portfolio: PublishRequest
) -> None:
    warehouse(emulators, rows=6)
    with pytest.raises(Permanent, match="holds 6 rows and the report has 7") as caught:
        await refreshing.publish(portfolio)
    assert caught.value.detail.code == "model_differs"


@pytest.mark.parametrize("name", ["No such model", NAME])
async def test_a_model_that_is_not_there_or_has_no_warehouse_cannot_be_refreshed(
    name: str, refreshing: PowerBi, emulators: Emulators, tmp_path: Path
) -> None:
    pushing = opened(emulators)
    await pushing.publish(publication(tmp_path, columns(7), name=NAME))
    await pushing.aclose()
    with pytest.raises(InvalidInput) as caught:
        await refreshing.publish(publication(tmp_path, columns(7), name=name, request_id="request-2"))
    assert caught.value.detail.code == "model_missing"
