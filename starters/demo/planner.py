"""The scenario of a planner network: one automation for many weddings at once, with vendors, approvals and messages."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from contracts.automation import WorkflowOrchestration
from contracts.automation_run import RunStatus, StepAnswer, Undone, WorkflowResult
from contracts.errors import InvalidInput
from contracts.integration import IntegrationConfiguration
from starters.demo.stage import ORGANIZATION, Check, Stage, example, integration

WEDDINGS = 50
"""At once; the brief's network has 2,000."""
_LUXURY_EVERY = 5
_FLORIST_GONE_EVERY = 10
_FLORIST, _NO_FLORIST = "C0BOOKINGS", "C0GONE"
_TITLES = ("Welcome", "Your venue", "Your package")
_BRIEFED = 2
_ASK_AGAIN_S = 0.5


async def planner_sequences(stage: Stage, weddings: int = WEDDINGS) -> list[Check]:
    """A planner network briefs vendors, asks for approvals and writes to the couples of 50 weddings at once."""
    await _connect(stage)
    numbers = range(weddings)
    luxury = [number for number in numbers if _is_luxury(number)]
    gone = [number for number in luxury if _florist_is_gone(number)]
    runs = [await stage.wedsync.automations.start(_automation(number)) for number in numbers]
    pressed = asyncio.gather(*(_approve(stage, number) for number in luxury))
    results = await asyncio.gather(*(run.result() for run in runs))
    await pressed
    tasks = Counter(_state_of(one) for one in await stage.vendors.objects("asana", "tasks") if _is_mine(one))
    asked = _BRIEFED * weddings + len(luxury)
    withdrawn = (_BRIEFED + 1) * len(gone)
    mails = Counter(
        (one["to"][0], one["subject"])
        for one in await stage.vendors.objects("smtp", "messages")
        if one["to"][0].startswith("planner-couple-")
    )
    return [
        Check("weddings that went well", weddings - len(gone), _ended(results, RunStatus.SUCCESS)),
        Check("weddings whose florist could not be told", len(gone), _ended(results, RunStatus.PARTIAL_FAILURE)),
        Check("mails each couple got of each title", {1: weddings * len(_TITLES)}, dict(Counter(mails.values()))),
        Check("titles of the mails", sorted(_TITLES), sorted({title for _, title in mails})),
        Check("tasks Asana shows as open", asked - withdrawn, tasks["open"]),
        Check("tasks Asana shows as withdrawn", withdrawn, tasks["completed"]),
        Check("what was taken back", {Undone.RETRACTED.value: withdrawn}, _undone(results)),
    ]


async def _connect(stage: Stage) -> None:
    for name in ("asana", "slack"):
        await stage.wedsync.integrations.connect(
            IntegrationConfiguration.model_validate(example(f"integration-{name}"))
        )
    mail_server = await stage.vendors.mail_server()
    await stage.wedsync.integrations.connect(
        integration("email", "email-main", fromAddress="studio@lumen.example.com", encryption="none", **mail_server)
    )


def _automation(number: int) -> WorkflowOrchestration:
    """Return the example's automation for a wedding of its own."""
    document: dict[str, Any] = example("automation")
    wedding_id, couple = f"wed-planner-{number}", document["participants"][0]
    [chain] = document["chains"]
    chain["steps"][-1]["actions"]["actions"][0]["parameters"]["channelId"] = (
        _NO_FLORIST if _florist_is_gone(number) else _FLORIST
    )
    return WorkflowOrchestration.model_validate(
        {
            **document,
            "orchestrationId": _orchestration(number),
            "weddingId": wedding_id,
            "wedding": {**document["wedding"], "weddingId": wedding_id, "clientName": f"Couple {number}"},
            "participants": [{**couple, "email": f"planner-couple-{number}@example.com"}],
            "triggerData": {"packageType": "luxury" if _is_luxury(number) else "classic"},
            "chains": [chain],
        }
    )


async def _approve(stage: Stage, number: int) -> None:
    """Approve the butler once the question stands in the chat, as a planner does who reads it there."""
    question = f"Book a butler for wed-planner-{number}?"
    answer = StepAnswer(step_id="butler", answer="approve", actor_id="planner", event_id=f"press-{number}")
    while True:
        messages = await stage.vendors.objects("slack", "messages")
        if any(question in str(one) for one in messages):
            try:
                await stage.wedsync.automations.answer(ORGANIZATION, _orchestration(number), answer)
            except InvalidInput:
                # The question stands before its run has heard that it does.
                await asyncio.sleep(_ASK_AGAIN_S)
                continue
            return
        await asyncio.sleep(_ASK_AGAIN_S)


def _orchestration(number: int) -> str:
    return f"onboarding-{number}"


def _is_luxury(number: int) -> bool:
    return number % _LUXURY_EVERY == 0


def _florist_is_gone(number: int) -> bool:
    return number % _FLORIST_GONE_EVERY == 0


def _is_mine(task: dict[str, Any]) -> bool:
    # What was withdrawn says so before its name.
    return str(task["name"]).endswith(("Brief caterer", "Brief band", "Book butler"))


def _state_of(task: dict[str, Any]) -> str:
    return "completed" if task["completed"] else "open"


def _ended(results: list[WorkflowResult], status: RunStatus) -> int:
    return sum(result.status is status for result in results)


def _undone(results: list[WorkflowResult]) -> dict[str, int]:
    found = Counter(
        action.undone.value
        for result in results
        for chain in result.results
        for step in chain.steps
        for action in step.actions
        if action.undone is not None and action.integration_id == "asana-main"
    )
    return dict(found)
