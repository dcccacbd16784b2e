"""Targets that depend on each other: whatever fails, nothing stands that is not accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from contracts.names import ORCHESTRATION_QUEUE, system_queue
from contracts.notification import CrossSystemRouting, DeliveryStatus, OverallStatus, RoutingResult
from tests.support.temporal import polling, real_time
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
    """Yield every way in which one of `count` targets fails, alone and beside the next, which takes nothing back."""
    for broken, point, stubborn in product(range(count), Point, (False, True)):
        points = [Point.NOWHERE] * count
        if stubborn:
            points[(broken + 1) % count] = Point.RETRACT
        points[broken] = point
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


@pytest.mark.timeout(900)
async def test_every_failure_of_every_target_in_every_mode_ends_in_all_or_nothing_or_a_declared_part(tmp_path: Path):
    room = asyncio.Semaphore(40)
    async with stage(tmp_path) as (environment, standing):

        async def judged(number: int, case: Case) -> list[str]:
            async with room:
                return await routed(environment, standing, number, case)

        found = await asyncio.gather(*(judged(number, case) for number, case in enumerate(cases())))
    assert [line for lines in found for line in lines] == []
