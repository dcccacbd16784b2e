"""How a wedding's facts read to a system that carries them."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue

from contracts.effects import Delivery, Rendered
from contracts.facts import Facts, Follower
from contracts.names import effect_id
from contracts.notification import (
    NotificationMetadata,
    SourceNotification,
    TargetSystem,
    TimelineChanges,
    WeddingContext,
)
from contracts.sync import SyncPriority
from contracts.wedding import Wedding


def facts_delivery(
    wedding: Wedding, follower: Follower, target: TargetSystem, occurred_at: datetime
) -> Delivery | None:
    """Return the delivery that brings a follower to the wedding's day, time and place; None when it lacks nothing.

    The day is always told, time and place where the follower carries others or nobody knows what it carries. A day
    that is open is told to nobody: no system keeps an open day.
    """
    held = follower.held or Facts()
    is_known = follower.held is not None
    changed_time = wedding.ceremony_time if not is_known or held.ceremony_time != wedding.ceremony_time else None
    changed_venue = wedding.venue_name if not is_known or held.venue_name != wedding.venue_name else ""
    changes = TimelineChanges(
        new_wedding_date=wedding.wedding_date, new_wedding_time=changed_time, new_venue=changed_venue
    )
    if wedding.wedding_date is None and changed_time is None and not changed_venue:
        return None
    known = NotificationMetadata.model_fields
    settings: dict[str, JsonValue] = {name: value for name, value in target.settings.items() if _snake(name) in known}
    title = "Wedding details changed"
    day = wedding.wedding_date.isoformat() if wedding.wedding_date else "not set"
    lines = [f"Day: {day}", f"Time: {wedding.ceremony_time:%H:%M}" if wedding.ceremony_time else ""]
    lines.append(f"Venue: {wedding.venue_name}" if wedding.venue_name else "")
    round_id = effect_id(wedding.organization_id, wedding.wedding_id, "facts", target.system_id, str(follower.wanted))
    return Delivery(
        organization_id=wedding.organization_id,
        business_key=round_id,
        notification=SourceNotification(
            notification_id=round_id,
            type="timeline_change",
            title=title,
            message="\n".join(line for line in lines if line),
            priority=SyncPriority.HIGH,
            wedding_context=WeddingContext(
                wedding_id=wedding.wedding_id,
                wedding_date=wedding.wedding_date,
                wedding_time=wedding.ceremony_time,
                time_zone=wedding.time_zone,
                client_name=wedding.client_name,
                venue_name=wedding.venue_name,
            ),
            metadata={**settings, "timelineChanges": changes.model_dump(mode="json")},
        ),
        target=target,
        rendered=Rendered(subject=title, text="\n".join(line for line in lines if line)),
        wedding_id=wedding.wedding_id,
        occurred_at=occurred_at,
    )


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
