"""What a person answered to a notification, whichever system the answer came through."""

from __future__ import annotations

from contracts.base import Contract, Instant, OpaqueId, ShortText, Text
from contracts.integration import Platform


class ActionTaken(Contract):
    """A button pressed, a digit dialled, a reply sent: the argument of the Update `take_action`."""

    event_id: OpaqueId
    """The same event told twice has one id."""
    action_id: OpaqueId
    action_type: ShortText = ""
    """`acknowledge`, `approve`, `reject`, `choose`, or the type the notification gave its action."""
    notification_id: OpaqueId
    system: Platform
    integration_id: OpaqueId
    actor_id: OpaqueId
    """Who answered, in the words of the system, such as Slack's user id; never a name, an address or a number."""
    value: Text = ""
    occurred_at: Instant


class ActionAnswer(Contract):
    """What the workflow made of the answer; `message` is shown to whoever answered."""

    accepted: bool
    message: ShortText = ""
