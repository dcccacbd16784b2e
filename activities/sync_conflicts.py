"""What becomes of a record that its target holds otherwise: both sides are judged by their last receipt."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from pydantic import JsonValue

from activities.ports.records import OutboundRecord, RecordConnector
from activities.storage.receipts import Receipt
from activities.sync_parts import StagedRecord
from activities.transform.conflicts import Verdict, instant, judge, merged
from activities.transform.records import fingerprint, stands
from contracts.errors import InvalidInput
from contracts.integration import Side
from contracts.sync import ConflictResolutionStrategy, RecordResult, RecordStatus
from contracts.sync_plan import PlannedChange
from contracts.sync_steps import PushParts


@dataclass(frozen=True)
class Candidate:
    """A record in the vendor's formats, its fingerprint, and the vendor's last acknowledgement of it."""

    record: OutboundRecord
    fingerprint: str
    receipt: Receipt | None
    row: StagedRecord
    target_fingerprint: str | None = None
    """Of what is written, where that is not the source's record alone."""

    @property
    def superseded(self) -> bool:
        """Whether the vendor has acknowledged a version that the source changed later than this one."""
        mine, theirs = instant(self.row.changed_at), self.receipt.source_at if self.receipt else None
        return mine is not None and theirs is not None and mine < theirs

    @property
    def known(self) -> bool:
        """Whether the vendor has acknowledged exactly this content."""
        return self.receipt is not None and self.receipt.fingerprint == self.fingerprint

    def unchanged(self, reason: str = "") -> RecordResult:
        """Return the outcome of a record that is not written."""
        remote_id = self.receipt.remote_id if self.receipt else None
        return self.result(RecordStatus.UNCHANGED, remote_id, reason)

    def result(
        self, status: RecordStatus, remote_id: str | None = None, reason: str = "", asks: str = ""
    ) -> RecordResult:
        """Return an outcome of this record."""
        return RecordResult(
            record_id=self.record.record_id, status=status, remote_id=remote_id, reason=reason, asks=asks
        )


@dataclass(frozen=True)
class Judgement:
    """Either what to write, or the outcome of a record that is not written and the target's side to note."""

    write: Candidate | None = None
    outcome: RecordResult | None = None
    noted: str | None = None
    """The fingerprint of the target's side, which stays."""


class Judge:
    """Judges the records of one push.

    Args:
        connector: puts what the vendor holds into the formats that are compared.
        job: who wins.
        key: 32 secret bytes for fingerprints.
        planned: the only changes that may be made, by record id; None where nobody planned.
    """

    def __init__(
        self,
        connector: RecordConnector,
        job: PushParts,
        key: bytes,
        planned: Mapping[str, PlannedChange] | None = None,
    ) -> None:
        self._connector = connector
        self._job = job
        self._key = key
        self._planned = planned

    @property
    def expects(self) -> bool:
        """Whether only planned changes may be made, so that every target is looked at first."""
        return self._planned is not None

    def judge(self, item: Candidate, held: Mapping[str, JsonValue] | None) -> Judgement:
        """Return what becomes of a record whose target was read; `held` is None where the vendor has none."""
        found = self._judged(item, held)
        if self._planned is None or found.write is None:
            return found
        planned = self._planned.get(item.record.record_id)
        target = "" if held is None else self.target_of(item.record, held)
        if planned is not None and (planned.source, planned.target) == (item.fingerprint, target):
            return found
        return Judgement(outcome=item.result(RecordStatus.HELD, reason="the target changed after it was planned"))

    def _judged(self, item: Candidate, held: Mapping[str, JsonValue] | None) -> Judgement:
        if held is None:
            return Judgement(write=item)
        if stands(item.record.properties, held):
            return Judgement(outcome=item.unchanged(), noted=item.fingerprint)
        target = self.target_of(item.record, held)
        if item.row.decision and item.row.asks == target:
            return self._decided(item, target)
        if self._job.conflict_resolution is ConflictResolutionStrategy.MERGE:
            return self._merged(item, held)
        verdict = judge(
            self._job.conflict_resolution,
            source_changed=not item.known,
            target_changed=item.receipt is None or item.receipt.left_at_target != target,
            source_at=instant(item.row.changed_at),
            target_at=instant(held.get(self._connector.manifest.modified_field)),
        )
        if verdict is Verdict.WRITE:
            return Judgement(write=item)
        if verdict is Verdict.KEEP:
            return Judgement(outcome=item.unchanged(_TARGET_STAYS), noted=target)
        names = ", ".join(differing(item.record.properties, held))
        reason = f"both sides changed it, and somebody has to decide: {names}"
        return Judgement(outcome=item.result(RecordStatus.HELD, reason=reason, asks=target))

    def target_of(self, record: OutboundRecord, held: Mapping[str, JsonValue]) -> str:
        """Return the fingerprint of the target's side: what it holds of the record's own properties."""
        ours = OutboundRecord(record.record_id, {name: held.get(name) for name in record.properties})
        # A value that we would not have written differs from everything of ours.
        with suppress(InvalidInput):
            ours = self._connector.prepare(self._job.object_type, ours)
        return fingerprint(self._key, ours.properties)

    def _decided(self, item: Candidate, target: str) -> Judgement:
        if item.row.decision == Side.SOURCE:
            return Judgement(write=item)
        return Judgement(outcome=item.unchanged("somebody decided that the target stays"), noted=target)

    def _merged(self, item: Candidate, held: Mapping[str, JsonValue]) -> Judgement:
        properties = merged(item.record.properties, held, self._job.target_owned)
        if stands(properties, held):
            return Judgement(
                outcome=item.unchanged("the target keeps its own fields"), noted=self.target_of(item.record, held)
            )
        try:
            record = self._connector.prepare(self._job.object_type, OutboundRecord(item.record.record_id, properties))
        except InvalidInput as error:
            return Judgement(outcome=item.result(RecordStatus.REJECTED, reason=error.detail.message))
        return Judgement(
            write=replace(item, record=record, target_fingerprint=fingerprint(self._key, record.properties))
        )


_TARGET_STAYS = "the target was changed too, and the target stays"


def differing(wanted: Mapping[str, JsonValue], held: Mapping[str, JsonValue]) -> list[str]:
    """Return the properties that a write would change, by name."""
    return sorted(name for name, value in wanted.items() if not stands({name: value}, held))
