"""Composing the messages about booking conflicts."""

from __future__ import annotations

from temporalio import activity

from activities.access import Access
from activities.ports.manifest import Capability
from activities.storage.connections import ConnectionStore
from activities.transform import conflict_words
from contracts.conflict_steps import ComposedNotice, ComposeNotice, NoticeKind
from contracts.notification import CrossSystemRouting, TargetSystem


class Conflicts:
    """The verbs of conflicts.

    Args:
        access: knows what systems can do.
        connections: tells which of them an organisation has.
    """

    def __init__(self, access: Access, connections: ConnectionStore) -> None:
        self._access = access
        self._connections = connections

    @activity.defn(name="conflicts.compose")
    async def compose(self, request: ComposeNotice) -> ComposedNotice:
        """Return a message about a conflict with those who get it; nothing where nobody does.

        An activity, though it is nearly pure: the zone rules it reads may change between a run and its replay.

        Idempotent: yes, it changes nothing.
        """
        targets = await self._targets(request)
        if not targets:
            return ComposedNotice()
        notification = conflict_words.notification(request)
        routing = CrossSystemRouting(
            routing_id=conflict_words.message_id(request),
            organization_id=request.organization_id,
            source_notification=notification,
            target_systems=targets,
        )
        return ComposedNotice(routing=routing)

    async def _targets(self, request: ComposeNotice) -> list[TargetSystem]:
        if request.kind in {NoticeKind.RECORD, NoticeKind.WINNER, NoticeKind.LOSER}:
            source = request.bookings
            return [TargetSystem(system_id="bookings", system_type=source.system, integration_id=source.integration_id)]
        if request.kind is NoticeKind.LOSER_TOLD:
            return await self._by_mail(request)
        return [
            TargetSystem(
                system_id=f"audience-{number}",
                system_type=one.system_type,
                integration_id=one.integration_id,
                channels=one.channels,
            )
            for number, one in enumerate(request.audience)
        ]

    async def _by_mail(self, request: ComposeNotice) -> list[TargetSystem]:
        for stored in await self._connections.of_organization(request.organization_id):
            configuration = stored.configuration
            capabilities = self._access.manifest(configuration.platform).capabilities
            if request.recipients and not stored.state.refuses_work and Capability.EMAIL in capabilities:
                return [
                    TargetSystem(
                        system_id=configuration.integration_id,
                        system_type=configuration.platform,
                        integration_id=configuration.integration_id,
                        recipients=request.recipients,
                    )
                ]
        return []
