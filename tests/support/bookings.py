"""A town of photographers and couples: what the runs about bookings ask of it, and a ledger of what was done."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

from temporalio import activity

from activities import resource_days
from activities.boundary import as_application_error
from activities.transform import conflict_words
from contracts.conflict import Alternative
from contracts.conflict_steps import ComposedNotice, ComposeNotice, NoticeKind
from contracts.effects import (
    Correction,
    EffectOutcome,
    EffectSighting,
    EffectStep,
    PlanRouting,
    RetractOutcome,
    RetractStatus,
    RoutingPlan,
    Sighting,
    StandingEffect,
    TargetPlan,
)
from contracts.errors import Transient, WedSyncError
from contracts.notification import CrossSystemRouting, DeliveryStatus, Slot, TargetSystem
from contracts.resource_day import (
    AskOwner,
    BookingRef,
    BusySpans,
    FindSlot,
    FoundSlot,
    LookAround,
    NoteHolds,
    PlanHold,
    RankAlternatives,
    RankedAlternatives,
    ReadBookings,
    ReadCalendar,
    Recipients,
    SlotAnswer,
    Sources,
    SystemRef,
    resource_day,
)

ORGANIZATION, TAVE = "lumen-studios", "tave-main"
DAY = resource_day(ORGANIZATION, TAVE, "ph-9", date(2035, 6, 12), "Europe/London")
SLOT = Slot(resource_id="ph-9", starts_at=datetime(2035, 6, 12, 12, tzinfo=UTC), ends_at=DAY.opens_at.replace(hour=20))
QUEUES = ("system.tave", "system.slack", "system.caldav", "system.email")


def owner(organization_id: str = ORGANIZATION) -> Any:
    """Return the key of the day on which everything happens, of an organisation."""
    return DAY.model_copy(update={"organization_id": organization_id})


class FakeTown:
    """Stands in for the store and every vendor; `trouble` makes an effect of a kind fail as often as it is listed."""

    def __init__(self) -> None:
        self.applied: list[EffectStep] = []
        self.messages: list[CrossSystemRouting] = []
        self.retracted: list[StandingEffect] = []
        self.corrected: list[Correction] = []
        self.noted: dict[str, int] = {}
        self.trouble: dict[str, list[WedSyncError]] = {}
        self.alternatives = [
            Alternative(photographer_id="ph-7", starts_at=SLOT.starts_at, ends_at=SLOT.ends_at, rank=1),
            Alternative(
                photographer_id="ph-9",
                starts_at=SLOT.starts_at + timedelta(days=1),
                ends_at=SLOT.ends_at + timedelta(days=1),
                rank=2,
            ),
        ]
        self.searches = 0
        self.calendar = True
        self.gate = asyncio.Event()
        self.gate.set()

    def activities(self) -> list[Any]:
        """Return every verb that the runs use."""
        found = (getattr(self, name) for name in dir(self) if not name.startswith("_"))
        return [one for one in found if hasattr(one, "__temporal_activity_definition")]

    def kinds(self) -> Counter[str]:
        """Return how many effects of each kind were made, by `<system>:<kind>`."""
        return Counter(f"{step.system}:{step.kind}" for step in self.applied)

    def on_calendar(self) -> list[str]:
        """Return the bookings that the calendar shows."""
        gone = {effect.effect_id for effect in self.retracted}
        return [
            str(step.payload["booking"])
            for step in self.applied
            if step.system == "caldav" and step.effect_id not in gone
        ]

    def asked(self, kind: str) -> list[CrossSystemRouting]:
        """Return the messages whose title begins with `kind`."""
        return [one for one in self.messages if one.source_notification.title.startswith(kind)]

    @activity.defn(name="bookings.sources")
    async def sources(self, request: LookAround) -> Sources:
        ref = SystemRef(organization_id=request.day.organization_id, integration_id=TAVE, system="tave")
        return Sources(
            bookings=ref, stale=True, resource_ids=["ph-9", "ph-7"], starts_at=DAY.opens_at, ends_at=DAY.closes_at
        )

    @activity.defn(name="bookings.refresh")
    async def refresh(self, request: ReadBookings) -> None:
        self._stumble("refresh")

    @activity.defn(name="bookings.read_calendar")
    async def read_calendar(self, request: ReadCalendar) -> BusySpans:
        return BusySpans()

    @activity.defn(name="bookings.locate")
    async def locate(self, request: FindSlot) -> FoundSlot:
        conflict = request.conflict
        sessions = {conflict.primary_booking_id: ["sess-1"], conflict.conflicting_booking_id: ["sess-2"]}
        return FoundSlot(day=owner(request.organization_id), slot=SLOT, sessions=sessions)

    @activity.defn(name="bookings.rank")
    async def rank(self, request: RankAlternatives) -> RankedAlternatives:
        self.searches += 1
        return RankedAlternatives(alternatives=self.alternatives)

    @activity.defn(name="bookings.recipients")
    async def recipients(self, request: BookingRef) -> Recipients:
        return Recipients(addresses=[f"{request.booking_id}@couples.example.com"])

    @activity.defn(name="bookings.ask_owner")
    async def ask_owner(self, request: AskOwner) -> SlotAnswer:
        return await resource_days.FrontDesk(activity.client()).ask(request)

    @activity.defn(name="bookings.note_holds")
    async def note_holds(self, request: NoteHolds) -> None:
        self.noted[request.day.organization_id] = len(request.holds)

    @activity.defn(name="bookings.plan_hold")
    async def plan_hold(self, request: PlanHold) -> RoutingPlan:
        if not self.calendar:
            return RoutingPlan(targets=[])
        target = TargetSystem(system_id="calendar", system_type="caldav", integration_id="calendar-main")
        step = EffectStep(
            effect_id=f"{request.hold.hold_id}.{int(request.hold.since.timestamp() * 1_000)}"[-64:],
            organization_id=request.day.organization_id,
            integration_id="calendar-main",
            system="caldav",
            kind="hold.create",
            payload={"booking": "+".join(request.hold.booking_ids)},
        )
        return RoutingPlan(targets=[TargetPlan(target=target, status=DeliveryStatus.SUCCESS, steps=[step])])

    @activity.defn(name="conflicts.compose")
    async def compose(self, request: ComposeNotice) -> ComposedNotice:
        systems = {
            NoticeKind.LOSER_TOLD: ("email", "email-main"),
            NoticeKind.RECORD: ("tave", TAVE),
            NoticeKind.WINNER: ("tave", TAVE),
            NoticeKind.LOSER: ("tave", TAVE),
        }
        system, integration = systems.get(request.kind, ("slack", "slack-main"))
        target = TargetSystem(
            system_id=system, system_type=system, integration_id=integration, recipients=request.recipients
        )
        routing = CrossSystemRouting(
            routing_id=conflict_words.message_id(request),
            organization_id=request.organization_id,
            source_notification=conflict_words.notification(request),
            target_systems=[target],
        )
        return ComposedNotice(routing=routing)

    @activity.defn(name="notify.plan")
    async def plan(self, request: PlanRouting) -> RoutingPlan:
        routing = request.routing
        if routing not in self.messages:
            self.messages.append(routing)
        [target] = routing.target_systems
        step = EffectStep(
            effect_id=routing.routing_id,
            organization_id=routing.organization_id,
            integration_id=target.integration_id,
            system=target.system_type,
            kind="message.post" if target.system_type == "slack" else routing.source_notification.type,
            object_id="C0BOOKINGS",
            payload={"text": routing.source_notification.message, **routing.source_notification.metadata},
        )
        return RoutingPlan(targets=[TargetPlan(target=target, status=DeliveryStatus.SUCCESS, steps=[step])])

    @activity.defn(name="notify.apply_effect")
    async def apply_effect(self, step: EffectStep) -> EffectOutcome:
        self._stumble(f"{step.system}:{step.kind}")
        await self.gate.wait()
        replayed = any(one.effect_id == step.effect_id for one in self.applied)
        if not replayed:
            self.applied.append(step)
        return EffectOutcome(remote_id=f"at-{step.system}-{step.effect_id[:8]}", replayed=replayed)

    @activity.defn(name="notify.look_for_effect")
    async def look_for_effect(self, step: EffectStep) -> EffectSighting:
        if all(one.effect_id != step.effect_id for one in self.applied):
            return EffectSighting(sighting=Sighting.ABSENT)
        outcome = EffectOutcome(remote_id=f"at-{step.system}-{step.effect_id[:8]}")
        return EffectSighting(sighting=Sighting.STANDS, outcome=outcome)

    @activity.defn(name="notify.retract")
    async def retract(self, effect: StandingEffect) -> RetractOutcome:
        self._stumble("retract")
        self.retracted.append(effect)
        return RetractOutcome(status=RetractStatus.RETRACTED)

    @activity.defn(name="notify.correct")
    async def correct(self, correction: Correction) -> EffectOutcome:
        self.corrected.append(correction)
        return EffectOutcome()

    def _stumble(self, what: str) -> None:
        if self.trouble.get(what):
            raise as_application_error(self.trouble[what].pop(0))


def away() -> Transient:
    """Return the error of a vendor that is down."""
    return Transient("vendor_unavailable", "The vendor is away.", system="tave")
