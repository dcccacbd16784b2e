"""DeliverDigest: many messages as one, none lost and none said twice."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.digests import Digests
from activities.transform.digest import digest_routing
from contracts.digests import LINES, DigestItem, DigestRun
from contracts.names import ORCHESTRATION_QUEUE, digest_workflow_id
from contracts.notification import CrossSystemRouting, TargetSystem
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_route_notification import FakeNotify
from tests.orchestration.test_route_notification_holds import stage as routing_stage
from tests.orchestration.test_route_notification_holds import start
from tests.support.emulators import Emulators
from tests.support.post_office import ANNA, ORGANIZATION, QUEUE, PostOffice, contact, routing
from tests.support.temporal import polling, time_skipping
from workflows import deliver_digest
from workflows.deliver_digest import DeliverDigest
from workflows.route_notification import RouteNotification

EMULATED = ("smtp",)
DAY = timedelta(days=1)
WORKFLOWS = [DeliverDigest, RouteNotification]
MAIL = TargetSystem(system_id="mail", system_type="email", integration_id="mail", recipients=[ANNA])
DIGEST = DigestRun(organization_id=ORGANIZATION, contact=contact(ANNA), target=MAIL)


@pytest.fixture
async def office(emulators: Emulators, tmp_path: Path) -> AsyncIterator[PostOffice]:  # noqa: F811
    office = PostOffice(emulators, tmp_path)
    await office.open()
    yield office
    await office.aclose()


class Sent:
    """Composes digests really, and notes how many messages each held."""

    def activities(self) -> list[Any]:
        return [self.compose, *FakeNotify().activities()]

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.titles: list[str] = []

    @activity.defn(name="digest.compose")
    async def compose(self, digest: DigestRun) -> CrossSystemRouting:
        self.counts.append(digest.waiting)
        self.titles += [item.title for item in digest.items]
        return await Digests().compose(digest)


def item(number: int, due: datetime, **changes: Any) -> DigestItem:
    given = {"itemId": f"item-{number}", "message": f"words-{number}", "type": "reminder", "title": f"News {number}"}
    return DigestItem.model_validate({**given, "dueAt": due, **changes})


async def signalled(environment: WorkflowEnvironment, *items: DigestItem) -> WorkflowHandle[Any, int]:
    """Signal a digest, which begins with its first message."""
    handle: WorkflowHandle[Any, int]
    for one in items:
        handle = await environment.client.start_workflow(
            DeliverDigest.run,
            DIGEST,
            id=digest_workflow_id(ORGANIZATION, DIGEST.contact, "mail"),
            task_queue=ORCHESTRATION_QUEUE,
            start_signal="collect",
            start_signal_args=[one],
        )
    return handle


async def soon(environment: WorkflowEnvironment) -> datetime:
    return (await environment.get_current_time()).astimezone(UTC) + DAY


async def test_what_waits_is_sent_once_when_it_is_due():
    sent = Sent()
    async with time_skipping() as environment, polling(environment.client, WORKFLOWS, sent.activities()):
        due = await soon(environment)
        handle = await signalled(environment, *(item(number, due) for number in range(3)))
        assert await handle.result() == 3
        assert await environment.get_current_time() >= due
    assert (sent.counts, sent.titles) == ([3], ["News 0", "News 1", "News 2"])


async def test_a_signal_told_twice_and_a_message_that_says_the_same_count_once():
    sent = Sent()
    async with time_skipping() as environment, polling(environment.client, WORKFLOWS, sent.activities()):
        due = await soon(environment)
        same = item(3, due, message="words-1")
        handle = await signalled(environment, item(1, due), item(1, due), same, item(2, due))
        assert await handle.result() == 4
    assert sent.counts == [2]


async def test_f56_no_signal_of_a_storm_is_lost_over_the_edge_of_a_run():
    total, at_once = 5_000, 50
    sent = Sent()
    async with time_skipping() as environment, polling(environment.client, WORKFLOWS, sent.activities()):
        due = await soon(environment)
        handle = await signalled(environment, item(0, due))
        first = (await handle.describe()).run_id
        gate = asyncio.Semaphore(at_once)

        async def tell(number: int) -> None:
            async with gate:
                await signalled(environment, item(number, due))

        await asyncio.gather(*(tell(number) for number in range(1, total)))
        assert await handle.result() == total
        newest = environment.client.get_workflow_handle(handle.id)
        assert (await newest.describe()).run_id != first
    assert total > 2 * deliver_digest.SIGNALS_PER_RUN
    assert sum(sent.counts) == total


def test_a_digest_names_or_counts_every_message():
    due = datetime(2031, 5, 1, 8, tzinfo=UTC)
    items = [item(number, due, text="x" * 200) for number in range(LINES)]
    digest = DIGEST.model_copy(update={"items": items, "more": {"reminder": 40, "weather": 2}})
    notification = digest_routing(digest, "digest-1").source_notification
    *lines, last = notification.message.splitlines()
    [rest] = re.findall(r"and (\d+) more", last)
    assert len(lines) + int(rest) == digest.waiting == LINES + 42


async def test_low_messages_are_collected_for_the_morning_and_make_one_mail(office: PostOffice):
    await office.prefer(ANNA, digest={"cadence": "daily", "at": "08:00"}, timeZone="Europe/London")
    titles = [f"News {number}" for number in range(3)]
    async with (
        time_skipping() as environment,
        polling(environment.client, WORKFLOWS, office.activities(), QUEUE),
    ):
        with environment.auto_time_skipping_disabled():
            for number, title in enumerate(titles):
                wanted = routing(ANNA, number=number, title=title, priority="low")
                result = await (await start(environment, wanted)).result()
                assert result.system_results[0].reason == "digest"
            digest_id = digest_workflow_id(ORGANIZATION, contact(ANNA), "mail")
            waiting = await environment.client.get_workflow_handle(digest_id).query(DeliverDigest.digest)
            await (await start(environment, digest_routing(waiting, "digest-1"))).result()
    [mail] = office.mails()
    assert mail["text"].splitlines() == [f"- {title}: It is on Friday." for title in titles]
    assert waiting.due_at is not None
    assert waiting.due_at.astimezone(ZoneInfo("Europe/London")).strftime("%H:%M") == "08:00"


async def test_f53_who_opts_out_while_messages_are_collected_gets_no_digest(office: PostOffice):
    await office.prefer(ANNA, optedOut=True)
    async with routing_stage(office) as environment:
        digest = digest_routing(DIGEST.model_copy(update={"items": [item(1, await soon(environment))]}), "digest-1")
        result = await (await start(environment, digest)).result()
    assert (office.mails(), result.system_results[0].reason) == ([], "opted_out")


async def test_a_critical_message_is_not_collected(office: PostOffice):
    await office.prefer(ANNA, digest={"cadence": "daily", "upTo": "critical"})
    async with routing_stage(office) as environment:
        await (await start(environment, routing(ANNA, priority="critical"))).result()
    assert len(office.mails()) == 1
