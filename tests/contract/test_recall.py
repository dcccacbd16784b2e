"""What stands at a vendor is taken back, or set right, once: the same promises of every system that can."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from activities.connectors.registry import CONNECTORS, connector_class
from activities.ports.delivery import RetractingConnector
from contracts.effects import Correction, Delivery, DeliveryIntent, EffectStep, Rendered, RetractStatus, Sighting
from contracts.errors import InvalidInput, OutcomeUnknown, Permanent
from tests.support import hubspot_account, salesforce_account
from tests.support.deliveries import delivery
from tests.support.desk import ORGANIZATION, Desk, open_desk
from tests.support.emulators import Emulators

EMULATED = ("hubspot", "pagerduty", "salesforce", "slack", "smtp", "tave")
WORDS, BETTER = Rendered(text="The ceremony starts at 15:30."), Rendered(text="The ceremony starts at 16:30.")


@dataclass(frozen=True)
class Kind:
    """A kind of effect, the delivery that plans it, and how the vendor shows it."""

    system: str
    kind: str
    about: Callable[..., Delivery]
    objects: str
    takes_back: str
    """A regular expression on the path of the call that takes it back."""

    def __str__(self) -> str:
        return f"{self.system} {self.kind}"


def _task(**changes: Any) -> Delivery:
    return hubspot_account.delivery(intent=DeliveryIntent.TASK, **changes)


def _note(**changes: Any) -> Delivery:
    return delivery("tave", type="client_message").model_copy(update=changes)


def _slack(**changes: Any) -> Delivery:
    # The stand-in's messages bear the time of this machine.
    return delivery("slack").model_copy(update={"occurred_at": datetime(2020, 1, 1, tzinfo=UTC), **changes})


def _incident(**changes: Any) -> Delivery:
    return delivery("pagerduty").model_copy(update=changes)


REVERSIBLE = [
    Kind("hubspot", "note.create", hubspot_account.delivery, "notes", "objects/notes/"),
    Kind("hubspot", "task.create", _task, "tasks", "objects/tasks/"),
    Kind("pagerduty", "event.trigger", _incident, "alerts", "v2/enqueue"),
    Kind("salesforce", "task.upsert", salesforce_account.delivery, "Task", "sobjects/Task/"),
    Kind("slack", "message.post", _slack, "messages", "chat.delete"),
    Kind("tave", "note.create", _note, "notes", "note/"),
]
CORRECTABLE = [one for one in REVERSIBLE if one.system != "pagerduty"]
STANDING_FOR_GOOD = [
    Kind("hubspot", "contact.update", hubspot_account.delivery, "contacts", ""),
    Kind("hubspot", "deal.update", hubspot_account.delivery, "deals", ""),
    Kind("salesforce", "opportunity.update", salesforce_account.delivery, "Opportunity", ""),
    Kind("tave", "event.update", lambda: delivery("tave"), "events", ""),
]
each_reversible = pytest.mark.parametrize("kind", REVERSIBLE, ids=str)


@pytest.fixture
async def desk(emulators: Emulators, tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, emulators.base_url) as opened:
        for system in ("hubspot", "pagerduty", "salesforce", "slack", "tave"):
            await opened.connect(system)
        if not emulators.restore("hubspot"):
            await (await opened.connector("hubspot")).provision()
            emulators.snapshot("hubspot")
            emulators.restore("hubspot")
        yield opened


async def step_of(desk: Desk, kind: Kind, **changes: Any) -> EffectStep:
    steps = await desk.planned(kind.about(**changes))
    return next(step for step in steps if step.kind == kind.kind)


def shown(emulators: Emulators, kind: Kind) -> list[dict[str, Any]]:
    """Return the effects of this kind that people see at the vendor."""
    return [one for one in emulators.objects(kind.system, kind.objects) if one.get("status") != "resolved"]


def written(emulators: Emulators, kind: Kind) -> int:
    return len(emulators.effects(kind.system))


def test_every_kind_that_a_manifest_calls_reversible_or_correctable_is_tried_here() -> None:
    manifests = [connector_class(name).manifest for name in CONNECTORS if name in {one.system for one in REVERSIBLE}]
    assert {(one.system, one.kind) for one in REVERSIBLE} == {
        (one.system, kind) for one in manifests for kind in one.reversible
    }


@pytest.mark.parametrize("name", sorted(CONNECTORS))
def test_a_manifest_promises_what_its_connector_can_do(name: str) -> None:
    connector = connector_class(name)
    assert bool(connector.manifest.reversible) == hasattr(connector, "retract")
    assert bool(connector.manifest.correctable) == hasattr(connector, "correct")


@each_reversible
async def test_an_effect_that_is_taken_back_is_gone(desk: Desk, emulators: Emulators, kind: Kind) -> None:
    effect = await desk.stands(await step_of(desk, kind))
    assert len(shown(emulators, kind)) == 1
    outcome = await desk.recall.retract(effect)

    assert (outcome.status, shown(emulators, kind)) == (RetractStatus.RETRACTED, [])
    entry = await desk.ledger.entry(ORGANIZATION, effect.effect_id)
    assert entry is not None
    assert entry.retracted_at == outcome.retracted_at


@each_reversible
async def test_what_was_taken_back_is_not_asked_for_again(desk: Desk, emulators: Emulators, kind: Kind) -> None:
    effect = await desk.stands(await step_of(desk, kind))
    first = await desk.recall.retract(effect)
    asked = len(emulators.requests(kind.system))
    again = await desk.recall.retract(effect)

    assert (again.status, again.retracted_at) == (RetractStatus.GONE_ALREADY, first.retracted_at)
    assert len(emulators.requests(kind.system)) == asked


@each_reversible
async def test_what_a_person_has_deleted_counts_as_taken_back(desk: Desk, emulators: Emulators, kind: Kind) -> None:
    effect = await desk.stands(await step_of(desk, kind))
    by_hand = await desk.access.connector(ORGANIZATION, effect.integration_id, RetractingConnector)
    await by_hand.retract(effect)
    standing = written(emulators, kind)

    assert (await desk.recall.retract(effect)).status is RetractStatus.RETRACTED
    assert written(emulators, kind) == standing


@each_reversible
async def test_a_taking_back_whose_answer_was_lost_is_repeated_without_harm(
    desk: Desk, emulators: Emulators, kind: Kind
) -> None:
    effect = await desk.stands(await step_of(desk, kind))
    emulators.fault(kind.system, "drop_after_effect", path=kind.takes_back, count=1)
    with pytest.raises(OutcomeUnknown):
        await desk.recall.retract(effect)
    standing = written(emulators, kind)

    assert (await desk.recall.retract(effect)).status is RetractStatus.RETRACTED
    assert (written(emulators, kind), shown(emulators, kind)) == (standing, [])


@each_reversible
async def test_an_effect_of_another_organisation_is_never_touched(desk: Desk, emulators: Emulators, kind: Kind) -> None:
    effect = await desk.stands(await step_of(desk, kind))
    asked = len(emulators.requests(kind.system))
    with pytest.raises(InvalidInput) as caught:
        await desk.recall.retract(effect.model_copy(update={"organization_id": "hartwell"}))

    assert (caught.value.detail.code, len(emulators.requests(kind.system))) == ("effect_unknown", asked)


async def test_the_ledger_and_not_the_caller_says_what_is_taken_back(desk: Desk, emulators: Emulators) -> None:
    slack = REVERSIBLE[4]
    mine = await desk.stands(await step_of(desk, slack))
    other = await desk.stands(await step_of(desk, slack, business_key="route-0002"))
    await desk.recall.retract(mine.model_copy(update={"remote_id": other.remote_id, "integration_id": "tave-main"}))
    assert [one["ts"] for one in shown(emulators, slack)] == [other.remote_id]


@pytest.mark.parametrize("kind", STANDING_FOR_GOOD, ids=str)
async def test_an_update_that_kept_nothing_of_before_is_not_reversible(
    desk: Desk, emulators: Emulators, kind: Kind
) -> None:
    effect = await desk.stands(await step_of(desk, kind))
    standing = written(emulators, kind)

    assert (await desk.recall.retract(effect)).status is RetractStatus.NOT_REVERSIBLE
    assert written(emulators, kind) == standing


@pytest.mark.parametrize("kind", CORRECTABLE, ids=str)
async def test_a_correction_says_the_new_words_in_the_same_place(desk: Desk, emulators: Emulators, kind: Kind) -> None:
    step = await step_of(desk, kind, rendered=WORDS)
    effect = await desk.stands(step)
    correction = Correction(effect=effect, step=await step_of(desk, kind, rendered=BETTER, business_key="route-0002"))
    await desk.recall.correct(correction)
    standing = written(emulators, kind)
    await desk.recall.correct(correction)

    [held] = shown(emulators, kind)
    assert "starts at 16:30" in str(held)
    assert "starts at 15:30" not in str(held)
    assert written(emulators, kind) == standing
    found = await (await desk.connector(kind.system)).find(step)
    assert found is not None
    assert found.remote_id == effect.remote_id


@pytest.mark.parametrize("kind", CORRECTABLE, ids=str)
async def test_what_is_gone_cannot_be_set_right(desk: Desk, kind: Kind) -> None:
    effect = await desk.stands(await step_of(desk, kind))
    by_hand = await desk.access.connector(ORGANIZATION, effect.integration_id, RetractingConnector)
    await by_hand.retract(effect)
    with pytest.raises(Permanent) as caught:
        await desk.recall.correct(Correction(effect=effect, step=await step_of(desk, kind, rendered=BETTER)))
    assert caught.value.detail.code == "not_found"


@pytest.mark.parametrize("system", ["hubspot", "salesforce", "tave"])
async def test_a_property_that_cannot_be_taken_back_can_be_written_again(
    desk: Desk, emulators: Emulators, system: str
) -> None:
    kind = next(one for one in STANDING_FOR_GOOD if one.system == system)
    step = await step_of(desk, kind)
    effect = await desk.stands(step)
    applied = written(emulators, kind)
    outcome = await desk.recall.correct(Correction(effect=effect, step=step))
    assert (outcome.remote_id, written(emulators, kind)) == (effect.remote_id, applied)


async def test_a_correction_for_another_integration_is_refused(desk: Desk) -> None:
    note, message = REVERSIBLE[5], REVERSIBLE[4]
    effect = await desk.stands(await step_of(desk, note))
    with pytest.raises(InvalidInput) as caught:
        await desk.recall.correct(Correction(effect=effect, step=await step_of(desk, message)))
    assert caught.value.detail.code == "correction_mismatch"


async def test_an_incident_is_not_correctable(desk: Desk) -> None:
    incident = REVERSIBLE[2]
    step = await step_of(desk, incident)
    effect = await desk.stands(step)
    with pytest.raises(Permanent) as caught:
        await desk.recall.correct(Correction(effect=effect, step=step))
    assert caught.value.detail.code == "not_correctable"


async def lost(desk: Desk, emulators: Emulators, kind: Kind, fault: str) -> EffectStep:
    """Return a step that was tried once and whose answer did not come."""
    step = await step_of(desk, kind)
    emulators.fault(kind.system, fault, method="POST" if kind.system != "salesforce" else "PATCH", count=1)
    with pytest.raises(OutcomeUnknown):
        await desk.stands(step)
    return step


@pytest.mark.parametrize("kind", CORRECTABLE, ids=str)
async def test_an_effect_whose_answer_was_lost_is_seen_and_entered_in_the_ledger(
    desk: Desk, emulators: Emulators, kind: Kind
) -> None:
    step = await lost(desk, emulators, kind, "drop_after_effect")
    found = await desk.recall.look_for_effect(step)
    assert found.sighting is Sighting.STANDS
    assert (await desk.recall.retract(await desk.standing(step))).status is RetractStatus.RETRACTED
    assert shown(emulators, kind) == []
    assert (await desk.recall.look_for_effect(step)).sighting is Sighting.ABSENT


@pytest.mark.parametrize("kind", CORRECTABLE, ids=str)
async def test_an_effect_that_never_came_about_is_absent_and_leaves_the_ledger(
    desk: Desk, emulators: Emulators, kind: Kind
) -> None:
    step = await lost(desk, emulators, kind, "reset")
    assert (await desk.recall.look_for_effect(step)).sighting is Sighting.ABSENT
    assert await desk.ledger.entry(ORGANIZATION, step.effect_id) is None


async def test_a_system_that_shows_nothing_leaves_a_lost_answer_unknown(desk: Desk, emulators: Emulators) -> None:
    step = await lost(desk, emulators, REVERSIBLE[2], "drop_after_effect")
    assert (await desk.recall.look_for_effect(step)).sighting is Sighting.UNKNOWN


def test_an_e_mail_can_be_neither_taken_back_nor_changed() -> None:
    manifest = connector_class("email").manifest
    assert (manifest.reversible, manifest.correctable) == (frozenset(), frozenset())
