"""The demo's scenario that waits 48 hours, on the session's stack; `make demo` plays them all."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from starters.client import open_wedsync
from starters.demo.scenarios import Stage, planner_survey
from starters.demo.vendors import Vendors
from starters.stack import SANDBOX_REPORT_TOKEN
from tests.e2e.conftest import RunningStack
from workers.settings import Settings


async def test_the_survey_is_mailed_48_hours_after_the_wedding_and_not_before(stack: RunningStack, tmp_path: Path):
    settings = Settings(
        data_dir=stack.data_dir,
        temporal_address=stack.ready["temporal"],
        emulators_url=stack.ready["emulators"],
        report_url=f"{stack.ready['emulators']}/wedsync",
        report_token=SecretStr(SANDBOX_REPORT_TOKEN),
    )
    vendors = Vendors(stack.ready["emulators"])
    async with open_wedsync(settings) as wedsync:
        checks = await planner_survey(Stage(wedsync, vendors, settings, tmp_path))
    await vendors.aclose()
    assert [(check.expected, check.found) for check in checks if not check.holds] == []
