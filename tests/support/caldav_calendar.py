"""The calendars of the emulated CalDAV server: a connector to them, what is planned for them, and what they hold."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.connectors.calendar.caldav import CalDav
from contracts.effects import Delivery, DeliveryIntent, EffectStep, StandingEffect
from contracts.errors import WedSyncError
from tests.support.admissions import Counting
from tests.support.deliveries import OCCURRED_AT, PRIVATE_WORDS, ROUTING, connection, delivery
from tests.support.emulators import Emulators

ACCOUNT = {"username": "lumen", "password": "sandbox-caldav-password"}
CALENDARS = {"team": "/lumen/team/", "orangery": "/lumen/orangery/"}
CONTEXT = ROUTING["sourceNotification"]["weddingContext"]
NOON = datetime(2027, 6, 12, 12, tzinfo=UTC)


def opened(base_url: str, admission: Counting | None = None, **changed: Any) -> CalDav:
    given = connection("caldav", base_url, ACCOUNT, **{"calendars": CALENDARS, "calendar": "team", **changed})
    return CalDav(replace(given, admission=admission) if admission else given)


def about(day: str | None = "2027-06-12", clock: str | None = "15:30", **changed: Any) -> Delivery:
    """A notification about the wedding as of a day and a time."""
    context = {**CONTEXT, "weddingDate": day, "weddingTime": clock, **changed.pop("context", {})}
    return delivery("caldav", metadata={}, weddingContext=context, **changed)


def upsert(connector: CalDav, *args: Any, **changed: Any) -> EffectStep:
    [step] = connector.plan(about(*args, **changed))
    return step


def hold(
    connector: CalDav, starts_at: datetime = NOON, hours: float = 4, booking: str = "wed-1001", key: str = "hold-1"
) -> EffectStep:
    slot = {
        "resourceId": "orangery",
        "startsAt": starts_at.isoformat(),
        "endsAt": (starts_at + timedelta(hours=hours)).isoformat(),
    }
    one = delivery("caldav", metadata={"slot": slot}, weddingContext={**CONTEXT, "weddingId": booking})
    [step] = connector.plan(one.model_copy(update={"intent": DeliveryIntent.HOLD, "business_key": key}))
    return step


def standing(step: EffectStep) -> StandingEffect:
    known = step.model_dump(include={"effect_id", "organization_id", "integration_id", "system", "kind", "object_id"})
    return StandingEffect(**known, remote_id=step.object_id, workflow_id="run", applied_at=OCCURRED_AT)


def shown(emulators: Emulators) -> list[dict[str, Any]]:
    return emulators.objects("caldav", "events")


def kinds(emulators: Emulators) -> list[str]:
    return [one["kind"] for one in emulators.effects("caldav")]


async def failure(call: Awaitable[Any]) -> WedSyncError:
    with pytest.raises(WedSyncError) as caught:
        await call
    told = caught.value.detail.model_dump_json() + str(caught.value)
    assert not [word for word in (*PRIVATE_WORDS, "/lumen/") if word in told]
    return caught.value
