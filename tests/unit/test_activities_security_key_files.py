"""Key files: private, whole, and read again when they change."""

from __future__ import annotations

from pathlib import Path

import pytest

from activities.security.envelope import MasterKey
from activities.security.key_files import KeyFiles
from activities.security.keyring import KeyRing
from contracts.errors import Permanent, Transient

NEWEST, NEXT, PREVIOUS = "master.key", "master.key.next", "master.key.previous"


def write(path: Path, *keys: MasterKey, mode: int = 0o600) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text("".join(f"{key.as_text()}\n" for key in keys))
    draft.chmod(mode)
    draft.replace(path)


@pytest.fixture
def files(tmp_path: Path) -> KeyFiles:
    return KeyFiles(tmp_path / NEWEST)


def test_a_generated_key_file_is_private_and_read_again(files: KeyFiles) -> None:
    first = KeyRing(files).fetch()
    assert files.newest.stat().st_mode & 0o777 == 0o600
    assert KeyRing(files).fetch().key_id() == first.key_id()
    assert list(files.newest.parent.iterdir()) == [files.newest]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
@pytest.mark.parametrize("name", [NEWEST, NEXT, PREVIOUS])
def test_a_key_file_that_others_may_read_is_refused(files: KeyFiles, name: str, mode: int) -> None:
    KeyRing(files)
    write(files.newest.with_name(name), MasterKey.generate(), mode=mode)
    with pytest.raises(Permanent, match="other users") as caught:
        KeyRing(files)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "\n", "short\n", "bm90IGxvbmcgZW5vdWdo\n", f"{MasterKey(bytes(32)).as_text()}\n\nx"]
)
@pytest.mark.parametrize("name", [NEWEST, NEXT, PREVIOUS])
def test_a_key_file_with_anything_but_keys_is_refused(files: KeyFiles, name: str, text: str) -> None:
    KeyRing(files)
    path = files.newest.with_name(name)
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(Permanent, match="needs 32"):
        KeyRing(files)


def test_a_running_process_whose_key_file_is_lost_keeps_its_key_and_invents_none(files: KeyFiles) -> None:
    ring = KeyRing(files)
    held = ring.fetch()
    files.newest.unlink()
    assert ring.fetch().key_id() == held.key_id()
    assert not files.newest.exists()


def test_a_key_that_is_about_to_be_the_newest_opens_and_does_not_seal(files: KeyFiles) -> None:
    ring = KeyRing(files)
    current, coming = ring.fetch(), MasterKey.generate()
    write(files.next, coming)
    assert ring.fetch().key_id() == current.key_id()
    assert ring.fetch(coming.key_id()).key_id() == coming.key_id()


def test_a_running_process_takes_up_a_new_key_and_lets_go_of_an_old_one(files: KeyFiles) -> None:
    ring = KeyRing(files)
    old, new = ring.fetch(), MasterKey.generate()
    write(files.previous, old)
    write(files.newest, new)
    assert [key.key_id() for key in ring.every()] == [new.key_id(), old.key_id()]
    files.previous.unlink()
    with pytest.raises(Transient, match=old.key_id()):
        ring.fetch(old.key_id())
