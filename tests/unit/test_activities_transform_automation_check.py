"""Automations are refused with every reason at its place, and for no other."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.transform.automation_check import Surroundings, problems
from contracts.automation_check import ProblemCode
from tests.support.automations import AVAILABLE, COUPLE, action, available, chain, orchestration, step
from tests.support.random_automations import broken, random_chain


def found(*chains: dict[str, Any], platforms: tuple[str, ...] = (), **fields: Any) -> list[tuple[str, str]]:
    asked = orchestration(*chains, **fields)
    integrations = available(*platforms) if platforms else AVAILABLE
    return [(one.code.value, one.place) for one in problems(asked, Surroundings(integrations, asked.participants))]


@given(st.randoms(use_true_random=False))
def test_a_random_sound_automation_is_accepted(random: Random):
    assert found(random_chain(random)) == []


@given(st.randoms(use_true_random=False))
def test_a_random_fault_is_found_at_its_place(random: Random):
    document, code, place = broken(random, random_chain(random))
    assert (code, place) in found(document)


def test_all_problems_are_told_at_once_and_in_order():
    one = step("one", action("a", "sing"), conditions=["1 +"], nextStep="nowhere")
    two = step("two", action("b", compensation="forget"), wait={"event": "paid"})
    places = found(chain(one, {**two, "nextStep": None}))
    assert places == [
        ("unknown_step", "chains[0].steps[0].nextStep"),
        ("unreachable_step", "chains[0].steps[1]"),
        ("unreadable_condition", "chains[0].steps[0].conditions[0]"),
        ("unknown_action", "chains[0].steps[0].actions.actions[0].type"),
        ("endless_wait", "chains[0].steps[1].wait.timeout"),
        ("unknown_compensation", "chains[0].steps[1].actions.actions[0].compensation"),
    ]


def test_a_participant_without_the_channel_is_named():
    silent = {**COUPLE, "channels": ["sms"]}
    assert found(chain(step("one", action("mail", "send_email"))), participants=[silent]) == [
        ("missing_channel", "chains[0].steps[0].actions.actions[0].parameters.recipients")
    ]


def test_what_no_connected_system_can_do_is_refused():
    tasks = chain(step("one", action("task")))
    assert found(tasks, platforms=("email",)) == [("missing_capability", "chains[0].steps[0].actions.actions[0].type")]
    named = chain(step("one", action("task", integrationId="email-main")))
    assert found(named) == [("missing_capability", "chains[0].steps[0].actions.actions[0].type")]


def test_a_sequence_is_checked_message_by_message():
    messages = [{"message": "one"}, {"message": "two", "conditions": ["((("]}]
    sequence = {"sequenceId": "s", "name": "s", "trigger": "event", "targetChannel": "couple", "messages": messages}
    assert found(sequences=[sequence]) == [
        ("unknown_trigger", "sequences[0].triggerValue"),
        ("unreadable_condition", "sequences[0].messages[1].conditions[0]"),
    ]


def test_a_saved_automation_is_checked_without_participants():
    asked = orchestration(chain(step("one", action("mail", "send_email"))))
    assert problems(asked, Surroundings(AVAILABLE)) == []


def test_a_loop_of_several_steps_is_told_once():
    steps = [step(name, action(name)) for name in ("a", "b", "c")]
    loop = chain(*steps[:2], {**steps[2], "nextStep": "a"})
    assert found(loop) == [("unbounded_loop", "chains[0].steps[0]")]
    assert found(chain(steps[0], {**steps[1], "limit": 5}, {**steps[2], "nextStep": "a"})) == []


@pytest.mark.parametrize("parameters", [{"message": "x", "colour": "red"}, {"message": 7}])
def test_parameters_that_no_action_knows_are_refused(parameters: dict[str, Any]):
    [(code, place)] = found(chain(step("one", action("mail", "send_email", parameters=parameters))))
    assert code == ProblemCode.UNREADABLE_PARAMETERS
    assert place.startswith("chains[0].steps[0].actions.actions[0].parameters.")


def test_an_automation_without_anything_to_do_is_refused():
    assert found() == [("nothing_to_do", "chains")]
    assert found(chain(step("idle"))) == [("nothing_to_do", "chains[0].steps[0]")]
