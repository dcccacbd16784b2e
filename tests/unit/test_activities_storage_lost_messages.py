"""Messages that did not arrive: people hear of every one of them, in one alert per integration and window."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.storage.database import Database, metadata, migrate
from activities.storage.lost_messages import SETTLES, WINDOW, LostMessages
from contracts.alerts import Alert, AlertKind, DueAlert
from contracts.undelivered import LostMessage

START = datetime(2031, 5, 1, 9, tzinfo=UTC)
LUMEN, HARBOUR = "lumen-studios", "harbour-weddings"


def lost(number: int, organization: str = LUMEN, integration: str = "mail", reason: str = "Bounced.") -> LostMessage:
    return LostMessage(
        effect_id=f"effect-{number}",
        organization_id=organization,
        integration_id=integration,
        system="email",
        about=f"notif-{number}",
        wedding_id=f"wed-{number % 3}",
        since=START,
        reason=reason,
        action="Correct the address.",
    )


def counted(alert: Alert) -> int:
    """Return how many messages an alert says were lost."""
    found = re.search(r"did not deliver (a|\d+) message", alert.sentence)
    assert found is not None
    return 1 if found[1] == "a" else int(found[1])


@pytest.fixture
async def messages(tmp_path: Path) -> AsyncIterator[LostMessages]:
    url = f"sqlite:///{tmp_path}/store.db"
    migrate(url)
    database = Database(url)
    yield LostMessages(database)
    await database.aclose()


async def test_three_hundred_bounces_are_one_alert_that_counts_them(messages: LostMessages):
    for number in range(300):
        await messages.note(lost(number, reason="Full." if number < 50 else "Bounced."), START)
        await messages.note(lost(number), START)
    [due] = await messages.collect(START + SETTLES)
    alert = due.alert
    assert (alert.kind, alert.organization_id, alert.integration_ids) == (
        AlertKind.MESSAGE_UNDELIVERED,
        LUMEN,
        ["mail"],
    )
    assert "300 messages of 3 weddings" in alert.sentence
    assert "Bounced. (250 times); Full. (50 times)" in alert.sentence
    assert "notif-0, notif-1," in alert.action
    assert "and 280 more" in alert.action


async def test_each_organisation_and_integration_hears_of_its_own(messages: LostMessages):
    places = [(LUMEN, "mail"), (LUMEN, "phone"), (HARBOUR, "mail")]
    for number, place in enumerate(places):
        await messages.note(lost(number, *place), START)
    alerts = [due.alert for due in await messages.collect(START + SETTLES)]
    assert sorted((alert.organization_id, *alert.integration_ids) for alert in alerts) == sorted(places)
    assert len({alert.alert_id for alert in alerts}) == len(alerts)


async def test_an_alert_that_nobody_noted_as_told_is_told_again_as_it_was(messages: LostMessages):
    await messages.note(lost(1), START)
    [first] = await messages.collect(START + SETTLES)
    await messages.note(lost(2), START + SETTLES)
    [again] = await messages.collect(START + 2 * WINDOW)
    assert again == first


@settings(max_examples=20, deadline=None)
@given(st.data())
async def test_every_message_is_told_once_and_no_integration_twice_in_a_window(data: st.DataObject):
    steps = data.draw(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 2)), min_size=1, max_size=25))
    with TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/store.db")
        async with database.begin() as connection:
            await connection.run_sync(metadata.create_all)
        messages, now, told = LostMessages(database), START, list[tuple[datetime, DueAlert]]()
        for number, (pause_s, what) in enumerate(steps):
            now += timedelta(seconds=pause_s)
            await messages.note(lost(number, integration=f"mail-{number % 2}"), now)
            if what:
                due = await messages.collect(now)
                if what == 1:
                    await messages.told(due, now)
                    told += [(now, one) for one in due]
        for _ in range(3):
            now += WINDOW
            due = await messages.collect(now)
            await messages.told(due, now)
            told += [(now, one) for one in due]
        await database.aclose()
    assert sum(counted(one.alert) for _, one in told) == len(steps)
    for integration in ("mail-0", "mail-1"):
        instants = [at for at, one in told if one.alert.integration_ids == [integration]]
        assert all(later - earlier >= WINDOW for earlier, later in pairwise(instants))
