"""The rounds that bring a wedding's followers to its newest facts, each follower by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.effects import FollowerRequest, RoutingPlan
    from contracts.facts import Follower
    from contracts.wedding import WeddingState
    from workflows import policies, wedding_followers
    from workflows.calling_off import CallsOff
    from workflows.visibility import detail_of
    from workflows.wedding_facts import facts_of


class KeepsFollowers(CallsOff):
    """A run that carries its state's facts to every follower, one writing at a time for each."""

    _state: WeddingState
    _parting = False

    def attend_followers(self) -> None:
        """Begin to keep every follower at the newest facts."""
        self._attending = [asyncio.create_task(self._attend(one.system_id)) for one in self._state.followers]

    async def leave_followers(self) -> None:
        """End that, with no writing under way; what a follower is owed stays in the state."""
        self._parting = True
        await asyncio.gather(*self._attending)

    @property
    def at_rest(self) -> bool:
        """Whether no follower is being written to."""
        return not any(one.writings and one.writings[-1].ended_at is None for one in self._state.followers)

    @property
    def owes(self) -> bool:
        """Whether some follower is behind and will be written to."""
        return any(self._due(one.system_id) for one in self._state.followers)

    async def _attend(self, system_id: str) -> None:
        while not self._parting:
            await workflow.wait_condition(lambda: self._parting or self._due(system_id))
            if not self._parting:
                await self._round(system_id)

    async def _round(self, system_id: str) -> None:
        follower, facts = self._follower(system_id), facts_of(self._state)
        if follower.held == facts:
            self._note(follower, {"reached": follower.wanted})
            return
        request = FollowerRequest(wedding=self._state.wedding, follower=follower, occurred_at=workflow.now())

        def called_off() -> bool:
            return self._parting or self._state.recalled or self._follower(system_id).wanted != follower.wanted

        try:
            plan = await workflow.execute_local_activity(
                "followers.plan", request, result_type=RoutingPlan, **policies.local_options(policies.LOCAL)
            )
            if called_off():
                return
            self._note(wedding_followers.began(self._follower(system_id), facts, workflow.now()), {})
            effects = [effect for target in plan.targets for effect in target.steps]
            for effect in effects:
                if await self.apply_unless(called_off, effect, outcome=self._state.status) is None:
                    self._end(system_id, {})
                    return
        except (ActivityError, ApplicationError) as error:  # a local activity's failure comes unwrapped
            if is_cancelled_exception(error):
                raise
            # A newer change may have come meanwhile; its round is owed all the same.
            self._end(system_id, {"reached": follower.wanted, "error": detail_of(error)})
        else:
            self._end(system_id, {"reached": follower.wanted, "held": facts, "error": None})

    def _due(self, system_id: str) -> bool:
        return self._follower(system_id).behind and not self._state.recalled

    def _follower(self, system_id: str) -> Follower:
        return next(one for one in self._state.followers if one.system_id == system_id)

    def _end(self, system_id: str, changes: Mapping[str, object]) -> None:
        self._note(wedding_followers.ended(self._follower(system_id), changes, workflow.now()), {})

    def _note(self, follower: Follower, changes: Mapping[str, object]) -> None:
        noted = follower.model_copy(update=changes)
        followers = [noted if one.system_id == follower.system_id else one for one in self._state.followers]
        self._state = self._state.model_copy(update={"followers": followers})
