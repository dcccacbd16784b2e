"""A started run: its public id, its state, its result."""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from pydantic import JsonValue
from temporalio.client import Client, RPCError, WorkflowExecutionStatus, WorkflowHandle, WorkflowQueryFailedError
from temporalio.common import SearchAttributeKey

from contracts.automation_run import WorkflowResult
from contracts.base import Contract, Instant
from contracts.batch import BatchSummary
from contracts.conflict import ConflictResolution
from contracts.emergency import EmergencyResult
from contracts.engagement import StateSyncResult
from contracts.errors import RECONNECT_REQUIRED, ErrorDetail, ErrorKind, Owner, WedSyncError
from contracts.etl import ETLResult
from contracts.health import MonitorHealthResult
from contracts.names import CONFLICT_RUNS, WAITING_FOR_APPROVAL, WAITING_FOR_RECONNECTION, SearchAttribute
from contracts.notification import RoutingResult
from contracts.recall import RecallReport
from contracts.sync import SynchronizationResult, SyncProgress
from contracts.wedding import WeddingState
from starters.failures import AWAY, detail_of, not_found, translated

R = TypeVar("R", bound=Contract)

_PROGRESS_S = 3.0
_ASKS = 3
"""How often a wait is taken up again after Temporal broke it off."""


class RunState(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"
    TIMED_OUT = "timed_out"


_STATES = {
    WorkflowExecutionStatus.COMPLETED: RunState.COMPLETED,
    WorkflowExecutionStatus.FAILED: RunState.FAILED,
    WorkflowExecutionStatus.CANCELED: RunState.CANCELLED,
    WorkflowExecutionStatus.TERMINATED: RunState.TERMINATED,
    WorkflowExecutionStatus.TIMED_OUT: RunState.TIMED_OUT,
}
_RESULTS: dict[str, type[Contract]] = {
    "sync-report": SynchronizationResult,
    "run-warehouse-etl": ETLResult,
    "route-notification": RoutingResult,
    "route-notification-batch": BatchSummary,
    "sync-notification-states": StateSyncResult,
    "run-automation": WorkflowResult,
    "wedding-timeline": WeddingState,
    "recall-wedding": RecallReport,
    "monitor-health": MonitorHealthResult,
    CONFLICT_RUNS: ConflictResolution,
    "raise-emergency": EmergencyResult,
}
"""First part of the workflow id -> result; other workflows are not runs."""


class RunView(Contract):
    """A run as callers see it; `outcome` is the result's own status word."""

    run_id: str
    kind: str
    status: RunState
    outcome: str | None = None
    result: JsonValue = None
    error: ErrorDetail | None = None
    started_at: Instant | None = None
    finished_at: Instant | None = None


def run_id_of(workflow_id: str) -> str:
    """Return the URL-safe id of a run."""
    return base64.urlsafe_b64encode(workflow_id.encode()).decode().rstrip("=")


def workflow_id_of(organization_id: str, run_id: str) -> str:
    """Return the workflow id behind a run id of this organisation.

    Raises:
        InvalidInput: it is no run id, or another organisation's.
    """
    try:
        text = base64.urlsafe_b64decode(run_id + "=" * (-len(run_id) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        text = ""
    kind, _, rest = text.partition("/")
    owner, _, key = rest.partition("/")
    if kind not in _RESULTS or owner != organization_id or not key or run_id_of(text) != run_id:
        raise not_found()
    return text


@dataclass(frozen=True)
class Run(Generic[R]):
    """A run this door started or joined.

    Args:
        handle: Temporal's handle.
        result_type: what the run returns.
    """

    handle: WorkflowHandle[object, R]
    result_type: type[R]

    @property
    def run_id(self) -> str:
        """The public id."""
        return run_id_of(self.handle.id)

    async def result(self) -> R:
        """Wait for the run and return its result; a wait that Temporal breaks off is taken up again twice.

        Raises:
            WedSyncError: the run failed, or Temporal stays away; the typed error says why.
        """
        with translated():
            for _ in range(_ASKS - 1):
                try:
                    return await self.handle.result()
                except RPCError as error:
                    if error.status not in AWAY:
                        raise
            return await self.handle.result()

    async def progress(self) -> str:
        """Return how far the run is, in one line; empty where it does not tell, or nobody answers just now."""
        if self.result_type is not SynchronizationResult:
            return ""
        try:
            async with asyncio.timeout(_PROGRESS_S):
                found = await self.handle.query("progress", result_type=SyncProgress)
        except (RPCError, TimeoutError, WorkflowQueryFailedError):
            return ""
        return " - ".join(filter(None, (found.step, found.sentence())))

    async def hindered_by(self) -> ErrorDetail | None:
        """Return why a step of the run waits or is repeated just now, None when nothing hinders it.

        Raises:
            WedSyncError: Temporal does not answer.
        """
        with translated():
            found = await self.handle.describe()
        failed = [one for one in found.raw_description.pending_activities if one.HasField("last_failure")]
        if not failed:
            outcome = found.typed_search_attributes.get(SearchAttributeKey.for_keyword(SearchAttribute.OUTCOME))
            return _WAITS.get(str(outcome))
        worst = max(failed, key=lambda one: one.attempt)
        return detail_of(await found.data_converter.decode_failure(worst.last_failure))


_RECONNECT = ErrorDetail(
    kind=ErrorKind.AUTH_EXPIRED,
    code=RECONNECT_REQUIRED,
    message="The vendor refuses the integration's credential; the run waits, and nothing of it is lost.",
    owner=Owner.TENANT,
    action="Grant access again with `wedsync integrations authorize FILE`, or give a new one with `rotate`.",
)
_APPROVE = ErrorDetail(
    kind=ErrorKind.TRANSIENT,
    code="approval_needed",
    message="More records are gone from the report than may be removed without approval; the run waits for it.",
    owner=Owner.TENANT,
    action="Answer with `wedsync sync approve RUN`, or with --refuse.",
)
_WAITS = {WAITING_FOR_RECONNECTION: _RECONNECT, WAITING_FOR_APPROVAL: _APPROVE}
"""`Outcome` of a run that waits -> why."""


async def view_run(client: Client, workflow_id: str) -> RunView:
    """Return the state of a run, with its result or error once it has ended.

    Raises:
        InvalidInput: there is no such run.
        Transient: Temporal does not answer.
    """
    kind = workflow_id.partition("/")[0]
    handle = client.get_workflow_handle(workflow_id, result_type=_RESULTS[kind])
    with translated():
        found = await handle.describe()
    state = RunState.RUNNING if found.status is None else _STATES.get(found.status, RunState.RUNNING)
    view = RunView(
        run_id=run_id_of(workflow_id),
        kind=kind,
        status=state,
        started_at=found.start_time,
        finished_at=found.close_time,
    )
    if state is RunState.RUNNING:
        return view
    try:
        with translated():
            result: Contract = await handle.result()
    except WedSyncError as error:
        if state is RunState.COMPLETED:
            raise
        return view.model_copy(update={"error": error.detail})
    words = result.model_dump(mode="json")
    status = words.get("status") or words.get("overallStatus") or words.get("outcome")
    return view.model_copy(update={"result": words, "outcome": status if isinstance(status, str) else None})
