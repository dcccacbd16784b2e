"""Planning what Asana shall show: a comment on the wedding's task, or a task of its own."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import ValidationError

from contracts.base import JsonObject
from contracts.effects import Delivery, EffectStep
from contracts.errors import InvalidInput
from contracts.names import effect_id
from contracts.notification import NotificationMetadata

TASK, STORY = "task.create", "story.create"


class Planner:
    """Builds the steps of one delivery.

    Args:
        delivery: says what is to be shown.
        project: gid of the project that takes the tasks.
    """

    def __init__(self, delivery: Delivery, project: str) -> None:
        self._delivery = delivery
        self._project = project
        try:
            self._facts = NotificationMetadata.model_validate(delivery.notification.metadata)
        except ValidationError:
            raise invalid("metadata_invalid", "The notification's metadata has a field of the wrong type.") from None

    def task(self) -> EffectStep:
        """Return a task of its own."""
        notification, rendered = self._delivery.notification, self._delivery.rendered
        words: JsonObject = {
            "name": rendered.subject or notification.title,
            "notes": rendered.text or notification.message,
        }
        effect = self._effect(TASK, "")
        return self._step(TASK, effect, f"external:{effect}", self._task(effect, words))

    def comment(self, task: str | None) -> EffectStep:
        """Return a comment on a task, on the wedding's own where none is named.

        The wedding's task is the same for every notification about it, and comes with the comment: effects of one plan
        are made in no order.
        """
        notification, context = self._delivery.notification, self._delivery.notification.wedding_context
        words = self._delivery.rendered.text or f"{notification.title}\n{notification.message}"
        wedding_id, couple = (context.wedding_id, context.client_name) if context else ("", "")
        place = (self._delivery.organization_id, self._delivery.target.integration_id)
        key = effect_id(*place, "wedding", wedding_id)
        about = task or f"external:{key}"
        effect = self._effect(STORY, about)
        payload: JsonObject = {"text": f"{words}\n\n{reference(effect)}"}
        if task is None:
            payload["task"] = self._task(key, {"name": f"Wedding {couple or wedding_id}"})
        return self._step(STORY, effect, about, payload)

    def _task(self, key: str, values: JsonObject) -> JsonObject:
        external: JsonObject = {"gid": key, "data": self._as_of().isoformat()}
        task: JsonObject = {**values, "projects": [self._project], "external": external}
        day = self._day()
        return task if day is None else {**task, "due_on": day.isoformat()}

    def _day(self) -> date | None:
        given = self._delivery.rendered.properties.get("due_on")
        if given:
            try:
                return date.fromisoformat(given)
            except ValueError:
                raise invalid("due_on_invalid", "The transformation map's due_on is no date.") from None
        context, changes = self._delivery.notification.wedding_context, self._facts.timeline_changes
        return (changes.new_wedding_date if changes else None) or (context.wedding_date if context else None)

    def _as_of(self) -> datetime:
        return self._delivery.notification.created_at or self._delivery.occurred_at

    def _effect(self, kind: str, about: str) -> str:
        delivery = self._delivery
        return effect_id(delivery.organization_id, delivery.business_key, delivery.target.system_id, kind, about)

    def _step(self, kind: str, effect: str, object_id: str, payload: JsonObject) -> EffectStep:
        delivery = self._delivery
        return EffectStep(
            effect_id=effect,
            organization_id=delivery.organization_id,
            integration_id=delivery.target.integration_id,
            system="asana",
            kind=kind,
            object_id=object_id,
            payload=payload,
        )


def reference(effect: str) -> str:
    """Return the line by which a comment is found again."""
    return f"WedSync reference {effect}"


def invalid(code: str, message: str) -> InvalidInput:
    """Return the error of a notification that cannot be shown."""
    return InvalidInput(code, message, action="Correct the notification and send it again.", system="asana")
