"""One notification from outside: why it did or did not arrive, and what is to become of what waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus

from activities.storage.delivery_receipts import DeliveryReceiptStore
from activities.storage.ledger import EffectLedger, LedgerEntry
from activities.storage.states import StateStore
from contracts.decisions import DecisionLog, HeldAction, HeldActionResult
from contracts.errors import InvalidInput, WedSyncError
from contracts.explanation import ExplainedRun, Explanation
from contracts.names import SearchAttribute, routing_workflow_id, wedding_workflow_id
from contracts.notification import RoutingResult
from contracts.wedding import WeddingState
from starters import explaining
from starters.failures import translated
from starters.runs import run_id_of

_RUNS = 100


class Notifications:
    """What the doors ask about single notifications.

    Args:
        client: from the one factory.
        ledger: of effects.
        states: what systems told of afterwards.
        receipts: what they told of single messages.
        answer_timeout_s: how long a run may take to answer.
    """

    def __init__(
        self,
        client: Client,
        ledger: EffectLedger,
        states: StateStore,
        receipts: DeliveryReceiptStore,
        answer_timeout_s: float,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._states = states
        self._receipts = receipts
        self._answer_timeout_s = answer_timeout_s

    async def explain(self, organization_id: str, notification_id: str, contact: str | None = None) -> Explanation:
        """Return every decision about a notification, of runs that still run and of finished ones.

        Args:
            organization_id: whose notification.
            notification_id: an opaque id; that of a wedding's step is one too.
            contact: only what concerns this recipient.

        Raises:
            Transient: Temporal or the store does not answer.
        """
        query = (
            f"{SearchAttribute.ORGANIZATION_ID.value} = '{organization_id}' AND "
            f"{SearchAttribute.NOTIFICATION_ID.value} = '{notification_id}'"
        )
        with translated():
            entries = await self._ledger.of_notification(organization_id, notification_id)
            found = [one async for one in self._client.list_workflows(query, limit=_RUNS)]
            states = await self._states.of_notification(organization_id, notification_id)
            receipts = await self._receipts.of_notification(organization_id, notification_id)
        runs = [await self._run(one, entries, contact) for one in found]
        runs += _others(entries, {one.id for one in found}, contact)
        told = [*explaining.of_states(states), *explaining.of_receipts(receipts)]
        if told:
            runs.append(ExplainedRun(run_id="", kind="states", status="observed", decisions=told))
        return _explanation(organization_id, notification_id, runs, "notification")

    async def explain_wedding(self, organization_id: str, wedding_id: str) -> Explanation:
        """Return when each of a wedding's steps is due, what became of it, and every effect about the wedding.

        Raises:
            Transient: Temporal or the store does not answer.
        """
        workflow_id = wedding_workflow_id(organization_id, wedding_id)
        handle = self._client.get_workflow_handle(workflow_id)
        with translated():
            entries = await self._ledger.of_wedding(organization_id, wedding_id)
        try:
            with translated():
                async with asyncio.timeout(self._answer_timeout_s):
                    status = (await handle.describe()).status
                    state: WeddingState = await handle.query("state", result_type=WeddingState)
        except WedSyncError as error:
            if error.detail.code != "run_not_found":
                raise
            return _explanation(organization_id, wedding_id, _others(entries, set(), None), "wedding")
        mine = [one for one in entries if one.workflow_id == workflow_id]
        decisions = explaining.chain(explaining.of_wedding(state, datetime.now(UTC)), mine)
        run = ExplainedRun(
            run_id=run_id_of(workflow_id), kind="wedding-timeline", status=_word(status), decisions=decisions
        )
        return _explanation(organization_id, wedding_id, [run, *_others(entries, {workflow_id}, None)], "wedding")

    async def decide_held(self, organization_id: str, routing_id: str, action: HeldAction) -> HeldActionResult:
        """Send now, or call off, what waits of a routing. Idempotent: yes.

        Raises:
            InvalidInput: there is no such routing, or it has ended.
            Transient: no worker answers.
        """
        handle = self._client.get_workflow_handle(routing_workflow_id(organization_id, routing_id))
        try:
            with translated():
                async with asyncio.timeout(self._answer_timeout_s):
                    answer: HeldActionResult = await handle.execute_update(
                        "decide_held", action, result_type=HeldActionResult
                    )
        except WedSyncError as error:
            if error.detail.code != "run_not_found":
                raise
            raise InvalidInput(
                "nothing_held",
                "No routing of that id runs, so nothing of it waits.",
                action="Look with `wedsync explain NOTIFICATION_ID` what became of it.",
            ) from None
        return answer

    async def _run(self, one: WorkflowExecution, entries: Sequence[LedgerEntry], contact: str | None) -> ExplainedRun:
        handle = self._client.get_workflow_handle(one.id, run_id=one.run_id)
        with translated():
            async with asyncio.timeout(self._answer_timeout_s):
                if one.status is WorkflowExecutionStatus.COMPLETED:
                    done = self._client.get_workflow_handle(one.id, run_id=one.run_id, result_type=RoutingResult)
                    decisions = explaining.of_result(await done.result(), one.close_time or datetime.now(UTC))
                else:
                    log: DecisionLog = await handle.query("decisions", result_type=DecisionLog)
                    decisions = log.decisions
        mine = [entry for entry in entries if entry.workflow_id == one.id]
        return ExplainedRun(
            run_id=run_id_of(one.id),
            kind=one.id.partition("/")[0],
            status=_word(one.status),
            decisions=explaining.chain(decisions, mine, contact),
        )


def _others(entries: Sequence[LedgerEntry], known: set[str], contact: str | None) -> list[ExplainedRun]:
    """Return what the ledger alone knows, of runs of another kind or long gone."""
    rest = sorted({entry.workflow_id for entry in entries} - known)
    return [
        ExplainedRun(
            run_id=run_id_of(workflow_id),
            kind=workflow_id.partition("/")[0],
            status="in the ledger",
            decisions=explaining.chain([], [one for one in entries if one.workflow_id == workflow_id], contact),
        )
        for workflow_id in rest
    ]


def _explanation(organization_id: str, subject_id: str, runs: list[ExplainedRun], what: str) -> Explanation:
    told = explaining.sentence(decision for run in runs for decision in run.decisions)
    if not runs:
        told = (
            f"Nothing was ever routed for a {what} of this id; "
            "a run that began within the last second may not be listed yet."
        )
    return Explanation(organization_id=organization_id, subject_id=subject_id, sentence=told, runs=runs)


def _word(status: WorkflowExecutionStatus | None) -> str:
    return status.name.lower() if status else "unknown"
