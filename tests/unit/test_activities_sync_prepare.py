"""What a sync refuses before it asks anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.security.envelope import MasterKey
from activities.storage.staging import Staging
from activities.sync import Sync
from contracts.errors import InvalidInput
from contracts.sync_steps import PrepareSync


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "database", "integrationId": "wedsync-db", "reportId": "weddings"},
        {"kind": "wedsync", "reportId": "weddings", "changedSince": "2026-01-01T00:00:00Z"},
    ],
)
async def test_a_source_that_only_loads_can_read_is_refused_by_a_sync(tmp_path: Path, source: dict[str, Any]):
    staging = Staging(f"file://{tmp_path}/objects", MasterKey(bytes(32)), tmp_path / "scratch")
    nothing: Any = None
    sync = Sync(nothing, staging, nothing, letters=nothing, schemas=nothing, wedsync=nothing, fingerprint_key=bytes(32))
    request = {
        "syncId": "sync-1",
        "organizationId": "lumen-studios",
        "sourceReportId": "weddings",
        "targetIntegration": {"integrationId": "crm"},
        "source": source,
    }
    with pytest.raises(InvalidInput) as caught:
        await ActivityEnvironment().run(
            sync.prepare, PrepareSync.model_validate({"request": request, "runId": "run-1"})
        )
    assert caught.value.detail.code == "source_unsupported"
