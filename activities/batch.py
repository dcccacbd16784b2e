"""Many notifications at once: planned together, applied by system, and joined to one result each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby

from temporalio import activity

from activities.access import Access
from activities.batch_apply import BatchApply
from activities.notify import LEASE, Notify
from activities.ports.delivery import DeliveryConnector
from activities.remembering import remembering
from activities.storage.ledger import EffectLedger
from activities.storage.staging import Staging
from activities.sync_parts import Parts
from contracts.batch import (
    AppliedEffects,
    ApplyEffects,
    ApplyProgress,
    BatchCounts,
    BatchPart,
    ClosePart,
    PartPlan,
    PartResult,
    PlannedRouting,
    PlannedStep,
    PlanPart,
    SystemEffects,
)
from contracts.effects import EffectStep, GiveBack, PlanRouting, Reservation, TargetPlan
from contracts.errors import ErrorDetail, ErrorKind, Owner
from contracts.notification import (
    CrossSystemRouting,
    DeliveryMode,
    DeliveryResult,
    DeliveryStatus,
    RoutingResult,
)
from contracts.results import delivered, overall_status, undelivered, untouched

KIND = "notification-batch"
_GIVEN_BACK = 1_000
_CALLED_OFF = ErrorDetail(
    kind=ErrorKind.PERMANENT,
    code="batch_cancelled",
    message="The batch was called off before this was sent.",
    owner=Owner.TENANT,
    action="Start the routing by itself, if it should be sent after all.",
)


class Batches:
    """The verbs of a batch.

    Args:
        access: opens connectors.
        notify: decides about each routing.
        ledger: shared with every other delivery, so that a routing of a batch is never repeated by itself.
        staging: keeps what is too much for a payload, sealed.
    """

    def __init__(self, access: Access, notify: Notify, ledger: EffectLedger, staging: Staging) -> None:
        self._access = access
        self._notify = notify
        self._ledger = ledger
        self._staging = staging

    @activity.defn(name="batch.plan")
    async def plan(self, request: PlanPart) -> PartPlan:
        """Decide about every target of a part's routings, and stage the effects by integration.

        Idempotent: yes, what it stages has fixed names.
        """
        parts = self._parts(request.organization_id, request.batch_id)
        planned, apart = [], []
        with remembering():
            for routing in await self._routings(parts, request):
                activity.heartbeat()
                plan = await self._notify.plan(PlanRouting(routing=routing, occurred_at=request.occurred_at))
                planned.append(PlannedRouting(routing=routing, targets=plan.targets))
                if _stands_apart(routing, plan.targets):
                    apart.append(routing)
        name = f"{request.number:06d}"
        systems = await self._staged_effects(parts, name, planned, {routing.routing_id for routing in apart})
        return PartPlan(
            plan=await parts.write(f"plans/{name}.ndjson", planned),
            systems=systems,
            apart=apart,
        )

    async def _staged_effects(
        self, parts: Parts, name: str, planned: Sequence[PlannedRouting], apart: set[str]
    ) -> list[SystemEffects]:
        rows = [
            PlannedStep(notification_id=item.routing.source_notification.notification_id, step=step)
            for item in planned
            if item.routing.routing_id not in apart
            for target in item.targets
            if target.status is DeliveryStatus.SUCCESS
            for step in target.steps
        ]
        rows.sort(key=lambda row: row.step.integration_id)
        systems = []
        for integration_id, group in groupby(rows, key=lambda row: row.step.integration_id):
            mine = list(group)
            ref = await parts.write(f"effects/{name}-{integration_id.replace(':', '-')}.ndjson", mine)
            systems.append(SystemEffects(system=mine[0].step.system, integration_id=integration_id, effects=ref))
        return systems

    @activity.defn(name="batch.apply")
    async def apply(self, request: ApplyEffects) -> AppliedEffects:
        """Make the effects of a part at one integration stand, each once, with as few vendor calls as it allows.

        Heartbeats after every call. Idempotent: yes, by effect id; an attempt after a lost one begins where it ended.

        Raises:
            Transient: some effects wait for the vendor; those that stand are not repeated.
            IntegrationPaused: the integration refuses work.
        """
        connector = await self._access.connector(request.organization_id, request.integration_id, DeliveryConnector)
        stored = await self._access.stored(request.organization_id, request.integration_id)
        parts = self._parts(request.organization_id, request.batch_id)
        rows = await parts.read(request.effects, PlannedStep)
        info = activity.info()
        run = BatchApply(
            connector,
            partial(self._access.together, stored),
            self._ledger,
            f"{info.workflow_id}/{info.workflow_run_id}",
            LEASE,
            _progress(info.heartbeat_details),
            activity.heartbeat,
        )
        results = await _to_its_end(run, rows)
        name = request.effects.key.rsplit("/", 1)[-1]
        outcomes = await parts.write(f"outcomes/{name}", results)
        return AppliedEffects(outcomes=outcomes, vendor_calls=run.vendor_calls)

    @activity.defn(name="batch.close")
    async def close(self, request: ClosePart) -> PartResult:
        """Join the outcomes of a part to one `RoutingResult` per notification, and count them.

        Idempotent: yes, what it stages has fixed names.
        """
        parts = self._parts(request.organization_id, request.batch_id)
        told = {item.effect_id: item for ref in request.outcomes for item in await parts.read(ref, DeliveryResult)}
        planned = await self._planned(parts, request)
        told |= await self._standing(request.organization_id, planned, told)
        lost: list[Reservation] = []
        results, counts = [], BatchCounts()
        for item in planned:
            result = request.apart.get(item.routing.routing_id) or _joined(item, told, request.refused)
            counts = counts.plus(_counted(result))
            results.append(result)
            lost += [one for plan in item.targets for one in undelivered(plan, _of(result, plan))]
        for start in range(0, len(lost), _GIVEN_BACK):
            await self._notify.give_back(
                GiveBack(organization_id=request.organization_id, reserved=lost[start : start + _GIVEN_BACK])
            )
        ref = await parts.write(f"results/{request.number:06d}.ndjson", results)
        return PartResult(results=ref, counts=counts)

    async def _planned(self, parts: Parts, request: ClosePart) -> list[PlannedRouting]:
        if request.plan is not None:
            return await parts.read(request.plan, PlannedRouting)
        status = DeliveryStatus.FAILED if request.error else DeliveryStatus.HELD
        error = request.error or _CALLED_OFF
        return [
            PlannedRouting(
                routing=routing,
                targets=[
                    TargetPlan(target=target, status=status, reason=error.code, error=error)
                    for target in routing.target_systems
                ],
            )
            for routing in await self._routings(parts, request)
        ]

    @staticmethod
    async def _routings(parts: Parts, part: BatchPart) -> list[CrossSystemRouting]:
        return part.routings or (await parts.read(part.part, CrossSystemRouting) if part.part else [])

    async def _standing(
        self, organization_id: str, planned: Sequence[PlannedRouting], told: Mapping[str, DeliveryResult]
    ) -> dict[str, DeliveryResult]:
        """Return what the ledger knows of effects whose attempt did not live to tell."""
        wanted = {
            step.effect_id: item.routing.source_notification.notification_id
            for item in planned
            for target in item.targets
            for step in target.steps
            if step.effect_id not in told
        }
        return {
            one.effect_id: DeliveryResult(
                notification_id=wanted[one.effect_id],
                effect_id=one.effect_id,
                kind=one.kind,
                status=DeliveryStatus.SUCCESS,
                remote_id=one.remote_id,
                delivered_at=one.applied_at,
            )
            for one in await self._ledger.standing(organization_id, list(wanted))
        }

    def _parts(self, organization_id: str, batch_id: str) -> Parts:
        return Parts(self._staging, organization_id, batch_id, KIND)


async def _to_its_end(run: BatchApply, rows: Sequence[PlannedStep]) -> list[DeliveryResult]:
    """Return the results, of a batch that was called off those of the calls under way; none is broken off."""
    work = asyncio.create_task(run.apply(rows))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        run.stop()
        results = await work
        details = activity.cancellation_details()
        if details is None or not details.cancel_requested:
            raise
        return results


def _stands_apart(routing: CrossSystemRouting, targets: Sequence[TargetPlan]) -> bool:
    """Return whether a routing wants more than its effects applied: order, another system's help, or a wait."""
    handling = routing.error_handling
    return (
        routing.delivery_coordination.chosen is not DeliveryMode.BEST_EFFORT
        or handling.on_permanent_failure != "continue"
        or any(handling.failover.values())
        or any(
            target.target.failover or target.status is DeliveryStatus.HELD or target.holds or target.collected
            for target in targets
        )
    )


