"""What an action asks of which system, in which words, and of whom."""

from __future__ import annotations

from typing import Any

import pytest

from activities.transform.automation_actions import compose
from contracts.automation_steps import ComposeAction
from contracts.errors import InvalidInput
from contracts.notification import CrossSystemRouting
from tests.support.automations import COUPLE, ORGANIZATION, WEDDING, action, available

SILENT = {"participantId": "aunt", "role": "family", "email": "aunt@example.com", "channels": ["sms"]}


def composed(*platforms: str, asks: bool = False, **fields: Any) -> CrossSystemRouting:
    request = {
        "organizationId": ORGANIZATION,
        "action": action("one", **fields),
        "routingId": "n-1",
        "wedding": WEDDING,
        "participants": [COUPLE, SILENT],
        "facts": {"wedding": WEDDING, "trigger": {}},
        "asks": asks,
        "answersTo": "run-automation/x",
    }
    return compose(ComposeAction.model_validate(request), available(*platforms))


def test_the_first_connected_system_that_can_is_chosen_unless_the_action_names_one():
    assert composed("email", "hubspot", "asana").target_systems[0].system_type == "hubspot"
    assert composed("email", "hubspot", "asana", systemType="asana").target_systems[0].system_type == "asana"


def test_a_task_is_asked_for_as_a_task_and_a_message_as_a_message():
    intents = [
        composed("hubspot", "slack", kind=kind).target_systems[0].intent for kind in ("create_task", "send_message")
    ]
    assert intents == ["task", "notify"]


def test_only_those_whom_e_mail_reaches_are_written_to():
    parameters = {"message": "Dear {{ wedding.weddingId }}", "recipients": ["couple", "family"]}
    routing = composed("email", kind="send_email", parameters=parameters)
    assert routing.target_systems[0].recipients == [COUPLE["email"]]
    assert routing.source_notification.message == "Dear wed-1001"


def test_a_question_has_both_buttons_and_says_who_takes_the_answer():
    routing = composed("slack", kind="send_message", asks=True)
    buttons = [(one.action_id, one.notification_id) for one in routing.source_notification.actions]
    assert buttons == [("approve", "n-1"), ("reject", "n-1")]
    assert routing.answers_to == "run-automation/x"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"kind": "create_event"}, "no_capable_integration"),
        ({"kind": "send_email", "parameters": {"message": "x", "recipients": ["family"]}}, "nobody_to_write_to"),
        ({"parameters": {"message": "{{ wedding.colour }}"}}, "template_incomplete"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(fields: dict[str, Any], code: str):
    with pytest.raises(InvalidInput) as refused:
        composed("email", "hubspot", **fields)
    assert refused.value.detail.code == code
    assert "@" not in refused.value.detail.sentence()
