"""Which saved automations an event starts."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.automation import AutomationDefinition, Triggered, TriggerKind, WorkflowOrchestration
from contracts.automation_steps import TriggerEvent
from contracts.base import JsonObject
from contracts.names import effect_id

CANCELLED = "cancelled"


def matches(definitions: Sequence[AutomationDefinition], event: TriggerEvent) -> list[WorkflowOrchestration]:
    """Return the runs that an event starts, each with the chains and sequences it triggers, and with its own id.

    The id of a run is made of the definition, the wedding and the event, so the same event told twice starts it once;
    what is anchored starts once for each wedding, as soon as the wedding has a day, and follows it from there.
    """
    found = []
    for definition in definitions:
        if not definition.enabled:
            continue
        anchored = event.news is not None and event.news.status != CANCELLED
        found += _runs(definition, event, anchored=False)
        if anchored and event.news is not None and event.news.wedding.wedding_date is not None:
            found += _runs(definition, event, anchored=True)
    return found


def _runs(definition: AutomationDefinition, event: TriggerEvent, *, anchored: bool) -> list[WorkflowOrchestration]:
    def met(what: Triggered) -> bool:
        return what.trigger == TriggerKind.ANCHOR if anchored else _met(what, event)

    chains = [chain for chain in definition.chains if met(chain)]
    sequences = [sequence for sequence in definition.sequences if met(sequence)]
    if not chains and not sequences:
        return []
    occasion = TriggerKind.ANCHOR.value if anchored else event.event_id
    return [
        WorkflowOrchestration(
            orchestration_id=effect_id(definition.definition_id, event.wedding_id or "", occasion),
            organization_id=definition.organization_id,
            definition_id=definition.definition_id,
            definition_version=definition.version,
            priority=definition.priority,
            wedding_id=event.wedding_id,
            wedding=event.news.wedding if event.news else None,
            participants=event.participants,
            trigger_data=_data(event),
            chains=chains,
            sequences=sequences,
        )
    ]


def _met(what: Triggered, event: TriggerEvent) -> bool:
    if what.trigger == TriggerKind.PROPERTY_CHANGE:
        return event.properties.get(what.trigger_property) == what.trigger_value
    return what.trigger == TriggerKind.EVENT and bool(event.name) and what.trigger_value == event.name


def _data(event: TriggerEvent) -> JsonObject:
    return {"event": event.name, "properties": dict(event.properties), **event.data}
