"""Starting a run, or joining the one that has its id."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

from temporalio.client import Client, WorkflowHandle
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from contracts.base import Contract
from contracts.names import ORCHESTRATION_QUEUE, WorkflowType
from starters.failures import translated
from starters.runs import Run

R = TypeVar("R", bound=Contract)


async def tell_or_start(
    client: Client,
    kind: WorkflowType,
    request: Contract,
    result_type: type[R],
    workflow_id: str,
    priority: Priority,
    summary: str,
    execution_timeout: timedelta,
    *,
    signal: str,
) -> Run[R]:
    """Return the run under `workflow_id`, which learns of the signal: the one there is, otherwise a new one.

    Raises:
        WedSyncError: Temporal does not answer or refuses the start.
    """
    with translated():
        handle: WorkflowHandle[object, R] = await client.start_workflow(
            kind.value,
            request,
            id=workflow_id,
            task_queue=ORCHESTRATION_QUEUE,
            result_type=result_type,
            execution_timeout=execution_timeout,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            priority=priority,
            static_summary=summary,
            start_signal=signal,
        )
    return Run(handle, result_type)


async def start_or_join(
    client: Client,
    kind: WorkflowType,
    request: Contract,
    result_type: type[R],
    workflow_id: str,
    priority: Priority,
    summary: str,
    execution_timeout: timedelta | None,
    *,
    queue: str = ORCHESTRATION_QUEUE,
    task_timeout: timedelta | None = None,
) -> Run[R]:
    """Return the run under `workflow_id`: one that runs or has succeeded is joined, one that failed begins anew.

    Raises:
        WedSyncError: Temporal does not answer or refuses the start.
    """
    try:
        with translated():
            handle: WorkflowHandle[object, R] = await client.start_workflow(
                kind.value,
                request,
                id=workflow_id,
                task_queue=queue,
                result_type=result_type,
                execution_timeout=execution_timeout,
                task_timeout=task_timeout,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                priority=priority,
                static_summary=summary,
            )
    except WorkflowAlreadyStartedError:
        handle = client.get_workflow_handle(workflow_id, result_type=result_type)
    return Run(handle, result_type)
