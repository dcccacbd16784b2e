"""Runs whose recipients may have to wait, until their time comes or somebody decides."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.decisions import (
        Decision,
        DecisionLog,
        HeldAction,
        HeldActionResult,
        HeldAnswer,
        Stage,
        Verdict,
    )
    from contracts.digests import CollectForDigest, DigestEntry
    from contracts.effects import Again, GiveBack, Hold, PlanRouting, Reservation, RoutingPlan, TargetPlan
    from contracts.notification import CrossSystemRouting
    from contracts.sync import SyncPriority
    from workflows import policies


class Wait:
    """Recipients of one target who wait for one instant; each may be decided about by itself.

    Args:
        system_id: the target.
        hold: who waits, until when, and why.
    """

    def __init__(self, system_id: str, hold: Hold) -> None:
        self.system_id = system_id
        self.hold = hold
        self.waiting = dict(zip(hold.contacts, hold.recipients, strict=True))
        self.answered: dict[str, HeldAnswer] = {}

    def take(self, action: HeldAction) -> list[str]:
        """Note an answer for those it is about, and return them."""
        if action.system_id not in {None, self.system_id}:
            return []
        about = [
            contact for contact in self.waiting if contact not in self.answered and action.recipient in {None, contact}
        ]
        self.answered |= dict.fromkeys(about, action.answer)
        return about

    async def next(self) -> dict[HeldAnswer | None, list[str]]:
        """Wait until the time comes or somebody decides; return the addresses by answer, None for their time."""
        try:
            await workflow.wait_condition(
                lambda: bool(self.answered),
                timeout=self.hold.not_before - workflow.now(),
                timeout_summary=f"{self.system_id}: {self.hold.reason}",
            )
        except TimeoutError:
            due: dict[HeldAnswer | None, list[str]] = {None: list(self.waiting.values())}
            self.waiting = {}
            return due
        ended: dict[HeldAnswer | None, list[str]] = {}
        for contact, answer in self.answered.items():
            ended.setdefault(answer, []).append(self.waiting.pop(contact))
        self.answered = {}
        return ended


class HoldsMessages:
    """A routing's plans and decisions: what was decided, who waits, and planning anew when a wait ends."""

    _began_at: datetime

    def __init__(self) -> None:
        self._decisions: list[Decision] = []
        self._versions: dict[str, int] = {}
        self._waits: list[Wait] = []

    @workflow.query
    def decisions(self) -> DecisionLog:
        """Return what was decided so far."""
        return DecisionLog(decisions=self._decisions)

    @workflow.update
    def decide_held(self, action: HeldAction) -> HeldActionResult:
        """Send now, or call off, what waits."""
        now = workflow.now()
        verdict = Verdict.OVERRIDE if action.answer is HeldAnswer.RELEASE else Verdict.SKIP
        ended = 0
        for wait in self._waits:
            for contact in wait.take(action):
                ended += 1
                self._decisions.append(
                    Decision(
                        stage=Stage.PERSON,
                        code=f"{action.answer.value}d" if verdict is Verdict.OVERRIDE else "cancelled_while_held",
                        verdict=verdict,
                        system_id=wait.system_id,
                        recipient=contact,
                        at=now,
                    )
                )
        return HeldActionResult(ended=ended)

    async def planned(self, routing: CrossSystemRouting) -> RoutingPlan:
        """Plan all targets of a routing that begins."""
        self._began_at = workflow.now()
        return await self._plan(PlanRouting(routing=routing, occurred_at=self._began_at))

    async def planned_again(
        self, routing: CrossSystemRouting, system_id: str, recipients: Sequence[str] = (), *, released: bool = False
    ) -> TargetPlan:
        """Plan one target anew, as of now, for all of its recipients or some."""
        again = Again(
            system_id=system_id,
            recipients=list(recipients),
            released=released,
            began_at=self._began_at,
            template_versions=self._versions,
        )
        plan = await self._plan(PlanRouting(routing=routing, occurred_at=workflow.now(), again=again))
        return plan.targets[0]

    async def _plan(self, request: PlanRouting) -> RoutingPlan:
        plan: RoutingPlan = await workflow.execute_local_activity(
            "notify.plan", request, result_type=RoutingPlan, **policies.local_options(policies.LOCAL)
        )
        self._versions = plan.template_versions
        self._decisions += [decision for target in plan.targets for decision in target.decisions]
        return plan

    async def collected(self, organization_id: str, entries: Sequence[DigestEntry], word: SyncPriority) -> None:
        """Hand messages to their recipients' digests."""
        await workflow.execute_activity(
            "digest.collect",
            CollectForDigest(organization_id=organization_id, entries=list(entries)),
            summary=f"Digests of {len(entries)} recipients",
            priority=policies.priority(word, organization_id),
            **policies.STORE.options(),
        )

    async def given_back(self, organization_id: str, reserved: Sequence[Reservation]) -> None:
        """Uncount recipients whom nothing reached."""
        await workflow.execute_local_activity(
            "notify.give_back",
            GiveBack(organization_id=organization_id, reserved=list(reserved)),
            **policies.local_options(policies.LOCAL),
        )
