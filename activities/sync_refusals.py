"""What a target, or the kind of a sync, does not allow a request to ask for."""

from __future__ import annotations

from activities.ports.manifest import Manifest
from contracts.dataset import SourceKind
from contracts.errors import InvalidInput
from contracts.sync import (
    ConflictResolutionStrategy,
    DataSynchronizationRequest,
    RemovalPolicy,
    SynchronizationType,
)
from contracts.sync_steps import SyncMode


def refuse_unfit(request: DataSynchronizationRequest, mode: SyncMode, manifest: Manifest) -> None:
    """Refuse a request before anything is read.

    Args:
        request: a sync.
        mode: of its target.
        manifest: of its target's system.

    Raises:
        InvalidInput: conflicts, removals, a plan or named records that this sync cannot do.
    """
    _refuse_strategy(request, mode, manifest)
    _refuse_removals(request, mode, manifest)
    _refuse_plan(request, mode)
    _refuse_named(request, mode)


def _refuse_strategy(request: DataSynchronizationRequest, mode: SyncMode, manifest: Manifest) -> None:
    strategy = request.conflict_resolution
    undated = strategy is ConflictResolutionStrategy.NEWEST_WINS and not manifest.modified_field
    if undated or (mode is SyncMode.DATASET and strategy is not ConflictResolutionStrategy.SOURCE_WINS):
        raise InvalidInput(
            "conflict_resolution_unsupported",
            f"{manifest.title} cannot resolve conflicts by {strategy.value}.",
            action="Use source_wins; targets of records also take target_wins, merge and manual.",
        )


def _refuse_named(request: DataSynchronizationRequest, mode: SyncMode) -> None:
    most = {SynchronizationType.BATCH: len(request.record_ids), SynchronizationType.REAL_TIME: 1}
    if len(request.record_ids) > most.get(request.sync_type, 0) or (request.record_ids and mode is SyncMode.DATASET):
        raise InvalidInput(
            "record_ids_misplaced",
            f"A {request.sync_type.value} sync into this target does not take {len(request.record_ids)} recordIds.",
            action="Name records with syncType batch, or one with real_time, for a target of records.",
        )


def _refuse_plan(request: DataSynchronizationRequest, mode: SyncMode) -> None:
    if mode is SyncMode.DATASET and (request.dry_run or request.plan_hash):
        raise InvalidInput(
            "plan_unsupported",
            "A data set is replaced as a whole, so there is nothing to plan record by record.",
            action="Run the sync without a plan.",
        )


def _refuse_removals(request: DataSynchronizationRequest, mode: SyncMode, manifest: Manifest) -> None:
    policy = request.removals.policy
    if policy is RemovalPolicy.IGNORE:
        return
    if mode is SyncMode.DATASET or policy not in manifest.removes:
        raise InvalidInput(
            "removals_unsupported",
            f"Records cannot be removed from {manifest.title} by {policy.value}.",
            action=f"Use {' or '.join(sorted({RemovalPolicy.IGNORE, *manifest.removes}))} as removals.policy.",
        )
    partial = bool(request.data_filters) or request.data_source().kind is SourceKind.DEAD_LETTERS
    if partial or request.sync_type is not SynchronizationType.FULL_SYNC:
        raise InvalidInput(
            "removals_need_the_whole_report",
            "Only a full sync without filters shows which records are gone from the report.",
            action="Use syncType full_sync without dataFilters, or removals.policy ignore.",
        )
