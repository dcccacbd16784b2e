"""Records that a report once brought to its target and no longer has: found, and removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from pydantic import BaseModel
from temporalio import activity

from activities.access import Access
from activities.ports.records import RemovingRecordConnector
from activities.ports.sources import SourceConnector
from activities.storage.receipts import Receipt, Receipts, Scope
from activities.storage.staging import Staging
from activities.sync_extraction import Seen
from activities.sync_parts import Parts, StagedRecord
from activities.sync_progress import resume
from activities.transform.records import record_id
from contracts.dataset import SourceKind
from contracts.sync import RecordResult, RecordStatus
from contracts.sync_plan import hash_of
from contracts.sync_steps import FindRemovals, FoundRemovals, RemovalProgress, RemoveRecords, SyncPlan

_PAGE = 1_000
_DETAILS = 100


class Gone(BaseModel):
    """A record that is gone from the report, and the run that had brought it last."""

    id: str
    run_id: str


class SyncRemovals:
    """The verbs of removals.

    Args:
        access: opens the integration's connector.
        staging: the sealed object store.
        receipts: what vendors have acknowledged.
        wedsync: opens the reporting API for an organisation.
    """

    def __init__(
        self, access: Access, staging: Staging, receipts: Receipts, wedsync: Callable[[str], SourceConnector]
    ) -> None:
        self._access = access
        self._staging = staging
        self._receipts = receipts
        self._wedsync = wedsync

    @activity.defn(name="sync.find_removals")
    async def find_removals(self, given: FindRemovals) -> FoundRemovals:
        """Compare the receipts of a report with what it holds now. Idempotent: yes, it only reads."""
        plan = given.plan
        parts = Parts(self._staging, plan.organization_id, plan.run_id)
        gone, known, anonymous = list[Gone](), 0, 0
        with self._staging.scratch() as folder:
            present, anonymous = await _present(parts, given, folder)
            async for receipt in self._brought(plan):
                known += 1
                if present.fresh(receipt.record_id):
                    gone.append(Gone(id=receipt.record_id, run_id=receipt.run_id))
            present.close()
        return FoundRemovals(
            gone=await parts.write("removals/gone.ndjson", gone),
            known=known,
            anonymous=anonymous,
            digest=hash_of(item.id for item in gone),
        )

    @activity.defn(name="sync.remove_records")
    async def remove_records(self, given: RemoveRecords) -> RemovalProgress:
        """Remove records from the target, but none that another run has brought again. Idempotent: yes.

        Raises:
            AuthExpired: the vendor refuses the credential.
            OutcomeUnknown: the answer was lost; the next attempt asks what is still there.
        """
        plan = given.plan
        connector = await self._access.connector(plan.organization_id, plan.integration_id, RemovingRecordConnector)
        gone = await Parts(self._staging, plan.organization_id, plan.run_id).read(given.gone, Gone)
        pulse = resume(RemovalProgress)
        size = connector.manifest.batch_size
        for start in range(pulse.progress.done, len(gone), size):
            pulse.beat(await self._removed(connector, plan, gone[start : start + size], pulse.progress))
        return pulse.progress

    async def _removed(
        self, connector: RemovingRecordConnector, plan: SyncPlan, gone: list[Gone], before: RemovalProgress
    ) -> RemovalProgress:
        scope = _scope(plan)
        ids = [item.id for item in gone]
        known, back = await self._receipts.load(scope, ids), await self._back_in_report(plan, ids)
        back |= {item.id for item in gone if item.id in known and known[item.id].run_id != item.run_id}
        # A receipt that is not there was dropped by an earlier attempt, after the vendor had removed the record.
        still = [known[one] for one in ids if one in known and one not in back]
        reappeared = len(back & known.keys())
        refused, calls = {}, 0
        if still:
            answer = await connector.remove(plan.target_object, [receipt.record_id for receipt in still])
            refused, calls = dict(answer.refused), answer.vendor_calls
            await self._receipts.forget(scope, [one for one in still if one.record_id not in refused])
        failures = [
            RecordResult(record_id=one, status=RecordStatus.REJECTED, reason=reason) for one, reason in refused.items()
        ]
        return RemovalProgress(
            done=before.done + len(gone),
            removed=before.removed + len(gone) - reappeared - len(refused),
            failed=before.failed + len(refused),
            reappeared=before.reappeared + reappeared,
            vendor_calls=before.vendor_calls + calls,
            details=[*before.details, *failures][:_DETAILS],
        )

    async def _back_in_report(self, plan: SyncPlan, record_ids: Sequence[str]) -> set[str]:
        """Return which of the records the report holds just now: an approval may come a day after the look."""
        found: set[str] = set()
        if plan.source.kind is SourceKind.WEDSYNC:
            source = self._wedsync(plan.organization_id)
            async for page in source.pages(plan.report_id, record_ids=record_ids):
                found |= {identity for record in page.records if (identity := record_id(record))}
        return found & set(record_ids)

    async def _brought(self, plan: SyncPlan) -> AsyncIterator[Receipt]:
        after = ""
        while page := await self._receipts.brought_by(_scope(plan), plan.report_id, after, _PAGE):
            for receipt in page:
                yield receipt
            after = page[-1].record_id


async def _present(parts: Parts, given: FindRemovals, folder: Path) -> tuple[Seen, int]:
    """Return the ids of all records of the extract, and how many have none."""
    present, anonymous = Seen(folder), 0
    for ref in await parts.refs(given.parts, 0, given.parts.count):
        rows = await parts.read(ref, StagedRecord)
        anonymous += sum(row.anonymous for row in rows)
        await asyncio.to_thread(present.note, [row.id for row in rows])
    return present, anonymous


def _scope(plan: SyncPlan) -> Scope:
    return Scope(plan.organization_id, plan.integration_id, plan.target_object)
