"""Planning what Asana shall show: the wedding's task, a task of its own, or a comment."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import ValidationError

from contracts.base import JsonObject
from contracts.effects import Delivery, EffectStep
from contracts.errors import InvalidInput
from contracts.names import effect_id
from contracts.notification import NotificationMetadata

WEDDING, TASK, STORY = "task.upsert", "task.create", "story.create"


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

    def wedding(self) -> EffectStep:
        """Return the wedding's task, the same for every notification about it."""
        context = self._delivery.notification.wedding_context
        place = (self._delivery.organization_id, self._delivery.target.integration_id)
        key = effect_id(*place, "wedding", context.wedding_id if context else "")
        name = f"Wedding {(context and (context.client_name or context.wedding_id)) or ''}".strip()
        return self._task(WEDDING, key, {"name": name})

    def task(self) -> EffectStep:
        """Return a task of its own."""
        notification, rendered = self._delivery.notification, self._delivery.rendered
        name = rendered.subject or notification.title
        return self._task(TASK, self._effect(TASK, ""), {"name": name, "notes": rendered.text or notification.message})

    def comment(self, task: str) -> EffectStep:
        """Return a comment on a task."""
        notification = self._delivery.notification
        words = self._delivery.rendered.text or f"{notification.title}\n{notification.message}"
        effect = self._effect(STORY, task)
        return self._step(STORY, effect, task, {"text": f"{words}\n\n{reference(effect)}"})

    def _task(self, kind: str, key: str, values: JsonObject) -> EffectStep:
        external: JsonObject = {"gid": key, "data": self._as_of().isoformat()}
        payload: JsonObject = {**values, "projects": [self._project], "external": external}
        day = self._day()
        if day is not None:
            payload["due_on"] = day.isoformat()
        effect = key if kind == TASK else self._effect(kind, key)
        return self._step(kind, effect, f"external:{key}", payload)

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
