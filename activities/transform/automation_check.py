"""Whether an automation can be carried out: every reason why not, with its place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from activities.ports.manifest import Capability
from activities.transform import rules, templates
from contracts.automation import (
    KEEP,
    RETRACT,
    ActionKind,
    ActionParameters,
    AutomationPlan,
    StepWait,
    SystemAction,
    Triggered,
    TriggerKind,
    WorkflowChain,
    WorkflowStep,
)
from contracts.automation_check import AutomationProblem, ProblemCode
from contracts.base import unknown_fields
from contracts.errors import InvalidInput
from contracts.integration import IntegrationType
from contracts.wedding import Anchor, Participant

NEEDS = {
    ActionKind.SEND_EMAIL: Capability.EMAIL,
    ActionKind.SEND_MESSAGE: Capability.DELIVER,
    ActionKind.CREATE_TASK: Capability.TASK,
    ActionKind.CHANGE_STATUS: Capability.DELIVER,
    ActionKind.CREATE_EVENT: Capability.CALENDAR,
}
ANCHORS = frozenset({Anchor.WEDDING_DATE.value, Anchor.CEREMONY_TIME.value})
_CHATS = (ActionKind.SEND_MESSAGE, IntegrationType.COMMUNICATION_PLATFORM)


@dataclass(frozen=True)
class Available:
    """A connected integration, as far as automations choose by it."""

    integration_id: str
    platform: str
    family: IntegrationType
    capabilities: frozenset[Capability]

    def suits(self, action: SystemAction) -> bool:
        """Whether it can carry the action out, and is the one that the action names."""
        if action.integration_id not in {None, self.integration_id} or action.system_type not in {None, self.platform}:
            return False
        kind = ActionKind(action.type)
        if kind is ActionKind.SEND_MESSAGE and Capability.EMAIL in self.capabilities:
            return False
        return NEEDS[kind] in self.capabilities and (kind is not _CHATS[0] or self.family is _CHATS[1])


@dataclass(frozen=True)
class Surroundings:
    """What an automation is checked against.

    Args:
        integrations: those connected, in the order in which they are chosen.
        participants: of the wedding; None while the automation is only saved, and no wedding is known.
        knows_template: whether there is a template of that name.
    """

    integrations: Sequence[Available]
    participants: Sequence[Participant] | None = None
    knows_template: Callable[[str], bool] = templates.exists


def problems(plan: AutomationPlan, around: Surroundings) -> list[AutomationProblem]:
    """Return every reason why `plan` is refused, in the order of its text. No I/O."""
    return list(_Checker(around).plan(plan))


def addressed(participants: Sequence[Participant], names: Collection[str]) -> list[Participant]:
    """Return the participants that are named by id or role."""
    return [one for one in participants if one.participant_id in names or one.role in names]


def reachable(participant: Participant) -> bool:
    """Whether e-mail reaches the participant."""
    return bool(participant.email) and "email" in participant.channels


class _Checker:
    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def plan(self, plan: AutomationPlan) -> Iterator[AutomationProblem]:
        if not plan.chains and not plan.sequences:
            yield _problem(ProblemCode.NOTHING_TO_DO, "chains", "There is neither a chain nor a sequence.")
        names = [(f"chains[{index}].chainId", chain.chain_id) for index, chain in enumerate(plan.chains)]
        names += [(f"sequences[{index}].sequenceId", one.sequence_id) for index, one in enumerate(plan.sequences)]
        yield from _duplicates(names)
        for index, chain in enumerate(plan.chains):
            yield from self._chain(chain, f"chains[{index}]")
        for index, sequence in enumerate(plan.sequences):
            place = f"sequences[{index}]"
            yield from self._trigger(sequence, place)
            for number, step in enumerate(sequence.as_chain(self._around.participants or []).steps):
                inner = f"{place}.messages[{number}]"
                yield from _conditions(step.conditions, f"{inner}.conditions")
                if self._around.participants is not None and step.actions is not None:
                    yield from self._action(step.actions.actions[0], inner)

    def _chain(self, chain: WorkflowChain, place: str) -> Iterator[AutomationProblem]:
        yield from self._trigger(chain, place)
        yield from _duplicates(
            [(f"{place}.steps[{index}].stepId", step.step_id) for index, step in enumerate(chain.steps)]
        )
        yield from _graph(chain, place)
        actions: list[tuple[str, str]] = []
        for index, step in enumerate(chain.steps):
            inner = f"{place}.steps[{index}]"
            yield from self._step(chain, step, inner)
            actions += [(f"{where}.actionId", action.action_id) for where, action in _actions(step, inner)]
        for index, action in enumerate(chain.compensations):
            yield from self._action(action, f"{place}.compensations[{index}]")
            actions.append((f"{place}.compensations[{index}].actionId", action.action_id))
        yield from _duplicates(actions)

    def _trigger(self, what: Triggered, place: str) -> Iterator[AutomationProblem]:
        kinds = {kind.value for kind in TriggerKind}
        if what.trigger not in kinds:
            yield _problem(ProblemCode.UNKNOWN_TRIGGER, f"{place}.trigger", f"Use one of {', '.join(sorted(kinds))}.")
        needed: Mapping[TriggerKind, Mapping[str, object]] = {
            TriggerKind.PROPERTY_CHANGE: {"triggerProperty": what.trigger_property, "triggerValue": what.trigger_value},
            TriggerKind.EVENT: {"triggerValue": what.trigger_value},
            TriggerKind.ANCHOR: {"anchor": what.anchor},
        }
        for name, value in (needed.get(TriggerKind(what.trigger), {}) if what.trigger in kinds else {}).items():
            if not value:
                message = f"The trigger {what.trigger} needs it."
                yield _problem(ProblemCode.UNKNOWN_TRIGGER, f"{place}.{name}", message)
        if what.anchor is not None and what.anchor.anchor not in ANCHORS:
            yield _problem(ProblemCode.UNKNOWN_TRIGGER, f"{place}.anchor.anchor", f"Use {', '.join(sorted(ANCHORS))}.")
        yield from _conditions([what.condition], f"{place}.condition", numbered=False)

    def _step(self, chain: WorkflowChain, step: WorkflowStep, place: str) -> Iterator[AutomationProblem]:
        if step.actions is None and step.branch is None and step.wait is None and not step.approval_by:
            yield _problem(ProblemCode.NOTHING_TO_DO, place, "The step neither waits, asks, acts nor branches.")
        yield from _conditions(step.conditions, f"{place}.conditions")
        if step.branch is not None:
            yield from _conditions([step.branch.condition], f"{place}.branch.condition", numbered=False)
        if step.wait is not None:
            yield from _wait(step.wait, f"{place}.wait")
        compensations = {action.action_id for action in chain.compensations} | {RETRACT, KEEP}
        for where, action in _actions(step, place):
            yield from self._action(action, where)
            if action.compensation not in compensations:
                message = f"{action.compensation!r} is no action of the chain's compensations."
                yield _problem(ProblemCode.UNKNOWN_COMPENSATION, f"{where}.compensation", message)

    def _action(self, action: SystemAction, place: str) -> Iterator[AutomationProblem]:
        if action.type not in {kind.value for kind in ActionKind}:
            words = ", ".join(kind.value for kind in ActionKind)
            yield _problem(ProblemCode.UNKNOWN_ACTION, f"{place}.type", f"Use one of {words}.")
            return
        yield from self._integration(action, place)
        try:
            found = ActionParameters.model_validate(action.parameters)
        except ValidationError as error:
            for item in error.errors(include_input=False, include_url=False):
                where = path_of(item["loc"], f"{place}.parameters")
                yield _problem(ProblemCode.UNREADABLE_PARAMETERS, where, item["msg"])
            return
        for name in unknown_fields(found, action.parameters):
            yield _problem(ProblemCode.UNREADABLE_PARAMETERS, f"{place}.parameters.{name}", "There is no such field.")
        yield from self._words(ActionKind(action.type), found, f"{place}.parameters")

    def _words(self, kind: ActionKind, found: ActionParameters, place: str) -> Iterator[AutomationProblem]:
        if found.template is not None and not self._around.knows_template(found.template):
            yield _problem(ProblemCode.UNKNOWN_TEMPLATE, f"{place}.template", f"There is no template {found.template}.")
        says_something = found.template or found.message or found.title
        if kind in {ActionKind.SEND_EMAIL, ActionKind.SEND_MESSAGE} and not says_something:
            yield _problem(ProblemCode.UNREADABLE_PARAMETERS, f"{place}.message", "The message has no words.")
        if kind is ActionKind.SEND_MESSAGE and found.channel_id is None:
            message = "A message needs the channel of a chat; use send_email to write to participants."
            yield _problem(ProblemCode.MISSING_CHANNEL, f"{place}.channelId", message)
        participants = self._around.participants
        if kind is not ActionKind.SEND_EMAIL or participants is None:
            return
        for index, name in enumerate(found.recipients):
            named = addressed(participants, [name])
            where = f"{place}.recipients[{index}]" if "recipients" in found.model_fields_set else f"{place}.recipients"
            if not named:
                yield _problem(ProblemCode.MISSING_PARTICIPANT, where, f"Nobody is {name!r} by id or role.")
            elif not any(reachable(one) for one in named):
                message = f"{name!r} has no e-mail address, or not the channel email."
                yield _problem(ProblemCode.MISSING_CHANNEL, where, message)

    def _integration(self, action: SystemAction, place: str) -> Iterator[AutomationProblem]:
        known = {one.integration_id: one for one in self._around.integrations}
        if action.integration_id is not None and action.integration_id not in known:
            message = f"The integration {action.integration_id!r} is not connected."
            yield _problem(ProblemCode.MISSING_INTEGRATION, f"{place}.integrationId", message)
        elif action.integration_id is None and action.type == ActionKind.CHANGE_STATUS:
            message = "A change of status names the integration it is made in."
            yield _problem(ProblemCode.MISSING_INTEGRATION, f"{place}.integrationId", message)
        elif not any(one.suits(action) for one in self._around.integrations):
            whose = f"{action.integration_id!r}" if action.integration_id else "No connected integration"
            message = f"{whose} {'cannot' if action.integration_id else 'can'} carry out {action.type}."
            yield _problem(ProblemCode.MISSING_CAPABILITY, f"{place}.type", message)


def followers(step: WorkflowStep) -> list[tuple[str, str]]:
    """Return where the chain may go after a step, as the field that says so and the step it names."""
    found = {"nextStep": step.next_step, "approval.rejectedStep": step.approval.rejected_step}
    if step.branch is not None:
        found |= {"branch.thenStep": step.branch.then_step, "branch.elseStep": step.branch.else_step}
    if step.wait is not None:
        found["wait.timeoutStep"] = step.wait.timeout_step
    return [(field, name) for field, name in found.items() if name is not None]


def path_of(location: Sequence[str | int], start: str = "") -> str:
    """Return a location as people write it, such as `chains[0].steps[2].stepId`."""
    path = start
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _graph(chain: WorkflowChain, place: str) -> Iterator[AutomationProblem]:
    edges = {step.step_id: [name for _, name in followers(step)] for step in chain.steps}
    for index, step in enumerate(chain.steps):
        for field, name in followers(step):
            if name not in edges:
                message = f"There is no step {name!r} in this chain."
                yield _problem(ProblemCode.UNKNOWN_STEP, f"{place}.steps[{index}].{field}", message)
    reached = _reached(edges, chain.steps[0].step_id) | {chain.steps[0].step_id}
    unlimited = {step.step_id: [name for _, name in followers(step)] for step in chain.steps if step.limit is None}
    reported: set[str] = set()
    for index, step in enumerate(chain.steps):
        name = step.step_id
        if name not in reached:
            message = "No step leads here; name it as the nextStep of the one before it."
            yield _problem(ProblemCode.UNREACHABLE_STEP, f"{place}.steps[{index}]", message)
        if name in unlimited and name not in reported and name in (loop := _reached(unlimited, name)):
            reported |= {other for other in loop if name in _reached(unlimited, other)}
            message = "The chain comes back here without end; give a step of the loop a limit."
            yield _problem(ProblemCode.UNBOUNDED_LOOP, f"{place}.steps[{index}]", message)


def _reached(edges: Mapping[str, Sequence[str]], start: str) -> set[str]:
    """Return the steps that can follow `start`, itself only where it can come back."""
    found: set[str] = set()
    ahead = [name for name in edges.get(start, ()) if name in edges]
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += [following for following in edges[name] if following in edges]
    return found


def _actions(step: WorkflowStep, place: str) -> list[tuple[str, SystemAction]]:
    found = []
    if step.approval.ask is not None:
        found.append((f"{place}.approval.ask", step.approval.ask))
    for index, action in enumerate(step.actions.actions if step.actions else ()):
        found.append((f"{place}.actions.actions[{index}]", action))
    return found


def _wait(wait: StepWait, place: str) -> Iterator[AutomationProblem]:
    kinds = [name for name in ("duration", "until", "anchor", "event") if getattr(wait, name)]
    if len(kinds) != 1:
        yield _problem(ProblemCode.AMBIGUOUS_WAIT, place, "Name one of duration, until, anchor and event.")
    if wait.event and wait.timeout is None:
        yield _problem(ProblemCode.ENDLESS_WAIT, f"{place}.timeout", "An event may never come; say how long to wait.")
    if wait.anchor is not None and wait.anchor.anchor not in ANCHORS:
        message = f"Use {', '.join(sorted(ANCHORS))}."
        yield _problem(ProblemCode.AMBIGUOUS_WAIT, f"{place}.anchor.anchor", message)


def _conditions(conditions: Sequence[str], place: str, *, numbered: bool = True) -> Iterator[AutomationProblem]:
    for index, condition in enumerate(conditions):
        where = f"{place}[{index}]" if numbered else place
        try:
            rules.check(condition, name=where)
        except InvalidInput as error:
            yield _problem(ProblemCode.UNREADABLE_CONDITION, where, error.detail.message)


def _duplicates(names: Sequence[tuple[str, str]]) -> Iterator[AutomationProblem]:
    seen: dict[str, str] = {}
    for place, name in names:
        if name in seen:
            yield _problem(ProblemCode.DUPLICATE_ID, place, f"{name!r} is taken by {seen[name]}.")
        seen.setdefault(name, place)


def _problem(code: ProblemCode, place: str, message: str) -> AutomationProblem:
    return AutomationProblem(code=code, place=place[:255], message=message)
