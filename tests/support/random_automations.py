"""Random automations: ones that can be carried out, and ones with a known fault at a known place."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

from tests.support.automations import action, step

Document = dict[str, Any]
CONDITIONS = ["true", "false", "trigger.size > 50", "has(trigger.missing)", "steps.s0.status == 'done'"]


def random_chain(random: Random, chain_id: str = "chain") -> Document:
    """Return a chain of up to eight steps, all within reach, whose only loops have a limit."""
    count = random.randint(1, 8)
    steps = [_step(random, f"s{number}") for number in range(count)]
    for number, one in enumerate(steps[:-1]):
        one["nextStep"] = steps[number + 1]["stepId"]
        if random.random() < 0.4:
            ahead = random.choice(steps[number + 1 :])["stepId"]
            one["branch"] = {"conditionId": f"c{number}", "condition": random.choice(CONDITIONS), "thenStep": ahead}
    if random.random() < 0.4:
        steps[-1]["nextStep"] = random.choice(steps)["stepId"]
        steps[-1]["limit"] = random.randint(1, 3)
    found = {"chainId": chain_id, "name": chain_id, "trigger": "manual", "steps": steps}
    return {**found, "onCancel": random.choice(["keep", "compensate"]), "compensations": [action("instead")]}


def _step(random: Random, name: str) -> Document:
    actions = [
        action(
            f"{name}.{number}",
            random.choice(["create_task", "send_email", "send_message"]),
            delay=random.choice([0, 0, 60_000]),
            onFailure=random.choice([None, "continue", "stop", "compensate"]),
            compensation=random.choice(["retract", "keep", "instead"]),
        )
        for number in range(random.randint(1, 3))
    ]
    found = step(name, *actions, on_failure=random.choice(["continue", "stop", "compensate"]))
    if random.random() < 0.4:
        found["wait"] = random.choice(
            [{"duration": "PT5H"}, {"event": "never", "timeout": "P1D"}, {"anchor": {"offset": "-P20D"}}]
        )
    if random.random() < 0.2:
        found |= {"approvalBy": ["planner"], "approval": {"onDeadline": random.choice(["approve", "reject"])}}
    if random.random() < 0.3:
        found["conditions"] = [random.choice(CONDITIONS[:4])]
    return found


def broken(random: Random, sound: Document) -> tuple[Document, str, str]:
    """Return a chain with one fault, the fault's code, and its place in an automation of this chain alone."""
    document = deepcopy(sound)
    fault = random.choice(_FAULTS)
    code, place = fault(document, random.randrange(len(document["steps"])))
    return document, code, f"chains[0].{place}"


def _unknown_step(document: Document, index: int) -> tuple[str, str]:
    document["steps"][index]["nextStep"] = "nowhere"
    return "unknown_step", f"steps[{index}].nextStep"


def _unknown_branch(document: Document, index: int) -> tuple[str, str]:
    document["steps"][index]["branch"] = {"conditionId": "c", "condition": "true", "thenStep": "nowhere"}
    return "unknown_step", f"steps[{index}].branch.thenStep"


def _unreachable(document: Document, _index: int) -> tuple[str, str]:
    document["steps"].append(step("lonely", action("lonely")))
    return "unreachable_step", f"steps[{len(document['steps']) - 1}]"


def _unbounded(document: Document, index: int) -> tuple[str, str]:
    document["steps"][index].pop("limit", None)
    document["steps"][index]["nextStep"] = document["steps"][index]["stepId"]
    return "unbounded_loop", f"steps[{index}]"


def _duplicate(document: Document, index: int) -> tuple[str, str]:
    document["steps"].append(deepcopy(document["steps"][index]))
    return "duplicate_id", f"steps[{len(document['steps']) - 1}].stepId"


def _unreadable(document: Document, index: int) -> tuple[str, str]:
    document["steps"][index]["conditions"] = ["true", "1 +"]
    return "unreadable_condition", f"steps[{index}].conditions[1]"


def _unknown_action(document: Document, index: int) -> tuple[str, str]:
    _last(document, index)["type"] = "sing"
    return "unknown_action", f"{_last_place(document, index)}.type"


def _unknown_compensation(document: Document, index: int) -> tuple[str, str]:
    _last(document, index)["compensation"] = "forget"
    return "unknown_compensation", f"{_last_place(document, index)}.compensation"


def _missing_integration(document: Document, index: int) -> tuple[str, str]:
    _last(document, index)["integrationId"] = "nobody"
    return "missing_integration", f"{_last_place(document, index)}.integrationId"


def _missing_capability(document: Document, index: int) -> tuple[str, str]:
    _last(document, index).update(type="create_event", parameters={"title": "Rehearsal"})
    return "missing_capability", f"{_last_place(document, index)}.type"


def _missing_participant(document: Document, index: int) -> tuple[str, str]:
    _last(document, index).update(type="send_email", parameters={"message": "hello", "recipients": ["florist"]})
    return "missing_participant", f"{_last_place(document, index)}.parameters.recipients[0]"


def _missing_channel(document: Document, index: int) -> tuple[str, str]:
    _last(document, index).update(type="send_message", parameters={"message": "hello"})
    return "missing_channel", f"{_last_place(document, index)}.parameters.channelId"


def _endless_wait(document: Document, index: int) -> tuple[str, str]:
    document["steps"][index]["wait"] = {"event": "never"}
    return "endless_wait", f"steps[{index}].wait.timeout"


def _ambiguous_wait(document: Document, index: int) -> tuple[str, str]:
    document["steps"][index]["wait"] = {"duration": "PT1H", "until": "2031-01-01T00:00:00Z"}
    return "ambiguous_wait", f"steps[{index}].wait"


def _last(document: Document, index: int) -> Document:
    found: Document = document["steps"][index]["actions"]["actions"][-1]
    return found


def _last_place(document: Document, index: int) -> str:
    return f"steps[{index}].actions.actions[{len(document['steps'][index]['actions']['actions']) - 1}]"


_FAULTS: list[Callable[[Document, int], tuple[str, str]]] = [
    *(_unknown_step, _unknown_branch, _unreachable, _unbounded, _duplicate, _unreadable, _unknown_action),
    *(_unknown_compensation, _missing_integration, _missing_capability, _missing_participant, _missing_channel),
    *(_endless_wait, _ambiguous_wait),
]
