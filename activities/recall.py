"""Taking back and setting right what stands at vendors, each effect once."""

from __future__ import annotations

from temporalio import activity

from activities.access import Access
from activities.ports.delivery import CorrectingConnector, DeliveryConnector, RetractingConnector
from activities.ports.manifest import EffectGuarantee
from activities.storage.ledger import EffectLedger, LedgerEntry
from contracts.effects import (
    Correction,
    EffectOutcome,
    EffectSighting,
    EffectStep,
    RetractOutcome,
    RetractStatus,
    Sighting,
    StandingEffect,
)
from contracts.errors import InvalidInput, Permanent

_SHOWS_NOTHING = frozenset({EffectGuarantee.AT_MOST_ONCE, EffectGuarantee.IDEMPOTENCY_KEY})
"""Guarantees whose systems need not be able to tell whether an effect stands."""


class Recall:
    """The verbs that undo and mend deliveries. What stands, and where, is the ledger's word and not the caller's."""

    def __init__(self, access: Access, ledger: EffectLedger) -> None:
        self._access = access
        self._ledger = ledger

    @activity.defn(name="notify.retract")
    async def retract(self, effect: StandingEffect) -> RetractOutcome:
        """Take one effect back where its system can, and mark the ledger.

        Idempotent: yes; an effect that was taken back before is not asked for again.

        Raises:
            InvalidInput: the organisation has no such effect standing.
            IntegrationPaused: the integration refuses work.
            Permanent: the vendor refuses to take it back.
        """
        entry, standing = await self._entry(effect)
        if entry.retracted_at is not None:
            return RetractOutcome(status=RetractStatus.GONE_ALREADY, retracted_at=entry.retracted_at)
        if entry.kind not in self._access.manifest(entry.system).reversible:
            return RetractOutcome(status=RetractStatus.NOT_REVERSIBLE)
        connector = await self._access.connector(effect.organization_id, entry.integration_id, RetractingConnector)
        await connector.retract(standing)
        retracted_at = await self._ledger.retracted(effect.organization_id, effect.effect_id)
        return RetractOutcome(status=RetractStatus.RETRACTED, retracted_at=retracted_at)

    @activity.defn(name="notify.correct")
    async def correct(self, correction: Correction) -> EffectOutcome:
        """Write what a new step says over an effect that stands.

        Idempotent: yes, the same words written twice read the same.

        Raises:
            InvalidInput: the organisation has no such effect standing, or the step is of another kind or integration.
            IntegrationPaused: the integration refuses work.
            Permanent: `not_correctable`; or the effect was taken back, or the vendor has it no more or refuses.
        """
        effect, step = correction.effect, correction.step
        entry, standing = await self._entry(effect)
        if (step.organization_id, step.integration_id, step.kind) != (
            effect.organization_id,
            entry.integration_id,
            entry.kind,
        ):
            raise InvalidInput(
                "correction_mismatch",
                "The correction is not for the effect it names.",
                action="Plan it for the same integration and kind of effect.",
            )
        if entry.retracted_at is not None or entry.kind not in self._access.manifest(entry.system).correctable:
            raise Permanent(
                "not_correctable",
                "The effect was taken back before, or its system does not let it be changed.",
                action="Send a new notification instead.",
                owner=InvalidInput.owner,
                system=entry.system,
                operation=entry.kind,
            )
        connector = await self._access.connector(effect.organization_id, entry.integration_id, CorrectingConnector)
        return await connector.correct(standing, step)

    @activity.defn(name="notify.look_for_effect")
    async def look_for_effect(self, step: EffectStep) -> EffectSighting:
        """Find out whether an effect stands whose delivery failed, and bring the ledger in line with the vendor.

        Idempotent: yes.

        Raises:
            IntegrationPaused: the integration refuses work.
        """
        entry = await self._ledger.entry(step.organization_id, step.effect_id)
        if entry is None or entry.retracted_at is not None:
            return EffectSighting(sighting=Sighting.ABSENT)
        if entry.standing is not None:
            outcome = EffectOutcome(remote_id=entry.standing.remote_id, applied_at=entry.standing.applied_at)
            return EffectSighting(sighting=Sighting.STANDS, outcome=outcome)
        connector = await self._access.connector(step.organization_id, step.integration_id, DeliveryConnector)
        found = await connector.find(step)
        if found is not None:
            applied_at = await self._ledger.receipt(step, found.remote_id)
            return EffectSighting(sighting=Sighting.STANDS, outcome=found.model_copy(update={"applied_at": applied_at}))
        if connector.manifest.guarantee in _SHOWS_NOTHING:
            return EffectSighting(sighting=Sighting.UNKNOWN)
        await self._ledger.withdraw(step)
        return EffectSighting(sighting=Sighting.ABSENT)

    async def _entry(self, effect: StandingEffect) -> tuple[LedgerEntry, StandingEffect]:
        entry = await self._ledger.entry(effect.organization_id, effect.effect_id)
        if entry is None or entry.standing is None:
            raise InvalidInput(
                "effect_unknown",
                "This organisation has no such effect standing.",
                action="Look the effect up with its notification or its wedding.",
            )
        return entry, entry.standing
