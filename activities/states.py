"""How far notifications came, carried from the systems that know it to those that show it."""

from __future__ import annotations

from temporalio import activity

from activities.access import Access
from activities.ports.delivery import DeliveryConnector, EngagementConnector, StateConnector
from activities.storage.ledger import EffectLedger
from activities.storage.states import StateStore
from contracts.engagement import (
    CarriedStates,
    CarryStates,
    NotificationState,
    ObservedState,
    StateSyncDetail,
    TrackedEngagement,
    TrackEngagement,
)
from contracts.errors import Permanent


class States:
    """The verbs of states.

    Args:
        access: opens connectors.
        ledger: says what stands where.
        store: what is known of each system.
    """

    def __init__(self, access: Access, ledger: EffectLedger, store: StateStore) -> None:
        self._access = access
        self._ledger = ledger
        self._store = store

    @activity.defn(name="states.carry")
    async def carry(self, request: CarryStates) -> CarriedStates:
        """Show states at one system, each only where that is further than what the system shows already.

        Idempotent: yes, what is shown once is known, and showing it twice reads the same.

        Raises:
            Transient: the vendor has no time or room; what was shown stays.
            IntegrationPaused: the integration refuses work.
        """
        target = request.target
        connector = await self._access.connector(request.organization_id, target.integration_id, DeliveryConnector)
        details = []
        for state in request.states:
            activity.heartbeat()
            try:
                details.append(await self._carried(connector, request, state))
            except Permanent as error:
                detail = _detail(request, state, error.detail.code).model_copy(update={"error": error.detail})
                details.append(detail)
        return CarriedStates(details=details)

    async def _carried(
        self, connector: DeliveryConnector, request: CarryStates, state: ObservedState
    ) -> StateSyncDetail:
        organization_id, integration_id = request.organization_id, request.target.integration_id
        known = await self._store.of_notification(organization_id, state.notification_id)
        here = next((one for one in known if one.integration_id == integration_id), None)
        if here is not None and here.state.rank >= state.state.rank:
            return _detail(request, state, "known_already")
        if not isinstance(connector, StateConnector):
            return _detail(request, state, "cannot_show_it")
        entries = await self._ledger.of_notification(organization_id, state.notification_id)
        mine = [
            entry.standing
            for entry in entries
            if entry.standing is not None and entry.retracted_at is None and entry.integration_id == integration_id
        ]
        if not mine:
            return _detail(request, state, "nothing_stands_there")
        changed = [await connector.show_state(effect, state.state) for effect in mine]
        await self._store.advance(
            organization_id, state.notification_id, integration_id, state.state, state.occurred_at
        )
        return _detail(request, state).model_copy(update={"changed": any(changed)})

    @activity.defn(name="states.track")
    async def track(self, request: TrackEngagement) -> TrackedEngagement:
        """Ask a system what people made of a message; where they did anything, its notification was read.

        Idempotent: yes.

        Raises:
            InvalidInput: the system does not tell.
            Permanent: there is no such message.
        """
        source, organization_id = request.source, request.organization_id
        connector = await self._access.connector(organization_id, source.integration_id, EngagementConnector)
        found = await connector.engagement(source.tracking)
        if not found.reactions and not found.reply_count:
            return TrackedEngagement(result=found)
        remote_id = source.tracking.message_timestamp
        entries = await self._ledger.by_remote_id(organization_id, source.integration_id, remote_id)
        read = [entry.standing.notification_id for entry in entries if entry.standing is not None]
        states = [
            ObservedState(
                notification_id=name,
                system_id=source.system_id,
                state=NotificationState.READ,
                occurred_at=found.tracked_at,
            )
            for name in read
            if name is not None
        ]
        for state in states:
            await self._store.advance(
                organization_id, state.notification_id, source.integration_id, state.state, state.occurred_at
            )
        return TrackedEngagement(result=found, states=states)


def _detail(request: CarryStates, state: ObservedState, reason: str = "") -> StateSyncDetail:
    return StateSyncDetail(
        notification_id=state.notification_id,
        system_id=request.target.system_id,
        state=state.state,
        changed=False,
        reason=reason,
    )
