"""The scenario of a double booking: a race of confirmations, a question with buttons, a decision and what follows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from contracts.actions import ActionAnswer, ActionTaken
from contracts.conflict import BookingConflict, BookingConflicts, ConflictDecision, ResolutionDetail
from contracts.integration import IntegrationConfiguration
from contracts.names import conflict_workflow_id
from contracts.notification import Slot
from contracts.resource_day import ConfirmBooking, SlotAnswer
from starters.demo.stage import ORGANIZATION, Check, Stage, example, integration
from starters.failures import translated

_BOOKINGS = "tave-bookings"
_CONFIRMATIONS = 100
_BEGINS = datetime(2027, 8, 21, 11, tzinfo=UTC)
_ENDS = datetime(2027, 8, 21, 19, tzinfo=UTC)
_SESSION = {
    "typeId": "et-wedding",
    "startDate": "2027-08-21",
    "startTime": "12:00",
    "endDate": "2027-08-21",
    "endTime": "20:00",
    "timezoneId": "tz-london",
    "confirmed": False,
}


@dataclass(frozen=True)
class _Couple:
    """A couple that booked the photographer."""

    job_id: str
    email: str


async def double_booking(stage: Stage) -> list[Check]:
    """Two couples confirm one photographer in one second: a planner decides, and the other couple is told."""
    photographer, couples = await _booked_twice(stage)
    await _connect(stage, photographer)
    before = {name: await stage.vendors.last_effect(name) for name in ("slack", "smtp", "caldav")}
    answers = await _race(stage, photographer, couples)
    first = next(answer for answer in answers if answer.accepted)
    refused = [answer for answer in answers if not answer.accepted]
    conflict = refused[0].conflict
    if first.hold is None or conflict is None:
        return [Check("the race has a winner and a conflict", expected=True, found=False)]
    pressed, later, detail = await _decided(stage, conflict)
    winner = next(one for one in couples if one.job_id == conflict.conflicting_booking_id)
    loser = next(one for one in couples if one.job_id == conflict.primary_booking_id)
    return [
        Check("confirmations", _CONFIRMATIONS, len(answers)),
        Check("bookings that got the slot", 1, len({tuple(one.hold.booking_ids) for one in answers if one.hold})),
        Check(
            "the others were told who has it, and what is free",
            expected=True,
            found=all(one.held_by == first.hold.booking_ids and one.alternatives for one in refused),
        ),
        Check("the planner's press", (True, False), (pressed.accepted, later)),
        Check("the conflict", ("resolved", winner.job_id), (detail.status.value, detail.winning_booking_id)),
        *await _read_back(stage, before, winner, loser),
    ]


async def _booked_twice(stage: Stage) -> tuple[str, list[_Couple]]:
    """Have the studio book one photographer for two couples, and another photographer for nobody."""
    photographer, colleague = [
        await stage.vendors.create("tave", "address-book", {"kind": "person", "firstName": name})
        for name in ("Robin", "Sasha")
    ]
    await _job(stage, colleague, "spare@couples.example.com")
    couples = []
    for number in (1, 2):
        email = f"couple-{number}@couples.example.com"
        job_id = await _job(stage, photographer, email)
        await stage.vendors.create("tave", "event", {**_SESSION, "jobId": job_id})
        couples.append(_Couple(job_id, email))
    return photographer, couples


async def _job(stage: Stage, photographer: str, email: str) -> str:
    job_id = await stage.vendors.create("tave", "job", {"name": "Wedding", "stage": "booked"})
    client = await stage.vendors.create("tave", "address-book", {"kind": "person", "email": email})
    for contact, own in ((client, {"client": True}), (photographer, {"jobRoles": ["role-photographer"]})):
        await stage.vendors.create("tave", "job-contact", {"jobId": job_id, "contactId": contact, **own})
    return job_id


async def _connect(stage: Stage, photographer: str) -> None:
    credential = {"apiKey": "sandbox-tave-key"}
    calendar = example("integration-caldav")
    calendar["integrationId"] = "caldav-photographers"
    calendar["connectionConfig"] |= {"calendars": {photographer: "/lumen/ballroom/"}, "calendar": photographer}
    mail = {"fromAddress": "studio@lumen.example.com", "encryption": "none", **await stage.vendors.mail_server()}
    for configuration in (
        integration("tave", _BOOKINGS, credential=credential, timeZone="Europe/London"),
        IntegrationConfiguration.model_validate(example("integration-slack")),
        IntegrationConfiguration.model_validate(calendar),
        integration("email", "email-main", **mail),
    ):
        await stage.wedsync.integrations.connect(configuration)


async def _race(stage: Stage, photographer: str, couples: list[_Couple]) -> list[SlotAnswer]:
    """Confirm for both couples at once, many times over, as impatient people and repeated requests do."""
    slot = Slot(resource_id=photographer, starts_at=_BEGINS, ends_at=_ENDS)
    asked = [
        ConfirmBooking(
            organization_id=ORGANIZATION,
            integration_id=_BOOKINGS,
            booking_id=couples[number % len(couples)].job_id,
            slot=slot,
        )
        for number in range(_CONFIRMATIONS)
    ]
    return list(await asyncio.gather(*(stage.wedsync.conflicts.confirm(one) for one in asked)))


async def _decided(stage: Stage, conflict: BookingConflict) -> tuple[ActionAnswer, bool, ResolutionDetail]:
    """Raise the conflict, and give the day to the couple that was refused, as a pressed button does."""
    policy = example("booking-conflict")["decision"]
    run = await stage.wedsync.conflicts.raise_conflicts(
        BookingConflicts.model_validate(
            {
                "organizationId": ORGANIZATION,
                "integrationId": _BOOKINGS,
                "conflicts": [conflict.model_dump(mode="json")],
                "decision": policy,
            }
        )
    )
    await _asked(stage, conflict)
    press = ActionTaken(
        event_id="demo-press",
        action_id=conflict.conflicting_booking_id,
        action_type="choose",
        notification_id="demo-question",
        system="slack",
        integration_id="slack-main",
        actor_id="U0PLANNER",
        occurred_at=datetime.now(UTC),
    )
    handle = stage.wedsync.client.get_workflow_handle(
        conflict_workflow_id(ORGANIZATION, _BOOKINGS, conflict.conflict_id)
    )
    with translated():
        pressed = await handle.execute_update("take_action", press, result_type=ActionAnswer)
    other = ConflictDecision(choice=conflict.primary_booking_id, decided_by="latecomer")
    later = await stage.wedsync.conflicts.decide(ORGANIZATION, conflict.conflict_id, other)
    [detail] = (await run.result()).resolution_details
    return pressed, later.accepted, detail


async def _asked(stage: Stage, conflict: BookingConflict) -> None:
    while True:
        if await stage.vendors.holding("slack", "messages", conflict.photographer_id):
            return
        await asyncio.sleep(0.2)


async def _read_back(stage: Stage, before: dict[str, int], winner: _Couple, loser: _Couple) -> list[Check]:
    jobs = {one["id"]: one["stage"] for one in await stage.vendors.objects("tave", "jobs")}
    sessions = {one["jobId"]: one["confirmed"] for one in await stage.vendors.objects("tave", "events")}
    notes = [one["jobId"] for one in await stage.vendors.objects("tave", "notes")]
    chat = await stage.vendors.effects("slack", before["slack"])
    said = await stage.vendors.holding("slack", "messages", f"Decided by U0PLANNER: {winner.job_id}")
    mails = [one for one in await stage.vendors.objects("smtp", "messages") if loser.email in one["to"]]
    entries = [one for one in await stage.vendors.objects("caldav", "events") if "/ballroom/" in one["id"]]
    return [
        Check("Tave: stage of winner and loser", ("booked", "lead"), (jobs[winner.job_id], jobs[loser.job_id])),
        Check("Tave: sessions confirmed", (True, False), (sessions[winner.job_id], sessions[loser.job_id])),
        Check("Tave: notes on both jobs", (2, 2), (notes.count(winner.job_id), notes.count(loser.job_id))),
        Check(
            "Slack: one question, answered in its place",
            (1, 1, 1),
            (chat["message.posted"], chat["message.updated"], said),
        ),
        Check(
            "mails to the couple that lost, with alternatives",
            [True],
            ["Free alternatives" in str(one) for one in mails],
        ),
        Check(
            "the calendar's bookings of that day, and whose",
            [(_BEGINS.strftime("%Y%m%dT%H%M%SZ"), True)],
            [(one["dtstart"], winner.job_id in str(one)) for one in entries],
        ),
    ]
