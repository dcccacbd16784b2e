"""A rotation in the store: every sealed row comes under the new key, and no write is lost or left behind."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.security.envelope import MasterKey, seal
from activities.security.key_files import KeyFiles
from activities.security.keyring import KeyRing
from activities.storage.alert_routes import AlertRouteStore
from activities.storage.authorizations import AuthorizationStore, PendingAuthorization
from activities.storage.automations import AutomationStore
from activities.storage.connections import ConnectionStore
from activities.storage.credentials import SealedSecretStore
from activities.storage.database import Database, metadata, migrate
from activities.storage.dead_letters import DeadLetters, Outbox, Undelivered
from activities.storage.escalation_policies import EscalationPolicyStore
from activities.storage.idempotency import Answer, IdempotencyStore
from activities.storage.preferences import PreferenceStore
from activities.storage.receipts import Scope
from activities.storage.root_keys import StoredRootKeys
from activities.storage.sealed_rows import SEALED_TABLES, SealedRows
from activities.storage.subject_keys import SubjectKeys
from activities.storage.templates import TemplateStore
from contracts.alerts import AlertRoutes
from contracts.automation import AutomationDefinition
from contracts.errors import Permanent, Transient
from contracts.escalation import EscalationPolicy
from contracts.identity import TemplateWords
from contracts.integration import CredentialRef, IntegrationConfiguration, IntegrationState
from contracts.preferences import ContactPreferences
from contracts.sync import RecordStatus
from starters.private_files import write_private

OLD, NEW = MasterKey(b"o" * 32), MasterKey(b"n" * 32)
BEFORE, DURING, AFTER = KeyRing(given=[OLD]), KeyRing(given=[NEW, OLD]), KeyRing(given=[NEW])
CREDENTIALS = next(sealed for sealed in SEALED_TABLES if sealed.name == "credentials")
REF = CredentialRef(organization_id="lumen", integration_id="crm", version=1)
OUTBOX = Outbox(Scope("lumen", "crm", "weddings"), "weddings")
ANSWER = Answer(202, {}, '{"runId": "r-1"}')


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path}/store.db"
    migrate(url)
    database = Database(url)
    yield database
    await database.aclose()


async def fill(store: Database) -> None:
    assert await SubjectKeys(store, BEFORE).of("lumen", ["s" * 32])
    await SealedSecretStore(store, BEFORE).put("lumen", "crm", {"token": "t-1"})
    configuration = {"integrationId": "crm", "organizationId": "lumen", "platform": "hubspot", "connectionConfig": {}}
    await ConnectionStore(store, BEFORE).put(
        IntegrationConfiguration.model_validate(configuration), IntegrationState.ACTIVE
    )
    requests = IdempotencyStore(store, BEFORE, OLD.eldest)
    await requests.begin("lumen", "k|1", requests.fingerprint("lumen", b"{}"))
    await requests.complete("lumen", "k|1", ANSWER)
    StoredRootKeys(store.url, BEFORE).eldest()
    plan = {"definitionId": "d-1", "organizationId": "lumen", "name": "d"}
    await AutomationStore(store, BEFORE).save(AutomationDefinition.model_validate(plan))
    await AlertRouteStore(store, BEFORE).put(AlertRoutes(organization_id="lumen"))
    policy = EscalationPolicy(organization_id="lumen", policy_id="day")
    await EscalationPolicyStore(store, BEFORE).put(policy)
    pending = PendingAuthorization(
        configuration=IntegrationConfiguration.model_validate(configuration), code_verifier="v", redirect_uri="r"
    )
    await PreferenceStore(store, BEFORE).put("lumen", "c" * 32, ContactPreferences(opted_out=True))
    await TemplateStore(store, BEFORE).save("lumen", TemplateWords(name="reminder", text="Soon"))
    letter = Undelivered("wed-1", "wed-1", RecordStatus.REJECTED, "required value missing: wedding_name", "{}")
    await DeadLetters(store, BEFORE).keep(OUTBOX, "run-1", [letter], datetime.now(UTC))
    await AuthorizationStore(store, BEFORE).put("state", pending, datetime.now(UTC) + timedelta(minutes=10))


async def rotate(store: Database, limit: int = 1) -> SealedRows:
    rows = SealedRows(store, DURING)
    for sealed in SEALED_TABLES:
        page = await rows.rewrap(sealed, None, limit)
        while page.last is not None:
            page = await rows.rewrap(sealed, page.last, limit)
    return rows


def test_every_table_with_a_sealed_column_takes_part() -> None:
    assert {sealed.name for sealed in SEALED_TABLES} == {t.name for t in metadata.sorted_tables if "sealed" in t.c}


async def test_every_kind_of_record_opens_under_the_new_key_alone(store: Database) -> None:
    await fill(store)
    subject_key = await SubjectKeys(store, BEFORE).of("lumen", ["s" * 32])
    rows = await rotate(store)
    assert await SubjectKeys(store, AFTER).of("lumen", ["s" * 32]) == subject_key
    assert await rows.counts() == {sealed.name: {NEW.key_id(): 1} for sealed in SEALED_TABLES}
    opened = await SealedSecretStore(store, AFTER).get(REF)
    assert opened["token"].get_secret_value() == "t-1"
    assert await ConnectionStore(store, AFTER).get("lumen", "crm") is not None
    assert (await AlertRouteStore(store, AFTER).get("lumen")).organization_id == "lumen"
    assert [one.version for one in await AutomationStore(store, AFTER).newest("lumen")] == [1]
    assert await AuthorizationStore(store, AFTER).take("state") is not None
    assert (await PreferenceStore(store, AFTER).wishes("lumen", ["c" * 32])).of("c" * 32).opted_out
    assert (await DeadLetters(store, AFTER).listed("lumen"))[1] == 1
    assert await TemplateStore(store, AFTER).get("lumen", "reminder") is not None
    requests = IdempotencyStore(store, AFTER, StoredRootKeys(store.url, AFTER).eldest)
    assert await requests.begin("lumen", "k|1", requests.fingerprint("lumen", b"{}")) == ANSWER


async def test_records_from_before_key_ids_are_counted_and_rewrapped(store: Database) -> None:
    await fill(store)
    earlier = seal(OLD.derive("credentials/lumen"), b'{"token": "t-0"}', "credential|lumen|crm|1")
    async with store.begin() as connection:
        await connection.execute(CREDENTIALS.table.update().values(sealed=earlier))
    assert (await SealedRows(store, DURING).counts())["credentials"] == {"": 1}
    await rotate(store)
    assert (await SealedSecretStore(store, AFTER).get(REF))["token"].get_secret_value() == "t-0"


async def test_a_row_that_is_written_meanwhile_is_not_overwritten(store: Database) -> None:
    await fill(store)

    def interfering(row: object) -> str:
        with closing(sqlite3.connect(store.url.removeprefix("sqlite:///"))) as other, other:
            other.execute("UPDATE credentials SET sealed = ?", [b"written meanwhile"])
        return "credential|lumen|crm|1"

    page = await SealedRows(store, DURING).rewrap(replace(CREDENTIALS, place=interfering), None, 10)
    async with store.begin() as connection:
        found = (await connection.execute(CREDENTIALS.table.select())).one()
    assert (page.rewrapped, found.sealed) == (0, b"written meanwhile")


async def test_a_row_that_does_not_open_is_named(store: Database) -> None:
    await fill(store)
    async with store.begin() as connection:
        await connection.execute(CREDENTIALS.table.update().values(sealed=b"damaged"))
    with pytest.raises(Permanent) as caught:
        await rotate(store)
    assert caught.value.detail.evidence == {"table": "credentials", "row": ["lumen", "crm", 1]}


async def test_a_key_that_still_seals_a_record_is_not_retired(store: Database) -> None:
    await fill(store)
    rows = SealedRows(store, DURING)
    assert await rows.retire([OLD.key_id()], NEW.key_id()) == (len(SEALED_TABLES), len(SEALED_TABLES))
    await SealedSecretStore(store, BEFORE).put("lumen", "crm", {"token": "t-2"})


async def test_writers_that_never_pause_leave_nothing_under_the_old_key(store: Database, tmp_path: Path) -> None:
    files = KeyFiles(tmp_path / "master.key")
    writer, rotator = KeyRing(files), KeyRing(files)
    [old], new = files.read(), MasterKey.generate()
    written, ended = [], asyncio.Event()

    async def write(integration_id: str) -> None:
        while not ended.is_set():
            with contextlib.suppress(Transient):
                written.append(await SealedSecretStore(store, writer).put("lumen", integration_id, {"token": "t"}))

    writing = [asyncio.create_task(write(f"crm-{number}")) for number in range(3)]
    await SealedSecretStore(store, rotator).put("lumen", "crm", {"token": "t"})
    write_private(files.previous, old.as_text())
    write_private(files.newest, new.as_text())
    rows, left = SealedRows(store, rotator), 1
    while left:
        for sealed in SEALED_TABLES:
            page = await rows.rewrap(sealed, None, 5)
            while page.last is not None:
                page = await rows.rewrap(sealed, page.last, 5)
        _, left = await rows.retire([old.key_id()], new.key_id())
    ended.set()
    await asyncio.gather(*writing)
    alone = SealedSecretStore(store, KeyRing(given=[new]))
    assert [(await alone.get(ref))["token"].get_secret_value() for ref in written] == ["t"] * len(written)


async def test_a_process_that_was_late_commits_nothing_under_a_retired_key(store: Database) -> None:
    await fill(store)
    rows = await rotate(store)
    assert (await rows.retire([OLD.key_id()], NEW.key_id()))[1] == 0
    late, prompt = SealedSecretStore(store, BEFORE), SealedSecretStore(store, DURING)
    with pytest.raises(Transient, match="rotated"):
        await late.put("lumen", "crm", {"token": "t-2"})
    assert (await rows.counts())["credentials"] == {NEW.key_id(): 1}
    assert (await prompt.put("lumen", "crm", {"token": "t-2"})).version == 2
