"""The demo's scenarios about time and about connections, on the session's stack; `make demo` plays them all."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pydantic import SecretStr

from starters.client import open_wedsync
from starters.demo.connections import connections
from starters.demo.enterprise import enterprise_warehouses
from starters.demo.planner import planner_sequences
from starters.demo.scenarios import planner_survey
from starters.demo.stage import Scenario, Stage
from starters.demo.vendors import Vendors
from starters.demo.venue import venue_coordination
from starters.stack import SANDBOX_REPORT_TOKEN
from tests.e2e.conftest import RunningStack
from workers.settings import Settings


async def differences(scenario: Scenario, stack: RunningStack, scratch: Path) -> list[tuple[object, object]]:
    settings = Settings(
        data_dir=stack.data_dir,
        temporal_address=stack.ready["temporal"],
        emulators_url=stack.ready["emulators"],
        report_url=f"{stack.ready['emulators']}/wedsync",
        report_token=SecretStr(SANDBOX_REPORT_TOKEN),
        public_url=stack.ready["api"],
    )
    vendors = Vendors(stack.ready["emulators"])
    async with open_wedsync(settings) as wedsync:
        checks = await scenario(Stage(wedsync, vendors, settings, scratch))
    await vendors.aclose()
    return [(check.expected, check.found) for check in checks if not check.holds]


async def test_the_survey_is_mailed_48_hours_after_the_wedding_and_not_before(stack: RunningStack, tmp_path: Path):
    assert await differences(planner_survey, stack, tmp_path) == []


async def test_f32_a_revoked_connection_parks_its_work_and_loses_none_of_it(stack: RunningStack, tmp_path: Path):
    assert await differences(connections, stack, tmp_path) == []


async def test_a_venue_s_change_reaches_everybody_once_and_a_moved_date_moves_the_event(
    stack: RunningStack, tmp_path: Path
):
    assert await differences(venue_coordination, stack, tmp_path) == []


async def test_a_planner_s_automations_write_to_every_couple_once_and_undo_what_failed(
    stack: RunningStack, tmp_path: Path
):
    assert await differences(partial(planner_sequences, weddings=11), stack, tmp_path) == []


async def test_the_same_weddings_make_equal_marts_in_different_warehouses(stack: RunningStack, tmp_path: Path):
    scenario = partial(enterprise_warehouses, weddings=2_000, warehouses=("redshift", "databricks"))
    assert await differences(scenario, stack, tmp_path) == []
