"""Planning what brings the systems that follow a wedding to its newest facts."""

from __future__ import annotations

from temporalio import activity

from activities.access import Access
from activities.ports.delivery import DeliveryConnector
from activities.transform.followers import facts_delivery
from contracts.effects import FollowerRequest, RoutingPlan, TargetPlan
from contracts.errors import InvalidInput
from contracts.notification import DeliveryStatus


class Followers:
    """The verbs of followers."""

    def __init__(self, access: Access) -> None:
        self._access = access

    @activity.defn(name="followers.plan")
    async def plan(self, request: FollowerRequest) -> RoutingPlan:
        """Return the effects of one round at one follower; none when it lacks nothing.

        Idempotent: yes; the same round has the same effects.

        Raises:
            InvalidInput: the wedding names no such system, or its target lacks what the system needs.
        """
        wedding, follower = request.wedding, request.follower
        target = next((one for one in wedding.systems if one.system_id == follower.system_id), None)
        if target is None:
            raise InvalidInput(
                "follower_unknown",
                f"The wedding has no system {follower.system_id!r}.",
                action="Name it in the wedding's systems.",
            )
        stored = await self._access.stored(wedding.organization_id, target.integration_id)
        delivery = facts_delivery(wedding, follower, target, request.occurred_at)
        if delivery is None:
            return RoutingPlan(targets=[])
        connector = await self._access.connector_of(stored, DeliveryConnector)
        about = {"notification_id": delivery.notification.notification_id, "wedding_id": wedding.wedding_id}
        steps = [step.model_copy(update=about) for step in connector.plan(delivery)]
        return RoutingPlan(targets=[TargetPlan(target=target, status=DeliveryStatus.SUCCESS, steps=steps)])
