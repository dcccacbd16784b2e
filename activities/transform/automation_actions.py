"""What an automation's action asks of a system, as the routing of one notification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from activities.transform import templates
from activities.transform.automation_check import Available, addressed, reachable
from contracts.automation import ActionKind, ActionParameters
from contracts.automation_steps import ComposeAction
from contracts.errors import InvalidInput
from contracts.notification import (
    CommunicationChannel,
    CrossSystemRouting,
    DeliveryIntent,
    NotificationAction,
    SourceNotification,
    TargetSystem,
)

APPROVE, REJECT = "approve", "reject"


def compose(request: ComposeAction, integrations: Sequence[Available]) -> CrossSystemRouting:
    """Return the routing that carries an action out: one notification to the system that can.

    Args:
        request: the action, and the facts its words are filled from.
        integrations: those connected, in the order in which they are chosen.

    Raises:
        InvalidInput: no system can carry it out, nobody is there to write to, or its words cannot be filled in.
    """
    action, kind = request.action, ActionKind(request.action.type)
    chosen = next((one for one in integrations if one.suits(action)), None)
    if chosen is None:
        raise InvalidInput(
            "no_capable_integration",
            f"No connected integration can carry out the action {action.action_id!r}, a {action.type}.",
            action="Connect or resume one with `wedsync integrations`.",
        )
    parameters = ActionParameters.model_validate(action.parameters)
    words = _words(request, parameters)
    target = TargetSystem(
        system_id=chosen.integration_id,
        system_type=chosen.platform,
        integration_id=chosen.integration_id,
        contacts=parameters.contacts,
        settings=parameters.settings,
        intent=DeliveryIntent.TASK if kind is ActionKind.CREATE_TASK else DeliveryIntent.NOTIFY,
        recipients=_mailboxes(request, parameters) if kind is ActionKind.SEND_EMAIL else [],
        channels=_channels(parameters),
    )
    return CrossSystemRouting(
        routing_id=request.routing_id,
        organization_id=request.organization_id,
        answers_to=request.answers_to,
        target_systems=[target],
        source_notification=SourceNotification(
            notification_id=request.routing_id,
            type=parameters.template or (parameters.task_type if kind is ActionKind.CREATE_TASK else action.type),
            title=words.title,
            message=words.message,
            priority=request.priority,
            wedding_context=request.wedding,
            actions=_buttons(request.routing_id) if request.asks else [],
            metadata=parameters.metadata,
        ),
    )


def _mailboxes(request: ComposeAction, parameters: ActionParameters) -> list[str]:
    named = addressed(request.participants, parameters.recipients)
    mailboxes = dict.fromkeys(one.email for one in named if one.email and reachable(one))
    if not mailboxes:
        raise InvalidInput(
            "nobody_to_write_to",
            f"Nobody named by the action {request.action.action_id!r} has an e-mail address and the e-mail channel.",
            action="Add a participant with both.",
        )
    return list(mailboxes)


def _channels(parameters: ActionParameters) -> list[CommunicationChannel]:
    return [CommunicationChannel(channel_id=parameters.channel_id)] if parameters.channel_id else []


def _buttons(notification_id: str) -> list[NotificationAction]:
    return [
        NotificationAction(
            action_id=word, label=word.capitalize(), type=word, style=style, notification_id=notification_id
        )
        for word, style in ((APPROVE, "primary"), (REJECT, "danger"))
    ]


@dataclass(frozen=True)
class _Words:
    title: str
    message: str


def _words(request: ComposeAction, parameters: ActionParameters) -> _Words:
    title = parameters.title or parameters.task_type.replace("_", " ").capitalize()
    message = parameters.message or title
    if parameters.template is not None:
        title = templates.named(parameters.template, "subject")
        message = templates.named(parameters.template, "text")
    name = f"the action {request.action.action_id}"
    return _Words(
        title=" ".join(templates.render(title, request.facts, name=name).split())[:255],
        message=templates.render(message, request.facts, name=name)[:4_000],
    )
