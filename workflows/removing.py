"""Removing from the target what is gone from a report: within limits by itself, beyond them once somebody approves."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.errors import ErrorDetail, ErrorKind, Owner
    from contracts.names import DATA_QUEUE, WAITING_FOR_APPROVAL, system_queue
    from contracts.sync import (
        RemovalApproval,
        RemovalDecision,
        RemovalPolicy,
        Removals,
        SyncPriority,
    )
    from contracts.sync_steps import (
        ExtractedReport,
        FindRemovals,
        FoundRemovals,
        RemovalProgress,
        RemoveRecords,
        SyncPlan,
    )
    from workflows import policies
    from workflows.visibility import failure, tag
    from workflows.waiting import WaitsForReconnection


class RemovesRecords(WaitsForReconnection):
    """A sync that removes records; `approve` answers when it asks."""

    def __init__(self) -> None:
        super().__init__()
        self._approval: RemovalApproval | None = None
        self._asks = False

    @workflow.update(name="approve")
    def approve(self, approval: RemovalApproval) -> bool:
        """Say whether the records may be removed; return whether this answer counts, which is the first one."""
        first = self._approval is None
        self._approval = self._approval or approval
        return first

    @approve.validator
    def _only_when_asked(self, approval: RemovalApproval) -> None:  # noqa: ARG002 - as the update has it
        if not self._asks:
            raise failure(_NOT_ASKED)

    async def find_removals(
        self, plan: SyncPlan, extracted: ExtractedReport, priority: SyncPriority
    ) -> FoundRemovals | None:
        """Return what is gone from the report, None where the policy is to ignore it."""
        if plan.removals.policy is RemovalPolicy.IGNORE:
            return None
        found: FoundRemovals = await workflow.execute_activity(
            "sync.find_removals",
            FindRemovals(plan=plan, parts=extracted.parts),
            result_type=FoundRemovals,
            task_queue=DATA_QUEUE,
            priority=policies.priority(priority, plan.organization_id),
            summary="look for records that are gone",
            **policies.BULK.options(),
        )
        return found

    async def remove(self, plan: SyncPlan, found: FoundRemovals, priority: SyncPriority) -> Removals:
        """Remove what is gone if that is allowed, and return what became of it."""
        decision = await self._decision(plan, found)
        decided_by = self._approval.decided_by if self._approval else None
        removals = Removals(found=found.gone.rows, decision=decision, decided_by=decided_by)
        if not found.gone.rows or decision not in {RemovalDecision.WITHIN_LIMITS, RemovalDecision.APPROVED}:
            return removals

        async def act() -> RemovalProgress:
            done: RemovalProgress = await workflow.execute_activity(
                "sync.remove_records",
                RemoveRecords(plan=plan, gone=found.gone),
                result_type=RemovalProgress,
                task_queue=system_queue(plan.platform),
                priority=policies.connection_priority(priority, plan.organization_id, plan.integration_id),
                summary=f"{plan.removals.policy.value} {found.gone.rows} records",
                **policies.SYNC.options(),
            )
            return done

        done = await self.through_reconnection(plan.integration_id, act)
        return removals.model_copy(
            update={
                "removed": done.removed,
                "failed": done.failed,
                "reappeared": done.reappeared,
                "details": done.details,
            }
        )

    async def _decision(self, plan: SyncPlan, found: FoundRemovals) -> RemovalDecision:
        rules, count = plan.removals, found.gone.rows
        if count and found.anonymous:
            return RemovalDecision.UNCERTAIN
        if not needs_approval(plan, found):
            return RemovalDecision.WITHIN_LIMITS
        self._asks = True
        tag(outcome=WAITING_FOR_APPROVAL)
        workflow.set_current_details(
            f"**waiting for approval**\n\n{count} of the {found.known} records that this report brought to the target "
            f"are gone from it. The update `approve` says whether to {rules.policy.value} them; without it they stay."
        )
        try:
            await workflow.wait_condition(
                lambda: self._approval is not None,
                timeout=rules.approve_within,
                timeout_summary="Until somebody approves the removals",
            )
        except TimeoutError:
            return RemovalDecision.NOT_DECIDED
        finally:
            self._asks = False
            tag(outcome="running")
        approved = self._approval is not None and self._approval.approved
        return RemovalDecision.APPROVED if approved else RemovalDecision.REFUSED


def needs_approval(plan: SyncPlan, found: FoundRemovals) -> bool:
    """Return whether more is gone than may be removed without an approval."""
    rules, count = plan.removals, found.gone.rows
    return count > rules.max_records or count > rules.max_ratio * found.known


_NOT_ASKED = ErrorDetail(
    kind=ErrorKind.INVALID_INPUT,
    code="approval_not_asked",
    message="This sync does not wait for an approval.",
    owner=Owner.TENANT,
    action="Approve a sync while its details say that it waits for it.",
)
