"""The verbs of undelivered effects: finding their place in line, noting those that nobody brings any more."""

from __future__ import annotations

from datetime import UTC, datetime

from temporalio import activity

from activities.started_with import started_with
from activities.storage.delivery_receipts import DeliveryReceiptStore
from activities.storage.ledger import EffectLedger
from activities.storage.lost_messages import LostMessages
from activities.transform import rerouting
from contracts.decisions import DecisionLog
from contracts.effects import StandingEffect
from contracts.names import WorkflowType, routing_workflow_id
from contracts.notification import CrossSystemRouting
from contracts.recall import RecallRequest
from contracts.undelivered import LostMessage, Reroute, UndeliveredEffect


class Undelivered:
    """The verbs of undelivered effects.

    Args:
        ledger: says whether the effect still stands.
        receipts: say whether it was delivered after all.
        lost: gathers what people are to be told of.
    """

    def __init__(self, ledger: EffectLedger, receipts: DeliveryReceiptStore, lost: LostMessages) -> None:
        self._ledger = ledger
        self._receipts = receipts
        self._lost = lost

    @activity.defn(name="undelivered.find")
    async def find(self, told: UndeliveredEffect) -> Reroute:
        """Return what is left of the line that an undelivered effect belongs to.

        Nothing is left of one that was delivered after all, taken back, or recalled since. The message itself is
        asked of the run that routed it, and is kept nowhere else.

        Idempotent: yes, it changes nothing.
        """
        effect = told.effect
        entry = await self._ledger.entry(effect.organization_id, effect.effect_id)
        delivered = await self._receipts.is_delivered(effect.organization_id, effect.effect_id)
        if entry is None or entry.retracted_at is not None or delivered or await _was_recalled(effect):
            return Reroute(settled=True)
        found = await _routing_of(effect)
        if found is None:
            return Reroute(began_at=entry.intended_at)
        routing, decisions = found[0], found[1].decisions
        system_id = rerouting.meant_for(routing, decisions, effect)
        return Reroute(
            system_id=system_id,
            began_at=min((one.at for one in decisions), default=entry.intended_at),
            notification_type=routing.source_notification.type,
            routing=rerouting.rest_of(routing, system_id) if system_id else None,
            reserved=rerouting.reserved(routing, decisions, effect),
        )

    @activity.defn(name="undelivered.note")
    async def note(self, lost: LostMessage) -> None:
        """Have people told of a message, together with others of its integration. Idempotent: yes, by effect."""
        await self._lost.note(lost, datetime.now(UTC))


async def _routing_of(effect: StandingEffect) -> tuple[CrossSystemRouting, DecisionLog] | None:
    """Ask the run that made an effect, or that made it for the run that takes its answers."""
    made_by = effect.workflow_id
    if not made_by.startswith(routing_workflow_id(effect.organization_id, "")):
        made_by = routing_workflow_id(effect.organization_id, effect.notification_id or "")
    routing = await started_with(made_by, WorkflowType.ROUTE_NOTIFICATION, CrossSystemRouting)
    if routing is None or routing.source_notification.notification_id != effect.notification_id:
        return None
    handle = activity.client().get_workflow_handle(made_by)
    decisions: DecisionLog = await handle.query("decisions", result_type=DecisionLog)
    return routing, decisions


async def _was_recalled(effect: StandingEffect) -> bool:
    """Return whether the message was recalled after it was made, although its system takes nothing back."""
    if effect.wedding_id is None:
        return False
    query = (
        f"OrganizationId = '{effect.organization_id}' AND WeddingId = '{effect.wedding_id}' "
        f"AND WorkflowType = '{WorkflowType.RECALL_WEDDING}' AND StartTime >= '{effect.applied_at.isoformat()}'"
    )
    async for run in activity.client().list_workflows(query):
        recall = await started_with(run.id, WorkflowType.RECALL_WEDDING, RecallRequest)
        if recall is not None and recall.notification_id in {None, effect.notification_id}:
            return True
    return False
