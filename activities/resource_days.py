"""Asking the owner of a resource's day, and what that owner does outside."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any
from weakref import WeakValueDictionary

from temporalio import activity
from temporalio.client import Client, RPCError, WorkflowHandle
from temporalio.common import Priority, WorkflowIDConflictPolicy
from temporalio.service import RPCStatusCode

from activities.access import Access
from activities.ports.delivery import DeliveryConnector
from activities.ports.manifest import Capability
from activities.storage.connections import ConnectionStore
from activities.storage.slot_holds import SlotHoldStore
from contracts.effects import Delivery, DeliveryIntent, Rendered, RoutingPlan, TargetPlan
from contracts.errors import InvalidInput
from contracts.names import ORCHESTRATION_QUEUE, WorkflowType, effect_id, resource_day_workflow_id
from contracts.notification import DeliveryStatus, SourceNotification, TargetSystem
from contracts.resource_day import (
    AskOwner,
    HoldStatus,
    NoteHolds,
    PlanHold,
    ResourceDayKey,
    ResourceDayRun,
    SlotAnswer,
    SlotAnswers,
    SlotCommand,
    SlotCommands,
    owner_of,
)

_TOGETHER = 50


class FrontDesk:
    """Where the owners of days are asked.

    A workflow takes ten Updates at once, and where more arrive the server drops those that it has taken together with
    the one that is too many: a race would never end. Commands for one owner therefore wait while others of this process
    are under way, and then go together as one Update.

    Args:
        client: of the service that the owners run on.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: defaultdict[str, list[tuple[SlotCommand, asyncio.Future[SlotAnswer]]]] = defaultdict(list)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def ask(self, request: AskOwner) -> SlotAnswer:
        """Ask the owner of a day, which begins to exist when it is first asked.

        Idempotent: yes, by the command's kind and hold id.

        Raises:
            RPCError: Temporal broke the question off; what was asked may have happened.
        """
        slot = request.command.slot
        day = request.day if slot is None else owner_of(slot, request.day)
        owner = resource_day_workflow_id(day.organization_id, day.integration_id, day.resource_id, day.day.isoformat())
        answer: asyncio.Future[SlotAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[owner].append((request.command, answer))
        turn = self._turns.setdefault(owner, asyncio.Lock())
        async with turn:
            if not answer.done():
                await self._send(owner, day)
        return await answer

    async def _send(self, owner: str, day: ResourceDayKey) -> None:
        """Ask everything that waits, and hand out the answers; a question that breaks off breaks off for all."""
        sent, self._waiting[owner] = self._waiting[owner][:_TOGETHER], self._waiting[owner][_TOGETHER:]
        try:
            answers = await self._answered(owner, day, SlotCommands(commands=[command for command, _ in sent]))
        except BaseException as error:
            broken = error if isinstance(error, Exception) else RPCError("", RPCStatusCode.CANCELLED, b"")
            for _, waiting in sent:
                if not waiting.done():
                    waiting.set_exception(broken)
                    waiting.exception()  # whoever was called off does not come for it
            raise
        for (_, waiting), answer in zip(sent, answers.answers, strict=True):
            if not waiting.done():
                waiting.set_result(answer)

    async def _answered(self, owner: str, day: ResourceDayKey, commands: SlotCommands) -> SlotAnswers:
        handle = self._client.get_workflow_handle(owner)
        try:
            return await _updated(handle, commands)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
        await self._client.start_workflow(
            WorkflowType.RESOURCE_DAY.value,
            ResourceDayRun(**dict(day)),
            id=owner,
            task_queue=ORCHESTRATION_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            priority=Priority(priority_key=2, fairness_key=day.organization_id),
            static_summary=f"Owner of {day.resource_id} on {day.day}",
        )
        return await _updated(handle, commands)


async def _updated(handle: WorkflowHandle[Any, Any], commands: SlotCommands) -> SlotAnswers:
    answers: SlotAnswers = await handle.execute_update("act", commands, result_type=SlotAnswers)
    return answers


class ResourceDays:
    """The verbs of the owners of days.

    Args:
        access: opens connectors.
        connections: tells which calendars an organisation has.
        holds: where all can read what is kept.
    """

    def __init__(self, access: Access, connections: ConnectionStore, holds: SlotHoldStore) -> None:
        self._access = access
        self._connections = connections
        self._holds = holds
        self._desk: FrontDesk | None = None

    @activity.defn(name="bookings.ask_owner")
    async def ask_owner(self, request: AskOwner) -> SlotAnswer:
        """Ask the owner of a day from within a run, which cannot send Updates itself.

        Idempotent: yes, by the command's kind and hold id.
        """
        if self._desk is None:
            self._desk = FrontDesk(activity.client())
        return await self._desk.ask(request)

    @activity.defn(name="bookings.note_holds")
    async def note_holds(self, request: NoteHolds) -> None:
        """Write a day's holds where the search for free slots reads them. Idempotent: yes."""
        await self._holds.replace(request.day, request.holds)

    @activity.defn(name="bookings.plan_hold")
    async def plan_hold(self, request: PlanHold) -> RoutingPlan:
        """Plan to keep a slot at every connected calendar that has the resource.

        Idempotent: yes, it changes nothing; the same hold has the same effects.
        """
        day, hold = request.day, request.hold
        word = "Booked" if hold.status is HoldStatus.CONFIRMED else "Held"
        text = f"{word} for {' or '.join(hold.booking_ids)}"
        plans = []
        for stored in await self._connections.of_organization(day.organization_id):
            configuration = stored.configuration
            if (
                stored.state.refuses_work
                or Capability.CALENDAR not in self._access.manifest(configuration.platform).capabilities
            ):
                continue
            target = TargetSystem(
                system_id=configuration.integration_id,
                system_type=configuration.platform,
                integration_id=configuration.integration_id,
            )
            since = hold.since.isoformat()
            key = effect_id(day.organization_id, day.integration_id, day.resource_id, hold.hold_id, since)
            delivery = Delivery(
                organization_id=day.organization_id,
                business_key=key,
                notification=SourceNotification(
                    notification_id=key,
                    type="slot_hold",
                    title=text,
                    message=text,
                    metadata={"slot": hold.slot.model_dump(mode="json"), "bookingId": hold.booking_ids[0]},
                ),
                target=target,
                rendered=Rendered(subject=text, text=text),
                intent=DeliveryIntent.HOLD,
                # Calendars tell by it whose hold an entry is.
                wedding_id=hold.booking_ids[0],
                occurred_at=hold.since,
            )
            connector = await self._access.connector_of(stored, DeliveryConnector)
            try:
                steps = [step.model_copy(update={"notification_id": key}) for step in connector.plan(delivery)]
            except InvalidInput:
                continue  # a calendar that does not have the resource keeps nothing for it
            plans.append(TargetPlan(target=target, status=DeliveryStatus.SUCCESS, steps=steps))
        return RoutingPlan(targets=plans)
