"""The targets of a routing as places in it: who is to get the message, and who stands by for whom."""

from __future__ import annotations

from dataclasses import dataclass

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.effects import RoutingPlan, TargetPlan
    from contracts.notification import CrossSystemRouting, SystemRoutingResult


@dataclass
class Place:
    """A target that is to get the message, and who has its place by now."""

    line: list[TargetPlan]
    """The target, then those that stand by for it."""
    at: int = 0
    told: SystemRoutingResult | None = None
    """What its delivery came to, when that ran to its end."""
    reason: str = ""
    """Why it was not delivered to, where nothing of its own failed."""

    @property
    def target(self) -> TargetPlan:
        """The target as planned."""
        return self.line[0]

    @property
    def system_id(self) -> str:
        """The target's id."""
        return self.target.target.system_id

    @property
    def current(self) -> TargetPlan:
        """Whoever has the place by now."""
        return self.line[self.at]

    @property
    def holder(self) -> str:
        """The id of whoever has the place by now."""
        return self.current.target.system_id

    def next(self) -> TargetPlan | None:
        """Return whoever is next in line."""
        return self.line[self.at + 1] if self.at + 1 < len(self.line) else None

    def advance(self, plan: TargetPlan) -> None:
        """Give the place to the next in line, who is planned now."""
        self.at += 1
        self.line[self.at] = plan

    def take(self, told: SystemRoutingResult) -> None:
        """Enter what the delivery came to, and who has the message by it."""
        self.told = told
        names = [item.target.system_id for item in self.line]
        self.at = names.index(told.failed_over_to) if told.failed_over_to in names else 0


def standbys(routing: CrossSystemRouting, plan: RoutingPlan, target: TargetPlan) -> list[TargetPlan]:
    """Return those that can take a target's place, in their order; some are to be planned first."""
    chain = routing.error_handling.failover.get(target.target.system_id) or target.target.failover
    known = {item.target.system_id: item for item in plan.targets if item.reason == "standby"}
    return [known[name] for name in chain if name in known]
