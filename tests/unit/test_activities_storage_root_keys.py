"""Root keys: what was derived before a rotation stays derivable after it, under the new master key alone."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from temporalio.api.common.v1 import Payload

from activities.security.envelope import MasterKey, seal_stream
from activities.security.keyring import KeyRing
from activities.storage.database import Database, migrate
from activities.storage.root_keys import StoredRootKeys
from activities.storage.sealed_rows import SEALED_TABLES, SealedRows
from activities.storage.staging import Staging
from contracts.dataset import DatasetRef
from contracts.errors import Permanent, Transient
from workers.codec import SealingCodec

OLD, NEW = MasterKey(b"o" * 32), MasterKey(b"n" * 32)
BEFORE, DURING, AFTER = KeyRing(given=[OLD]), KeyRing(given=[NEW, OLD]), KeyRing(given=[NEW])


@pytest.fixture
def url(tmp_path: Path) -> str:
    found = f"sqlite:///{tmp_path}/store.db"
    migrate(found)
    return found


async def rotated(url: str) -> StoredRootKeys:
    StoredRootKeys(url, DURING).renew()
    database = Database(url)
    await SealedRows(database, DURING).rewrap(SEALED_TABLES[0], None, 10)
    await database.aclose()
    return StoredRootKeys(url, AFTER)


def test_the_first_root_derives_what_its_master_key_derives(url: str) -> None:
    root = StoredRootKeys(url, BEFORE).fetch()
    assert (root.key_id(), root.derive("fingerprints")) == (OLD.key_id(), OLD.derive("fingerprints"))


def test_the_first_root_does_not_lead_to_the_keys_that_wrap_records() -> None:
    assert OLD.derive("lumen") != OLD.organization_key("lumen")


async def test_fingerprints_outlast_the_master_key(url: str) -> None:
    first = StoredRootKeys(url, BEFORE).eldest().derive("fingerprints")
    assert (await rotated(url)).eldest().derive("fingerprints") == first


async def test_payloads_from_before_a_rotation_open_and_new_ones_are_under_a_new_root(url: str) -> None:
    before = SealingCodec(StoredRootKeys(url, BEFORE), "default", allow_plain=False)
    [old] = await before.encode([_payload()])
    after = SealingCodec(await rotated(url), "default", allow_plain=False)
    [new] = await after.encode([_payload()])
    assert await after.decode([old, new]) == [_payload(), _payload()]
    assert old.metadata["encryption-key-id"] != new.metadata["encryption-key-id"]


async def test_a_process_that_knows_only_the_old_root_opens_a_payload_under_the_new_one(url: str) -> None:
    late = SealingCodec(StoredRootKeys(url, DURING), "default", allow_plain=False)
    await late.encode([_payload()])
    prompt = SealingCodec(await rotated(url), "default", allow_plain=False)
    assert await late.decode(await prompt.encode([_payload()])) == [_payload()]


async def test_staged_files_outlast_a_rotation(url: str, tmp_path: Path) -> None:
    plain = tmp_path / "rows"
    plain.write_bytes(b"rows" * 100)
    before = Staging(f"file://{tmp_path}/objects", StoredRootKeys(url, BEFORE), tmp_path / "one")
    ref = await before.put_file("lumen/run/part", plain, 1)
    after = Staging(f"file://{tmp_path}/objects", await rotated(url), tmp_path / "two")
    with after.scratch() as folder:
        assert (await after.fetch(ref, folder)).read_bytes() == plain.read_bytes()


async def test_a_staged_file_that_names_no_root_opens_after_a_rotation(url: str, tmp_path: Path) -> None:
    StoredRootKeys(url, BEFORE).eldest()
    staging = Staging(f"file://{tmp_path}/objects", await rotated(url), tmp_path / "scratch")
    boxes = seal_stream(OLD.derive("staging/lumen"), io.BytesIO(b"rows"), "lumen/part")
    (tmp_path / "objects" / "lumen").mkdir()
    (tmp_path / "objects" / "lumen" / "part").write_bytes(b"".join(boxes))
    ref = DatasetRef(key="lumen/part", rows=1, size_bytes=4, sha256=hashlib.sha256(b"rows").hexdigest())
    with staging.scratch() as folder:
        assert (await staging.fetch(ref, folder)).read_bytes() == b"rows"


def test_a_second_renewal_for_the_same_master_key_adds_nothing(url: str) -> None:
    StoredRootKeys(url, BEFORE).fetch()
    keys = StoredRootKeys(url, DURING)
    assert keys.renew() == keys.renew()
    assert keys.fetch().key_id() != keys.eldest().key_id()


def test_a_key_that_no_root_has_is_refused(url: str) -> None:
    with pytest.raises(Permanent):
        StoredRootKeys(url, BEFORE).fetch("0" * 12)


def test_a_store_without_tables_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Transient, match="no tables"):
        StoredRootKeys(f"sqlite:///{tmp_path}/empty.db", BEFORE).fetch()


def _payload() -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=b'"Ana"')
