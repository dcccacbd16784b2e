"""One recipient's digest: collects messages, and sends them as one when it is due."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.digests import LINES, REMEMBERED, DigestItem, DigestRun
    from contracts.names import ORCHESTRATION_QUEUE, WorkflowType, routing_workflow_id
    from contracts.notification import CrossSystemRouting
    from contracts.sync import SyncPriority
    from workflows import policies
    from workflows.visibility import tag

SIGNALS_PER_RUN = 1_000
"""A run that took as many goes on as a new one, long before its history is large."""

_OTHER = "other"


@workflow.defn(name=WorkflowType.DELIVER_DIGEST)
class DeliverDigest:
    """Lives from the first message that is collected until all are sent; the signal `collect` starts it."""

    @workflow.init
    def __init__(self, digest: DigestRun) -> None:
        """Take what an earlier run left."""
        self._digest = digest
        self._taken = 0

    @workflow.run
    async def run(self, digest: DigestRun) -> int:
        """Return how many messages were ever signalled, repeats included, once none waits."""
        tag(organization_id=digest.organization_id, run_kind="digest", outcome="collecting")
        await workflow.wait_condition(lambda: self._digest.waiting > 0 or self._digest.received > 0)
        while self._digest.waiting:
            if self._long():
                # Signals that came in meanwhile have been taken: each is handled before this runs again.
                workflow.continue_as_new(self._digest)
            if not await self._due():
                continue
            await self._send()
        return self._digest.received

    @workflow.signal
    def collect(self, item: DigestItem) -> None:
        """Take a message once; what says the same as another that waits is the same."""
        self._taken += 1
        digest = self._digest
        update: dict[str, object] = {"received": digest.received + 1}
        if item.item_id not in digest.seen:
            update["seen"] = [*digest.seen, item.item_id][-REMEMBERED:]
            if all(item.message != other.message for other in digest.items):
                update |= {"due_at": min(item.due_at, digest.due_at or item.due_at), **_with(digest, item)}
        self._digest = digest.model_copy(update=update)

    @workflow.query
    def digest(self) -> DigestRun:
        """Return what waits."""
        return self._digest

    def _long(self) -> bool:
        return self._taken >= SIGNALS_PER_RUN or workflow.info().is_continue_as_new_suggested()

    async def _due(self) -> bool:
        """Wait for the instant of the digest; False when something else is to be done first."""
        due = self._digest.due_at
        if due is None or due <= workflow.now():
            return True
        try:
            await workflow.wait_condition(
                lambda: self._digest.due_at != due or self._long(),
                timeout=due - workflow.now(),
                timeout_summary="Until the digest is due",
            )
        except TimeoutError:
            return True
        return False

    async def _send(self) -> None:
        """Route what waits as one message, which is judged like every other when it is sent."""
        sent = self._digest
        self._digest = sent.model_copy(update={"items": [], "more": {}, "due_at": None})
        routing: CrossSystemRouting = await workflow.execute_local_activity(
            "digest.compose", sent, result_type=CrossSystemRouting, **policies.local_options(policies.LOCAL)
        )
        await workflow.start_child_workflow(
            WorkflowType.ROUTE_NOTIFICATION,
            routing,
            id=routing_workflow_id(routing.organization_id, routing.routing_id),
            task_queue=ORCHESTRATION_QUEUE,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            execution_timeout=policies.RUN_TIMEOUT,
            priority=policies.priority(SyncPriority.LOW, routing.organization_id),
            static_summary=f"Digest of {sent.waiting} messages",
        )


def _with(digest: DigestRun, item: DigestItem) -> dict[str, object]:
    """Return what a digest holds with one message more: named while there is room, else counted."""
    if len(digest.items) < LINES:
        return {"items": [*digest.items, item]}
    kind = item.type if item.type in digest.more or len(digest.more) < LINES else _OTHER
    return {"more": {**digest.more, kind: digest.more.get(kind, 0) + 1}}
