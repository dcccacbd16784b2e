"""What a run was started with, as its history says."""

from __future__ import annotations

from typing import TypeVar

from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.converter import WorkflowSerializationContext
from temporalio.service import RPCError, RPCStatusCode

from contracts.base import Contract
from contracts.names import WorkflowType

C = TypeVar("C", bound=Contract)


async def started_with(workflow_id: str, kind: WorkflowType, model: type[C]) -> C | None:
    """Return the input of a run; None for a run of another kind, or one that Temporal no longer keeps."""
    client = activity.client()
    try:
        async for event in client.get_workflow_handle(workflow_id).fetch_history_events(page_size=1):
            if event.event_type != EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                return None
            started = event.workflow_execution_started_event_attributes
            if started.workflow_type.name != kind:
                return None
            place = WorkflowSerializationContext(namespace=client.namespace, workflow_id=workflow_id)
            converter = client.data_converter.with_context(place)
            [given] = await converter.decode(started.input.payloads, [model])
            return model.model_validate(given)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
    return None