def _joined(
    item: PlannedRouting, told: Mapping[str, DeliveryResult], refused: Mapping[str, ErrorDetail]
) -> RoutingResult:
    systems = [
        untouched(plan, plan.status, plan.reason)
        if plan.status is not DeliveryStatus.SUCCESS
        else delivered(plan, [told.get(step.effect_id) or _undone(item, step, refused) for step in plan.steps])
        for plan in item.targets
    ]
    return RoutingResult(
        routing_id=item.routing.routing_id,
        overall_status=overall_status(systems),
        system_results=systems,
        delivery_coordination=item.routing.delivery_coordination,
        decisions=[decision for plan in item.targets for decision in plan.decisions],
    )


def _of(result: RoutingResult, plan: TargetPlan) -> list[DeliveryResult]:
    mine = next((item for item in result.system_results if item.system_id == plan.target.system_id), None)
    return list(mine.delivery_results) if mine else []


def _undone(item: PlannedRouting, step: EffectStep, refused: Mapping[str, ErrorDetail]) -> DeliveryResult:
    error = refused.get(step.integration_id)
    return DeliveryResult(
        notification_id=item.routing.source_notification.notification_id,
        effect_id=step.effect_id,
        kind=step.kind,
        status=DeliveryStatus.FAILED if error else DeliveryStatus.HELD,
        error=error or _CALLED_OFF,
    )


def _counted(result: RoutingResult) -> BatchCounts:
    return BatchCounts(**{result.overall_status.value: 1})


def _progress(details: Sequence[object]) -> ApplyProgress:
    return ApplyProgress.model_validate(details[0]) if details else ApplyProgress()
