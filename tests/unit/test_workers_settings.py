"""The keys a process starts with: all of them good, or it does not start."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from activities.security.envelope import MasterKey
from contracts.errors import Permanent
from workers.settings import Profile, Settings

FIRST, SECOND, COMING = (MasterKey(letter * 32) for letter in (b"1", b"2", b"3"))


def settings(folder: Path, newest: str | None, previous: str | None = None, **given: object) -> Settings:
    keys = {"master_key": newest, "master_key_previous": previous}
    return Settings(data_dir=folder, **{name: SecretStr(text) for name, text in keys.items() if text}, **given)


def test_the_newest_key_seals_and_every_given_one_opens(tmp_path: Path) -> None:
    ring = settings(tmp_path, SECOND.as_text(), f"{FIRST.as_text()}, {COMING.as_text()}").load_master_keys()
    assert ring.fetch().key_id() == SECOND.key_id()
    assert {ring.fetch(key.key_id()).key_id() for key in (FIRST, COMING)} == {FIRST.key_id(), COMING.key_id()}


@pytest.mark.parametrize("wrong", ["short", "!" * 44, MasterKey(bytes(32)).as_text()[:-4]])
@pytest.mark.parametrize("place", ["newest", "previous"])
def test_a_short_or_malformed_key_is_refused_wherever_it_stands(tmp_path: Path, place: str, wrong: str) -> None:
    newest, previous = (wrong, None) if place == "newest" else (FIRST.as_text(), f"{SECOND.as_text()},{wrong}")
    with pytest.raises(Permanent, match="needs 32") as caught:
        settings(tmp_path, newest, previous).load_master_keys()
    assert wrong not in str(caught.value)


def test_production_invents_no_key(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="no master key"):
        settings(tmp_path, None, profile=Profile.PRODUCTION)
    assert not (tmp_path / "master.key").exists()


def test_older_keys_without_a_newest_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="WEDSYNC_MASTER_KEY_PREVIOUS"):
        settings(tmp_path, None, FIRST.as_text())


def test_no_setting_shows_a_key(tmp_path: Path) -> None:
    assert FIRST.as_text() not in repr(settings(tmp_path, FIRST.as_text(), FIRST.as_text()))
