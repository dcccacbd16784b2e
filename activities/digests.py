"""Collecting messages for recipients' digests, and putting a digest into words."""

from __future__ import annotations

import asyncio

from temporalio import activity
from temporalio.common import Priority

from activities.transform.digest import digest_routing
from contracts.digests import CollectForDigest, DigestEntry, DigestRun
from contracts.names import ORCHESTRATION_QUEUE, WorkflowType, digest_workflow_id
from contracts.notification import CrossSystemRouting

_LOW = 4


class Digests:
    """The verbs of digests."""

    @activity.defn(name="digest.collect")
    async def collect(self, request: CollectForDigest) -> None:
        """Hand a message to the digest of each recipient, which begins with its first message.

        Idempotent: yes, by the item's id.
        """
        await asyncio.gather(*(self._hand_over(request.organization_id, entry) for entry in request.entries))

    async def _hand_over(self, organization_id: str, entry: DigestEntry) -> None:
        await activity.client().start_workflow(
            WorkflowType.DELIVER_DIGEST.value,
            DigestRun(organization_id=organization_id, contact=entry.contact, target=entry.target),
            id=digest_workflow_id(organization_id, entry.contact, entry.target.integration_id),
            task_queue=ORCHESTRATION_QUEUE,
            start_signal="collect",
            start_signal_args=[entry.item],
            priority=Priority(priority_key=_LOW, fairness_key=organization_id),
            static_summary="Digest of one recipient",
        )

    @activity.defn(name="digest.compose")
    async def compose(self, digest: DigestRun) -> CrossSystemRouting:
        """Return the routing of what has been collected. Idempotent: yes, it changes nothing."""
        info = activity.info()
        return digest_routing(digest, f"digest-{info.workflow_run_id}-{digest.received}")
