"""The store's schema: brought to its newest version once, and found there afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory

from activities.storage import database


def test_the_newest_version_is_the_head_of_the_migrations() -> None:
    migrations = ScriptDirectory(str(Path(database.__file__).parent / "migrations"))
    assert database.newest_version() == migrations.get_current_head()


def test_a_current_store_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/wedsync.db"
    database.migrate(url)
    monkeypatch.setattr(command, "upgrade", lambda *_: pytest.fail("migrated again"))
    database.migrate(url)
