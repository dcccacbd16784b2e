"""The care of master keys: a rotation from beginning to end, and which key seals how much."""

from __future__ import annotations

from pathlib import Path

from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from activities.security.envelope import MasterKey
from activities.security.key_files import KeyFiles, keys_in
from activities.storage.database import Database
from activities.storage.sealed_rows import SealedRows
from contracts.errors import InvalidInput, Owner
from contracts.keys import KeysStatus, KeyUse, RotateKeysInput, RotateKeysResult
from contracts.names import ORCHESTRATION_QUEUE, WorkflowType, rotate_keys_workflow_id
from starters.failures import translated
from starters.locks import alone
from starters.private_files import write_private
from starters.runs import Run
from workers.settings import Profile, Settings
from workers.temporal import connect
from workflows.policies import HOUSEKEEPING, RUN_TIMEOUT

_RUNNING = InvalidInput(
    "rotation_running",
    "Another command is rotating the master key of this data directory.",
    owner=Owner.OPERATOR,
    action="Let it finish.",
)


async def rotate(settings: Settings) -> RotateKeysResult:
    """Bring every record under the newest master key and retire the others.

    In the embedded profile, where the key lies in the data directory, a new one is generated first and the old one
    removed last; elsewhere the newest key is the one that the operator has distributed. A rotation that was broken off
    is taken up where it stood.

    Raises:
        Transient: Temporal or the store does not answer.
        InvalidInput: another rotation is being driven from this data directory.
    """
    client = await connect(settings.model_copy(update={"metrics_address": ""}))
    masters = settings.load_master_keys()
    if settings.master_key is not None or settings.profile is not Profile.EMBEDDED:
        return await _rewrapped(client, masters.fetch().key_id())
    files = KeyFiles(settings.master_key_file)
    with alone(settings.data_dir / "keys.lock", _RUNNING):
        if not files.next.exists() and not files.previous.exists():
            _write(files.next, [MasterKey.generate()])
        if files.next.exists():
            # Every process finds a key by its id in all three files, so none ever lacks one.
            _write(files.previous, [*keys_in(files.newest), *keys_in(files.previous)])
            files.next.replace(files.newest)
        result = await _rewrapped(client, masters.fetch().key_id())
        files.previous.unlink()
    return result


async def status(settings: Settings) -> KeysStatus:
    """Return every master key that is held here or that sealed something, the newest first.

    Raises:
        Transient: the store does not answer.
    """
    masters = settings.load_master_keys()
    held = [key.key_id() for key in masters.every()]
    database = Database(settings.database_url)
    rows = SealedRows(database, masters)
    try:
        with translated():
            counts, known = await rows.counts(), await rows.known()
    finally:
        await database.aclose()
    found = {key_id for count in counts.values() for key_id in count} | known.keys()
    return KeysStatus(
        keys=[
            KeyUse(
                key_id=key_id,
                newest=key_id == held[0],
                held=key_id in held,
                retired=key_id in known and known[key_id].retired,
                rows={table: count[key_id] for table, count in counts.items() if count[key_id]},
            )
            for key_id in [*dict.fromkeys(held), *sorted(found - set(held))]
        ]
    )


async def _rewrapped(client: Client, key_id: str) -> RotateKeysResult:
    with translated():
        handle: WorkflowHandle[object, RotateKeysResult] = await client.start_workflow(
            WorkflowType.ROTATE_KEYS.value,
            RotateKeysInput(key_id=key_id),
            id=rotate_keys_workflow_id(key_id),
            task_queue=ORCHESTRATION_QUEUE,
            result_type=RotateKeysResult,
            execution_timeout=RUN_TIMEOUT,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            priority=HOUSEKEEPING,
            static_summary="Rotate the master key",
        )
    return await Run(handle, RotateKeysResult).result()


def _write(path: Path, keys: list[MasterKey]) -> None:
    write_private(path, "".join(f"{text}\n" for text in dict.fromkeys(key.as_text() for key in keys)))
