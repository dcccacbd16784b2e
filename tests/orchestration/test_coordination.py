"""Targets that depend on each other: whatever fails, nothing stands that is not accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from contracts.names import ORCHESTRATION_QUEUE, system_queue
from contracts.notification import CrossSystemRouting, DeliveryStatus, OverallStatus, RoutingResult
from tests.support.temporal import polling, real_server, time_skipping
from tests.support.vendors import MAKES, House, Point, Vendor, house
from workflows.route_notification import RouteNotification

SYSTEMS = ("mail", "chat", "crm", "book")
"""In the order of the targets: what cannot be taken back comes first, where it does most harm."""
QUEUES = tuple(system_queue(name) for name in MAKES)
COORDINATED: dict[str, dict[str, Any]] = {
    "all_or_nothing": {"deliveryCoordination": {"mode": "all_or_nothing"}},
    "quorum": {"deliveryCoordination": {"mode": "quorum"}},
    "quorum, else nothing": {
        "deliveryCoordination": {"mode": "quorum"},
        "errorHandling": {"onPermanentFailure": "compensate"},
    },
    "ordered": {"deliveryCoordination": {"mode": "ordered"}},
    "same_moment": {"deliveryCoordination": {"mode": "same_moment"}},
    "best_effort, else nothing": {"errorHandling": {"onPermanentFailure": "compensate"}},
}
STANDING = frozenset({DeliveryStatus.SUCCESS, DeliveryStatus.NOT_REVERSIBLE})


@dataclass(frozen=True)
class Case:
    """A routing to the first systems, of which each fails at its point."""

    coordinated: str
    points: tuple[Point, ...]

    def __str__(self) -> str:
        return f"{self.coordinated}: {' '.join(self.points)}"


def failing(count: int) -> Iterator[tuple[Point, ...]]:
    """Yield every way in which one of `count` targets fails, alone and beside one that takes nothing back."""
    for broken, point in product(range(count), (one for one in Point if one is not Point.AWAY)):
        points = [Point.NOWHERE] * count
        points[broken] = point
        yield tuple(points)
        if count > 1 and point not in {Point.NOWHERE, Point.LOST, Point.RETRACT}:
            points[broken - 1] = Point.RETRACT
            yield tuple(points)


def cases() -> list[Case]:
    return [
        Case(name, points)
        for name, count in product(COORDINATED, range(1, len(SYSTEMS) + 1))
        for points in dict.fromkeys(failing(count))
    ]


def routing(key: str, systems: Sequence[str], **changes: Any) -> CrossSystemRouting:
    """Return a routing of an organisation of its own, to one target per system."""
    return CrossSystemRouting.model_validate(
        {
            "routingId": "route-1",
            "organizationId": key,
            "sourceNotification": {
                "notificationId": "notif-1",
                "type": "timeline_change",
                "title": "Ceremony moved",
                "message": "The ceremony starts at 15:30.",
            },
            "targetSystems": [
                {"systemId": name, "systemType": name, "integrationId": f"{name}-main"} for name in systems
            ],
            **changes,
        }
    )


@asynccontextmanager
async def real_time() -> AsyncIterator[WorkflowEnvironment]:
    """Yield a real server: the time-skipping one stumbles over what is cancelled while it ends."""
    async with real_server() as client:
        yield WorkflowEnvironment.from_client(client)


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[tuple[WorkflowEnvironment, House]]:
    async with (
        house(folder) as standing,
        real_time() as environment,
        polling(environment.client, [RouteNotification], standing.activities(), *QUEUES),
    ):
        yield environment, standing


async def start(environment: WorkflowEnvironment, wanted: CrossSystemRouting) -> WorkflowHandle[Any, RoutingResult]:
    return await environment.client.start_workflow(
        RouteNotification.run, wanted, id=f"route/{wanted.organization_id}", task_queue=ORCHESTRATION_QUEUE
    )


async def books(standing: House, key: str, vendors: Sequence[Vendor], result: RoutingResult) -> list[str]:
    """Return what is wrong with the account that a run gives of its effects."""
    truth = {effect for vendor in vendors for effect in vendor.stands}
    told = {one.effect_id: one.status for item in result.system_results for one in item.delivery_results}
    entries = await standing.ledger.of_notification(key, "notif-1")
    ledger = {one.effect_id for one in entries if one.standing is not None and one.retracted_at is None}
    wrong = []
    unknown = {effect for effect, status in told.items() if status is DeliveryStatus.UNKNOWN}
    if truth - unknown != {effect for effect, status in told.items() if status in STANDING}:
        wrong.append(f"stands {truth}, told {told}")
    if truth - unknown != ledger - unknown:
        wrong.append(f"stands {truth}, in the ledger {ledger}")
    if any(times > 1 for vendor in vendors for times in vendor.made.values()):
        wrong.append("an effect was made twice")
    if (result.overall_status in {OverallStatus.COMPENSATED, OverallStatus.FAILED}) and (truth or unknown):
        wrong.append(f"{result.overall_status}, and {truth} stands")
    if result.overall_status is OverallStatus.PARTIAL_FAILURE and not truth and not unknown:
        wrong.append("partial, and nothing stands")
    return wrong


async def routed(environment: WorkflowEnvironment, standing: House, number: int, case: Case) -> list[str]:
    """Run a case, and return what is wrong with its end."""
    key = f"org-{number}"
    systems = SYSTEMS[: len(case.points)]
    vendors = [
        standing.vendors.connect(key, f"{name}-main", name, point)
        for name, point in zip(systems, case.points, strict=True)
    ]
    result = await (await start(environment, routing(key, systems, **COORDINATED[case.coordinated]))).result()
    wrong = await books(standing, key, vendors, result)
    all_stand = all(len(vendor.stands) == len(MAKES[vendor.system].kinds) for vendor in vendors)
    everything = {one.status for item in result.system_results for one in item.delivery_results}
    if case.coordinated in {"all_or_nothing", "best_effort, else nothing"}:
        declared = everything & {DeliveryStatus.NOT_REVERSIBLE, DeliveryStatus.UNKNOWN}
        held = any(item.status is DeliveryStatus.HELD for item in result.system_results)
        if DeliveryStatus.SUCCESS in everything and not all_stand and not held:
            wrong.append("some stand as if all did")
        if result.overall_status is OverallStatus.PARTIAL_FAILURE and not declared and not held:
            wrong.append("partial, and nothing is declared")
    if result.overall_status is OverallStatus.SUCCESS and case.coordinated[:6] != "quorum" and not all_stand:
        wrong.append("a success that not everybody got")
    return [f"{case}: {one}" for one in wrong]


@pytest.mark.timeout(1_800)
async def test_every_failure_of_every_target_in_every_mode_ends_in_all_or_nothing_or_a_declared_part(tmp_path: Path):
    room = asyncio.Semaphore(40)
    async with stage(tmp_path) as (environment, standing):

        async def judged(number: int, case: Case) -> list[str]:
            async with room:
                return await routed(environment, standing, number, case)

        found = await asyncio.gather(*(judged(number, case) for number, case in enumerate(cases())))
    assert [line for lines in found for line in lines] == []


@dataclass
class Played:
    """A routing on a stage, with its vendors by system."""

    environment: WorkflowEnvironment
    standing: House
    vendors: dict[str, Vendor]

    async def begin(self, **changes: Any) -> WorkflowHandle[Any, RoutingResult]:
        return await start(self.environment, routing("lumen", tuple(self.vendors), **changes))

    async def account(self, result: RoutingResult) -> dict[str, tuple[str, str]]:
        """Return status and reason by target, once the books are found to be right."""
        assert await books(self.standing, "lumen", list(self.vendors.values()), result) == []
        return {item.system_id: (item.status.value, item.reason) for item in result.system_results}


@asynccontextmanager
async def played(folder: Path, *, skipping: bool = False, **points: Point) -> AsyncIterator[Played]:
    """Yield a stage with a vendor per name, which fails at its point."""
    clock = time_skipping() if skipping else real_time()
    async with (
        house(folder) as standing,
        clock as environment,
        polling(environment.client, [RouteNotification], standing.activities(), *QUEUES),
    ):
        vendors = {
            name: standing.vendors.connect("lumen", f"{name}-main", name, point) for name, point in points.items()
        }
        yield Played(environment, standing, vendors)


ALL_OR_NOTHING = {"deliveryCoordination": {"mode": "all_or_nothing"}}


async def test_what_cannot_be_taken_back_is_made_only_once_all_the_rest_stands(tmp_path: Path):
    async with played(tmp_path, mail=Point.NOWHERE, chat=Point.NOWHERE, crm=Point.NOWHERE) as scene:
        order: list[str] = []
        for vendor in scene.vendors.values():
            vendor.log = order
        result = await (await scene.begin(**ALL_OR_NOTHING)).result()
    assert result.overall_status is OverallStatus.SUCCESS
    assert order[-2:] == ["mail message.send", "crm deal.update"]


async def test_a_target_that_would_be_refused_keeps_all_or_nothing_from_beginning(tmp_path: Path):
    async with played(tmp_path, mail=Point.NOWHERE, chat=Point.CONNECTION) as scene:
        result = await (await scene.begin(**ALL_OR_NOTHING)).result()
        account = await scene.account(result)
    assert result.overall_status is OverallStatus.FAILED
    assert account == {"mail": ("held", "withheld"), "chat": ("held", "credential_missing")}
    assert [one.status for one in result.system_results[0].delivery_results] == [DeliveryStatus.NEVER_TRIED]


async def test_what_stands_is_taken_back_when_another_target_fails(tmp_path: Path):
    async with played(tmp_path, chat=Point.NOWHERE, book=Point.BEFORE) as scene:
        result = await (await scene.begin(**ALL_OR_NOTHING)).result()
        account = await scene.account(result)
    assert result.overall_status is OverallStatus.COMPENSATED
    assert account == {"chat": ("retracted", ""), "book": ("failed", "request_refused")}


async def test_what_a_vendor_does_not_take_back_is_declared(tmp_path: Path):
    async with played(tmp_path, chat=Point.RETRACT, book=Point.BEFORE) as scene:
        result = await (await scene.begin(**ALL_OR_NOTHING)).result()
        account = await scene.account(result)
    assert result.overall_status is OverallStatus.PARTIAL_FAILURE
    assert account["chat"] == ("not_reversible", "missing_permission")


async def test_a_standby_completes_all_or_nothing_and_what_the_replaced_one_left_is_taken_back(tmp_path: Path):
    failover = {"errorHandling": {"failover": {"crm": ["book"]}}}
    async with played(tmp_path, crm=Point.NOWHERE, chat=Point.NOWHERE, book=Point.NOWHERE) as scene:
        scene.vendors["crm"].refuses = "deal.update"
        result = await (await scene.begin(**ALL_OR_NOTHING, **failover)).result()
        account = await scene.account(result)
    assert result.overall_status is OverallStatus.SUCCESS
    assert result.system_results[0].failed_over_to == "book"
    assert account["book"] == ("success", "")
    assert scene.vendors["crm"].stands == {}


async def test_an_order_is_kept_and_what_comes_after_a_failure_is_never_tried(tmp_path: Path):
    ordered = {"deliveryCoordination": {"mode": "ordered", "order": ["book", "chat"]}}
    async with played(tmp_path, mail=Point.NOWHERE, chat=Point.BEFORE, book=Point.NOWHERE) as scene:
        result = await (await scene.begin(**ordered)).result()
        account = await scene.account(result)
    assert result.overall_status is OverallStatus.PARTIAL_FAILURE
    assert account == {
        "book": ("success", ""),
        "chat": ("failed", "request_refused"),
        "mail": ("held", "stopped_after_failure"),
    }


async def test_a_quorum_is_a_success_though_the_rest_fails(tmp_path: Path):
    quorum = {"deliveryCoordination": {"mode": "quorum", "quorum": 1}}
    async with played(tmp_path, chat=Point.BEFORE, book=Point.NOWHERE) as scene:
        result = await (await scene.begin(**quorum)).result()
        await scene.account(result)
    assert result.overall_status is OverallStatus.SUCCESS


async def test_once_a_quorum_has_it_the_rest_is_called_off(tmp_path: Path):
    quorum = {"deliveryCoordination": {"mode": "quorum", "quorum": 1}}
    async with played(tmp_path, chat=Point.NOWHERE, book=Point.AWAY) as scene:
        result = await (await scene.begin(**quorum)).result()
        account = await scene.account(result)
    assert result.overall_status is OverallStatus.SUCCESS
    assert account["book"] == ("skipped", "quorum_reached")


async def test_a_quorum_that_cannot_be_reached_begins_nothing(tmp_path: Path):
    quorum = {
        "deliveryCoordination": {"mode": "quorum", "quorum": 2},
        "routingRules": [{"ruleId": "none", "systemIds": ["chat"], "condition": "false"}],
    }
    async with played(tmp_path, chat=Point.NOWHERE, book=Point.NOWHERE) as scene:
        result = await (await scene.begin(**quorum)).result()
        account = await scene.account(result)
    assert result.overall_status is OverallStatus.FAILED
    assert account == {"chat": ("skipped", "rule:none"), "book": ("held", "quorum_out_of_reach")}


async def test_a_release_at_an_instant_reaches_everybody_then_and_nobody_before(tmp_path: Path):
    async with played(tmp_path, skipping=True, chat=Point.NOWHERE, book=Point.NOWHERE) as scene:
        release_at = await scene.environment.get_current_time() + timedelta(days=3)
        coordination = {"mode": "same_moment", "releaseAt": release_at.isoformat()}
        handle = await scene.begin(deliveryCoordination=coordination)
        await scene.environment.sleep(timedelta(days=2))
        before = [dict(vendor.stands) for vendor in scene.vendors.values()]
        result = await handle.result()
        await scene.account(result)
        ended = await scene.environment.get_current_time()
    assert before == [{}, {}]
    assert result.overall_status is OverallStatus.SUCCESS
    assert ended >= release_at


async def test_a_target_paused_while_the_release_was_awaited_is_held(tmp_path: Path):
    async with played(tmp_path, skipping=True, chat=Point.NOWHERE, book=Point.NOWHERE) as scene:
        release_at = await scene.environment.get_current_time() + timedelta(days=3)
        coordination = {"mode": "same_moment", "releaseAt": release_at.isoformat()}
        handle = await scene.begin(deliveryCoordination=coordination)
        await scene.environment.sleep(timedelta(days=2))
        scene.vendors["book"].point = Point.PAUSED
        account = await scene.account(await handle.result())
    assert account == {"chat": ("success", ""), "book": ("held", "integration_paused")}


async def test_a_target_that_fails_is_tried_again_later_where_that_was_asked_for(tmp_path: Path):
    again = {"errorHandling": {"onPermanentFailure": "retry", "retries": 2, "retryAfter": "PT1H"}}
    async with played(tmp_path, skipping=True, chat=Point.BEFORE) as scene:
        handle = await scene.begin(**again)
        await scene.environment.sleep(timedelta(minutes=90))
        scene.vendors["chat"].point = Point.NOWHERE
        result = await handle.result()
        await scene.account(result)
    assert result.overall_status is OverallStatus.SUCCESS


@pytest.mark.parametrize(
    ("changes", "overall", "chat"),
    [
        ({}, OverallStatus.PARTIAL_FAILURE, "success"),
        ({"deliveryCoordination": {"mode": "ordered"}}, OverallStatus.PARTIAL_FAILURE, "success"),
        (ALL_OR_NOTHING, OverallStatus.COMPENSATED, "retracted"),
        ({"errorHandling": {"onPermanentFailure": "compensate"}}, OverallStatus.COMPENSATED, "retracted"),
    ],
    ids=["best_effort", "ordered", "all_or_nothing", "compensate"],
)
async def test_f52_a_cancelled_routing_begins_nothing_more_and_says_what_stands(
    tmp_path: Path, changes: dict[str, Any], overall: OverallStatus, chat: str
):
    async with played(tmp_path, chat=Point.NOWHERE, book=Point.AWAY) as scene:
        handle = await scene.begin(**changes)
        await scene.vendors["chat"].did.wait()
        await scene.vendors["book"].asked.wait()
        await handle.cancel()
        result = await handle.result()
        account = await scene.account(result)
    assert (result.overall_status, account["chat"][0]) == (overall, chat)
    assert account["book"] == ("skipped", "cancelled")
