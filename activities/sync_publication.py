"""A data set on its way into a BI system: published, waited for, and accounted for row by row."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from activities.ports.datasets import DatasetConnector, PublishRequest
from activities.sync_dataset import Dataset
from activities.sync_parts import Parts, rows_of
from contracts.errors import Transient
from contracts.names import effect_id
from contracts.sync import Books, RecordResult, RecordStatus
from contracts.sync_steps import PushedRecords, SyncPlan

_NOTE = "parts/publication.note"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
_LONGEST_REASON = 500


class StagedProgress:
    """The progress of one run's publication, staged at once, because a heartbeat reaches the server seconds later."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._pause_s = _FIRST_PAUSE_S

    async def noted(self) -> str:
        """Return what an earlier attempt noted last."""
        return await self._parts.note(_NOTE)

    async def note(self, text: str) -> None:
        """Keep a short text for a later attempt."""
        await self._parts.put_note(_NOTE, text)

    async def pause(self) -> None:
        """Wait half a second at first, ten at last."""
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)


async def published(
    connector: DatasetConnector, plan: SyncPlan, dataset: Dataset, parts: Parts, folder: Path
) -> PushedRecords:
    """Publish a data set under the plan's name and stage what became of each record.

    Raises:
        QualityGateFailed: the system refuses more rows than the integration allows; nothing was replaced.
        Transient: `publication_incomplete`, the system holds another number of rows.
    """
    request = PublishRequest(
        name=plan.target_object,
        files=[dataset.path],
        columns=dataset.columns,
        request_id=effect_id(plan.organization_id, plan.integration_id, plan.target_object, plan.run_id),
        scratch_dir=folder,
        progress=StagedProgress(parts),
        most_refused=int(plan.max_rejected_ratio * dataset.books.read) - dataset.books.rejected,
    )
    request.check_refused(0)
    answer = await connector.publish(request)
    wanted = dataset.books.updated - len(answer.refused)
    if answer.rows != wanted:
        raise Transient(
            "publication_incomplete",
            f"{plan.platform} holds {answer.rows} of {wanted} published rows.",
            system=plan.platform,
            operation="sync.publish_dataset",
        )
    outcomes, books = dataset.outcomes, dataset.books
    if answer.refused:
        outcomes = folder / "settled.ndjson"
        books = await asyncio.to_thread(_settle, dataset, answer.refused, outcomes)
    staged = await parts.write_file("outcomes/000000.ndjson", outcomes, books.read)
    return PushedRecords(outcomes=staged, books=books, vendor_calls=answer.vendor_calls)


def _settle(dataset: Dataset, refused: Mapping[int, str], path: Path) -> Books:
    """Write the outcomes with the refused rows among the rejected, and return their books."""
    row = 0
    with path.open("w", encoding="utf-8") as file:
        for result in rows_of(dataset.outcomes, RecordResult):
            told = result
            if result.status is RecordStatus.UPDATED:
                if row in refused:
                    reason = refused[row][:_LONGEST_REASON]
                    told = result.model_copy(update={"status": RecordStatus.REJECTED, "reason": reason})
                row += 1
            file.write(told.model_dump_json(exclude_defaults=True) + "\n")
    books = dataset.books
    return Books(read=books.read, updated=books.updated - len(refused), rejected=books.rejected + len(refused))
