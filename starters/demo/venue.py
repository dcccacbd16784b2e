"""The scenario of a venue: one change reaches booking, calendar, till, team and caterer, then the date moves."""

from __future__ import annotations

from typing import Any

from contracts.integration import IntegrationConfiguration
from contracts.notification import CrossSystemRouting
from starters.demo.stage import Check, Stage, example, integration

_VENDORS = ("tripleseat", "caldav", "square", "slack")
_CATERER = "kitchen@caterer.example.com"
_MOVED_TO = "2027-06-19"
_EFFECTS = {
    "tripleseat": {"event.updated": 1, "note.created": 1},
    "caldav": {"event.updated": 1},
    "square": {"order.updated": 1},
    "slack": {"message.posted": 1},
    "smtp": {"message.accepted": 1},
}
"""What a notification does at each vendor."""
_MADE = {"caldav": {"event.created": 1}}
"""What the first one does instead."""


async def venue_coordination(stage: Stage) -> list[Check]:
    """A venue's change reaches everybody once; when the date moves, the calendar's event moves with it."""
    for name in _VENDORS:
        document = example(f"integration-{name}")
        await stage.wedsync.integrations.connect(IntegrationConfiguration.model_validate(document))
    await stage.wedsync.integrations.connect(
        integration(
            "email",
            "email-main",
            fromAddress="studio@lumen.example.com",
            encryption="none",
            **await stage.vendors.mail_server(),
        )
    )
    changed = example("route-notification-venue")
    before = {name: await stage.vendors.last_effect(name) for name in (*_VENDORS, "smtp")}
    statuses = [await _route(stage, changed) for _ in range(2)]
    found = {name: dict(await stage.vendors.effects(name, since)) for name, since in before.items()}
    between = {name: await stage.vendors.last_effect(name) for name in before}
    statuses.append(await _route(stage, _moved(changed)))
    later = {name: dict(await stage.vendors.effects(name, since)) for name, since in between.items()}
    return [
        Check("overall status, of the change twice and of the move", ["success"] * 3, statuses),
        *[Check(f"{name}, by the change", _MADE.get(name, one), found[name]) for name, one in _EFFECTS.items()],
        *[Check(f"{name}, by the move", one, later[name]) for name, one in _EFFECTS.items()],
        *await _read_back(stage),
    ]


async def _read_back(stage: Stage) -> list[Check]:
    """Compare what the vendors hold in the end."""
    booked = await stage.vendors.objects("tripleseat", "events")
    events = [one for one in await stage.vendors.objects("caldav", "events") if "/orangery/" in one["id"]]
    orders = await stage.vendors.objects("square", "orders")
    mails = [one for one in await stage.vendors.objects("smtp", "messages") if _CATERER in one["to"]]
    return [
        Check("Tripleseat's event begins", "06/19/2027 03:30 PM", booked[0]["event_start"]),
        Check(
            "events of the wedding in the calendar",
            [("20270619T153000", "CONFIRMED", "1")],
            [(one["dtstart"], one["status"], one["sequence"]) for one in events],
        ),
        Check(
            "the bar is to be ready",
            "2027-06-19T14:30:00Z",
            orders[0]["fulfillments"][0]["pickup_details"]["pickup_at"],
        ),
        Check("mails to the caterer", 2, len(mails)),
    ]


async def _route(stage: Stage, document: dict[str, Any]) -> str:
    run = await stage.wedsync.start_notification(CrossSystemRouting.model_validate(document))
    return str((await run.result()).overall_status)


def _moved(document: dict[str, Any]) -> dict[str, Any]:
    """The routing of the same wedding a week later."""
    notification = document["sourceNotification"]
    moved = {
        **notification,
        "notificationId": "notif-venue-0002",
        "title": "Moved to 19 June",
        "message": "The wedding is a week later, at the same hour.",
        "weddingContext": {**notification["weddingContext"], "weddingDate": _MOVED_TO},
        "metadata": {**notification["metadata"], "timelineChanges": {"newWeddingDate": _MOVED_TO}},
    }
    return {**document, "routingId": "route-venue-0002", "sourceNotification": moved}
