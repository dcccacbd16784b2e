"""The typed facade of dead letters: seeing them, and trying them again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import groupby

from activities.storage.dead_letters import DeadLetters
from contracts.dataset import DataSource, SourceKind
from contracts.dead_letters import (
    DeadLetter,
    DeadLetterList,
    LetterDecision,
    RetriedDeadLetters,
    RetryDeadLetters,
)
from contracts.errors import InvalidInput
from contracts.integration import IntegrationInstance
from contracts.names import effect_id
from contracts.sync import DataSynchronizationRequest, SynchronizationResult, SynchronizationType
from starters.failures import translated
from starters.runs import Run

StartSync = Callable[[DataSynchronizationRequest], Awaitable[Run[SynchronizationResult]]]


class DeadLetterDesk:
    """What the doors can ask about dead letters.

    Args:
        letters: the store.
        start: starts a sync.
    """

    def __init__(self, letters: DeadLetters, start: StartSync) -> None:
        self._letters = letters
        self._start = start

    async def listed(self, organization_id: str, integration_id: str | None = None) -> DeadLetterList:
        """Return an organisation's dead letters, or those of one integration."""
        with translated():
            letters, total = await self._letters.listed(organization_id, integration_id)
        return DeadLetterList(letters=letters, total=total)

    async def retry(self, asked: RetryDeadLetters) -> tuple[RetriedDeadLetters, list[Run[SynchronizationResult]]]:
        """Start one sync per report that takes the letters along.

        Idempotent: yes, letters that nobody has tried since are tried by the same run.

        Raises:
            InvalidInput: `dead_letter_not_found`, none of the letters named can be tried again.
        """
        owner = asked.organization_id
        with translated():
            letters = await self._letters.hasten(owner, asked.integration_id, asked.letter_ids, datetime.now(UTC))
        if asked.letter_ids and not letters:
            raise InvalidInput(
                "dead_letter_not_found",
                "None of these dead letters is there, or only their source can mend them.",
                action="Look for them with `wedsync deadletters list`.",
            )
        return await self._tried(owner, letters)

    async def decide(
        self, letter_id: str, decision: LetterDecision
    ) -> tuple[RetriedDeadLetters, list[Run[SynchronizationResult]]]:
        """Note which side of a record stands, and start the sync that carries it out.

        Idempotent: yes.

        Raises:
            InvalidInput: `decision_not_asked`, nobody is asked about such a letter.
        """
        with translated():
            letters = await self._letters.decide(decision, letter_id, datetime.now(UTC))
        if not letters:
            raise InvalidInput(
                "decision_not_asked",
                f"No decision is asked about the dead letter {letter_id!r}.",
                action="Look for it with `wedsync deadletters list`; it may be settled already.",
            )
        return await self._tried(decision.organization_id, letters)

    async def _tried(
        self, owner: str, letters: Sequence[DeadLetter]
    ) -> tuple[RetriedDeadLetters, list[Run[SynchronizationResult]]]:
        runs = [
            await self._start(_sync_of(owner, list(some)))
            for _, some in groupby(sorted(letters, key=_report), key=_report)
        ]
        return RetriedDeadLetters(letters=len(letters), run_ids=[run.run_id for run in runs]), runs


def _report(letter: DeadLetter) -> tuple[str, str, str, str]:
    return letter.integration_id, letter.object_type, letter.report_id, letter.conflict_resolution


def _sync_of(organization_id: str, letters: list[DeadLetter]) -> DataSynchronizationRequest:
    first = letters[0]
    attempt = effect_id(
        *(f"{letter.letter_id}/{letter.attempts}/{letter.run_id}/{letter.decision}" for letter in letters)
    )
    return DataSynchronizationRequest(
        sync_id=f"dead-letters-{attempt}",
        organization_id=organization_id,
        source_report_id=first.report_id,
        source=DataSource(kind=SourceKind.DEAD_LETTERS, report_id=first.report_id),
        target_integration=IntegrationInstance(integration_id=first.integration_id),
        target_object=first.object_type,
        sync_type=SynchronizationType.BATCH,
        conflict_resolution=first.conflict_resolution,
    )
