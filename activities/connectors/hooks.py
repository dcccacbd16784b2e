"""The list of systems whose webhooks are read: one line per system."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import cast

from activities.ports.inbound import Hook

HOOKS = {
    "pagerduty": "activities.connectors.emergency.pagerduty_hook",
    "slack": "activities.connectors.communication.slack_hook",
    "twilio": "activities.connectors.communication.twilio.hook",
}
"""System name -> module."""


@cache
def hook_of(system: str) -> Hook | None:
    """Return the module that reads a system's webhooks, None where it sends none."""
    return cast("Hook", import_module(HOOKS[system])) if system in HOOKS else None
