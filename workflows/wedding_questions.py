"""What a wedding's timeline asks people: in which words, what they answered, and what they are shown of it."""

from __future__ import annotations

from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.alerts import Alert, AlertKind, Severity
    from contracts.facts import StepAnswer, StepDecision
    from contracts.notification import NotificationAction
    from contracts.wedding import Question, WeddingState

_MOST_KEPT = 100
_OPEN = ", and somebody has to decide. Nothing is sent until then."
_DONE = {StepAnswer.APPROVE: "approved", StepAnswer.REJECT: "rejected"}
_BUTTONS = [
    NotificationAction(action_id=word, label=word.capitalize(), type=word, style=style)
    for word, style in ((StepAnswer.APPROVE.value, "primary"), (StepAnswer.REJECT.value, "danger"))
]


def asked(state: WeddingState, question_id: str, what: str, now: datetime) -> tuple[WeddingState, Question]:
    """Return the state with a new question, and the question."""
    question = Question(question_id=question_id, asked_at=now, what=what)
    return state.model_copy(update={"questions": [*state.questions, question][-_MOST_KEPT:]}), question


def find(state: WeddingState, asked_as: str) -> Question | None:
    """Return the question of this id, or the one whose alert has it; of several the last."""
    named = (
        one
        for one in reversed(state.questions)
        if asked_as in {one.question_id, alert_of(state, one, answers_to=None).alert_id}
    )
    return next(named, None)


def is_latest(state: WeddingState, question: Question) -> bool:
    """Return whether the same was not asked again since."""
    return question == next(one for one in reversed(state.questions) if one.question_id == question.question_id)


def answered(state: WeddingState, decision: StepDecision) -> WeddingState:
    """Return the state with the answer to a question, if it was asked."""
    question = find(state, decision.step_id)
    if question is None:
        return state
    given = {"answer": decision.answer, "decided_by": decision.decided_by}
    return _with(state, question, question.model_copy(update=given))


def to_show(state: WeddingState) -> list[Question]:
    """Return the answered questions whose messages still ask."""
    return [one for one in state.questions if one.answer is not None and not one.shown]


def shown(state: WeddingState, question: Question) -> WeddingState:
    """Return the state once an answer is on its way to where it was asked."""
    return _with(state, question, question.model_copy(update={"shown": True}))


def verdict(question: Question) -> str:
    """Return what was decided, by whom, in a sentence."""
    return f"It was {_DONE[question.answer]} by {question.decided_by}." if question.answer else ""


def alert_of(state: WeddingState, question: Question, answers_to: str | None) -> Alert:
    """Return the alert that asks the question, or says what was answered; both have the same id."""
    wedding = state.wedding
    return Alert(
        organization_id=wedding.organization_id,
        kind=AlertKind.DECISION_NEEDED,
        severity=Severity.WARNING,
        since=question.asked_at,
        parts=[wedding.wedding_id, question.question_id],
        sentence=question.what + (_OPEN if question.answer is None else "."),
        action=(
            "Press a button, or run "
            f"`wedsync weddings decide {wedding.wedding_id} {question.question_id} approve` or `reject`."
        ),
        actions=_BUTTONS,
        answers_to=answers_to,
        decided=verdict(question),
        falls_back=False,
    )


def _with(state: WeddingState, old: Question, new: Question) -> WeddingState:
    return state.model_copy(update={"questions": [new if one == old else one for one in state.questions]})
