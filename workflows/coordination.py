"""Targets that depend on each other: who is served when, and what is taken back when one of them fails."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, ClassVar, Protocol

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from contracts.effects import RoutingPlan, TargetPlan
    from contracts.notification import (
        CrossSystemRouting,
        DeliveryMode,
        DeliveryStatus,
        FailureStrategy,
        OverallStatus,
        SystemRoutingResult,
    )
    from contracts.results import overall_status, untouched
    from workflows.compensation import find_out, take_back, unhindered
    from workflows.delivery_book import DeliveryBook, Entry
    from workflows.delivery_places import Place, standbys
    from workflows.effects import check_effect
    from workflows.visibility import detail_of


class Courier(Protocol):
    """What a routing can do for one target at a time."""

    async def replan(self) -> RoutingPlan:
        """Plan every target anew."""
        ...

    async def deliver(self, plan: RoutingPlan, target: TargetPlan) -> SystemRoutingResult:
        """Deliver to a target, or to those that stand by for it when it fails."""
        ...

    async def stand_in(self, standby: TargetPlan) -> TargetPlan:
        """Return the plan of a target that takes another's place."""
        ...

    async def hand_over(self, target: TargetPlan) -> None:
        """Give those of a target whose digest takes the message to their digests."""
        ...

    async def give_back(self, target: TargetPlan) -> None:
        """Uncount the recipients of a target who have nothing of it."""
        ...

    async def carry_out(self, entry: Entry, *, waits: bool) -> None:
        """Make one effect stand and enter what became of it; waits for a parked connection where told so."""
        ...

    async def reconnected(self, integration_id: str, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step as soon as its connection is not parked."""
        ...


class Coordination:
    """One routing's targets, delivered to as its mode says, with every effect accounted for.

    Args:
        routing: how its targets depend on each other.
        plan: the decision about each of them.
        book: where what becomes of every effect is entered.
        courier: serves one target at a time.
    """

    def __init__(self, routing: CrossSystemRouting, plan: RoutingPlan, book: DeliveryBook, courier: Courier) -> None:
        self._routing = routing
        self._plan = plan
        self._book = book
        self._courier = courier
        self._word = routing.source_notification.priority
        self._mode = _mode_of(routing)
        self._strategy = routing.error_handling.on_permanent_failure
        self._places: list[Place] = []
        self._settled = False

    async def run(self) -> list[SystemRoutingResult]:
        """Deliver, put right what did not succeed, and return what became of every target.

        A run that is cancelled begins nothing more, and ends with the same account.
        """
        try:
            self._line_up()
            await self._MODES[self._mode](self)
        except asyncio.CancelledError:
            if not workflow.patched("cancelled-routings-report"):
                raise
            self._keep_back("cancelled")
        await unhindered(self._settle())
        return [self._result(target) for target in self._plan.targets]

    def overall(self, results: Sequence[SystemRoutingResult]) -> OverallStatus:
        """Return the honest sum of what `run` returned."""
        return overall_status(results, {place.system_id for place in self._meant}, self._enough)

    @property
    def _meant(self) -> list[Place]:
        """The places of those who are to get it: not of those whose recipients turned out not to want it."""
        return [one for one in self._places if one.told is None or one.told.status is not DeliveryStatus.SKIPPED]

    @property
    def _enough(self) -> int:
        if self._mode is DeliveryMode.QUORUM:
            return self._routing.delivery_coordination.quorum or len(self._places) // 2 + 1
        return len(self._meant)

    def _line_up(self) -> None:
        """Enter the targets that no rule keeps the message from, and what they are to get."""
        meant = [target for target in self._plan.targets if target.status is not DeliveryStatus.SKIPPED]
        self._places = [Place([target, *standbys(self._routing, self._plan, target)]) for target in meant]
        for target in meant:
            self._book.replan(target)

    # How the modes deliver.

    async def _best_effort(self) -> None:
        if self._strategy is FailureStrategy.STOP:
            await self._in_turn(self._places)
        else:
            await asyncio.gather(*(self._serve(place) for place in self._places))

    async def _ordered(self) -> None:
        order = self._routing.delivery_coordination.order
        rank = {name: number for number, name in enumerate(order)}
        await self._in_turn(sorted(self._places, key=lambda one: rank.get(one.system_id, len(order))))

    async def _quorum(self) -> None:
        spare = len(self._places) - self._enough
        if spare < 0:
            self._keep_back("quorum_out_of_reach")
            return

        def decided(answers: Sequence[bool]) -> bool:
            return sum(answers) >= self._enough or answers.count(False) > spare

        answers = await self._together([self._serve(place) for place in self._places], decided)
        self._keep_back("quorum_reached" if sum(answers) >= self._enough else "quorum_missed")

    async def _same_moment(self) -> None:
        await self._until_nothing_is_held()
        release_at = self._routing.delivery_coordination.release_at
        ready = asyncio.create_task(self._all_ready(waits=True))
        try:
            timeout = None if release_at is None else max((release_at - workflow.now()).total_seconds(), 0)
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(ready.done, timeout=timeout, timeout_summary="Until the release")
            if release_at is not None and release_at > workflow.now():
                await workflow.sleep(release_at - workflow.now(), summary="Until the release")
        finally:
            ready.cancel()
        if release_at is not None:
            # What was true when it was planned need not be true any more.
            self._plan = await self._courier.replan()
            self._line_up()
        await asyncio.gather(*(self._serve(place) for place in self._places))

    async def _all_or_nothing(self) -> None:
        await self._until_nothing_is_held()
        if not await self._all_ready(waits=False):
            self._keep_back("withheld")
            return
        # What can be taken back goes first, so that a failure finds as little as possible that cannot.
        answers = await self._together([self._first_half(place) for place in self._places], _one_failed)
        if all(answers) and await self._second_halves():
            for place in self._places:
                await self._courier.hand_over(place.current)
        self._keep_back("stopped_after_failure")

    _MODES: ClassVar[dict[DeliveryMode, Callable[[Coordination], Coroutine[Any, Any, None]]]] = {
        DeliveryMode.BEST_EFFORT: _best_effort,
        DeliveryMode.ALL_OR_NOTHING: _all_or_nothing,
        DeliveryMode.QUORUM: _quorum,
        DeliveryMode.ORDERED: _ordered,
        DeliveryMode.SAME_MOMENT: _same_moment,
    }

    async def _serve(self, place: Place) -> bool:
        """Deliver to a target or its standbys, and return whether one of them has the message."""
        place.take(await self._courier.deliver(self._plan, place.target))
        return self._reached(place) or place not in self._meant

    async def _in_turn(self, places: Sequence[Place]) -> None:
        stops = self._strategy is FailureStrategy.STOP
        for place in places:
            reached = await self._serve(place)
            # A target that is held stops those after it only where their order was asked for.
            failed = place.told is not None and place.told.status is DeliveryStatus.FAILED
            if failed if stops else not reached:
                self._keep_back("stopped_after_failure")
                return

    async def _first_half(self, place: Place) -> bool:
        """Make stand what can be taken back, of the target or else of the first of its line that takes it."""
        while not await self._make(place.current, reversible=True):
            if not await self._advance(place):
                return False
        return True

    async def _second_halves(self) -> bool:
        """Make stand what cannot be taken back, one target after the other up to the first that fails."""
        for place in self._places:
            if not await self._second_half(place):
                return False
        return True

    async def _second_half(self, place: Place) -> bool:
        """Make stand what cannot be taken back; whoever takes the target's place begins with what can."""
        while not await self._make(place.current, reversible=False):
            if not await self._advance(place) or not await self._first_half(place):
                return False
        return True

    async def _advance(self, place: Place) -> bool:
        """Give a place to the next in its line; False when there is none."""
        standby = place.next()
        if standby is None:
            return False
        place.advance(await self._courier.stand_in(standby))
        return True

    async def _make(self, target: TargetPlan, *, reversible: bool) -> bool:
        """Make one kind of a target's effects stand, and return whether they do."""
        if target.status is not DeliveryStatus.SUCCESS:
            return False
        entries = [one for one in self._book.plan(target) if one.step.reversible is reversible]
        if reversible:
            await asyncio.gather(*(self._courier.carry_out(one, waits=False) for one in entries))
            return all(one.status is DeliveryStatus.SUCCESS for one in entries)
        for one in entries:
            await self._courier.carry_out(one, waits=False)
            if one.status is not DeliveryStatus.SUCCESS:
                return False
        return True

    # How targets are made ready.

    async def _until_nothing_is_held(self) -> None:
        """Wait for those that may not get it yet, and plan all anew then."""
        while holds := [hold.not_before for target in self._plan.targets for hold in target.holds]:
            wait = max(holds) - workflow.now()
            await workflow.sleep(max(wait.total_seconds(), 1), summary="Until everybody may get it")
            self._plan = await self._courier.replan()
            self._line_up()

    async def _all_ready(self, *, waits: bool) -> bool:
        """Return whether every target could be delivered to now, by itself or by a standby."""
        answers = await asyncio.gather(*(self._ready(place, waits=waits) for place in self._places))
        return all(answers)

    async def _ready(self, place: Place, *, waits: bool) -> bool:
        for target in place.line:
            usable = target.status is DeliveryStatus.SUCCESS or target is not place.target
            if usable and await self._accepts(target, waits=waits):
                return True
        return False

    async def _accepts(self, target: TargetPlan, *, waits: bool) -> bool:
        """Ask a target's connection, and its vendor where that can be asked, whether the effects could be made."""
        try:
            for entry in self._book.plan(target):
                check = functools.partial(check_effect, entry.step, self._word)
                await (self._courier.reconnected(entry.step.integration_id, check) if waits else check())
        except ActivityError as error:
            entry.note(DeliveryStatus.NEVER_TRIED, error=detail_of(error))
            return False
        return True

    # How what went wrong is put right.

    def _keep_back(self, reason: str) -> None:
        """Let nothing more be begun, and say why to those that have not got it."""
        self._book.close()
        for place in self._places:
            if place.told is None and not self._reached(place) and not self._failed(place):
                place.reason = reason

    async def _settle(self) -> None:
        """Find out what is open, and take back what must not stand."""
        await workflow.wait_condition(self._book.still)
        undoes = self._mode is DeliveryMode.ALL_OR_NOTHING or self._strategy is FailureStrategy.COMPENSATE
        short = undoes and not self._succeeded()
        all_doubted = short or self._mode is not DeliveryMode.BEST_EFFORT
        doubted = [one for one in self._book.every(DeliveryStatus.FAILED) if all_doubted or one.called_off]
        await asyncio.gather(*(find_out(one, self._word) for one in doubted))
        unwanted = self._unwanted() if undoes else []
        await asyncio.gather(*(take_back(one, self._word) for one in unwanted))
        self._settled = bool(doubted or unwanted)
        if self._settled or self._mode is DeliveryMode.ALL_OR_NOTHING:
            for place in self._places:
                for target in place.line[: place.at + 1]:
                    await self._courier.give_back(target)

    def _unwanted(self) -> list[Entry]:
        """Return what stands and must not: all of it after a failure, else what those left who were replaced."""
        standing = self._book.every(DeliveryStatus.SUCCESS)
        if not self._succeeded():
            return standing
        holders = {place.holder for place in self._places}
        return [one for one in standing if one.system_id not in holders]

    def _succeeded(self) -> bool:
        if self._mode is DeliveryMode.ALL_OR_NOTHING or self._mode is DeliveryMode.QUORUM or self._book.closed:
            return sum(self._reached(place) for place in self._meant) >= self._enough
        # A target that is only held is no failure that others are taken back for.
        return not any(self._failed(place) and not self._reached(place) for place in self._places)

    def _reached(self, place: Place) -> bool:
        told = place.told
        if told is not None and (told.status is DeliveryStatus.SUCCESS or told.failed_over_to):
            return True
        return place.current.status is DeliveryStatus.SUCCESS and self._book.delivered(place.holder)

    def _failed(self, place: Place) -> bool:
        own = [one for one in self._book.of(place.system_id) if one.result.error is not None]
        return place.target.status is DeliveryStatus.FAILED or any(not one.called_off for one in own)

    # What is reported.

    def _result(self, target: TargetPlan) -> SystemRoutingResult:
        system_id = target.target.system_id
        place = next((one for one in self._places if one.target is target), None)
        if place is not None and place.told is not None and not self._settled:
            return place.told
        instead = place.holder if place is not None and place.at and self._reached(place) else None
        tried = any(one.status is not DeliveryStatus.NEVER_TRIED for one in self._book.of(system_id))
        if tried or target.status is DeliveryStatus.SUCCESS:
            return self._book.result(target, place.reason if place is not None else "", instead)
        return untouched(target, target.status, target.reason).model_copy(update={"failed_over_to": instead})

    async def _together(
        self, works: Sequence[Coroutine[Any, Any, bool]], decided: Callable[[Sequence[bool]], bool]
    ) -> list[bool]:
        """Do works at once, and call off what is left as soon as the answers so far decide; return those."""
        tasks = [asyncio.create_task(work) for work in works]
        answers: list[bool] = []
        pending = tasks
        try:
            while pending and not decided(answers):
                done, pending = await workflow.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                answers += [task.result() for task in done]
        finally:
            if pending:
                self._book.close()
                for task in pending:
                    task.cancel()
                await unhindered(asyncio.wait(pending))
        return answers


def _one_failed(answers: Sequence[bool]) -> bool:
    return not all(answers)


def _mode_of(routing: CrossSystemRouting) -> DeliveryMode:
    mode = routing.delivery_coordination.chosen
    if mode is DeliveryMode.BEST_EFFORT or workflow.patched("delivery-modes"):
        return mode
    return DeliveryMode.BEST_EFFORT
