"""Whether an effect that was claimed stands already."""

from __future__ import annotations

from activities.ports.delivery import DeliveryConnector
from activities.ports.manifest import EffectGuarantee
from activities.storage.ledger import Claim, ClaimKind, EffectLedger
from contracts.effects import EffectOutcome, EffectStep
from contracts.errors import OUTCOME_UNKNOWN, Owner, Permanent, Transient


async def standing(
    connector: DeliveryConnector, ledger: EffectLedger, step: EffectStep, claim: Claim
) -> EffectOutcome | None:
    """Return the effect's outcome where it stands, None where it is to be made now.

    Raises:
        Transient: another run is at it.
        Permanent: it was taken back; or its outcome is unknown, and the vendor has nothing to look it up by.
    """
    if claim.kind is ClaimKind.RETRACTED:
        raise Permanent(
            "effect_retracted",
            "The effect stood and was taken back; it is not made a second time.",
            owner=Owner.TENANT,
            action="Send a new notification, with an id of its own.",
            system=step.system,
            operation=step.kind,
        )
    if claim.kind is ClaimKind.APPLIED:
        return EffectOutcome(remote_id=claim.remote_id, replayed=True, applied_at=claim.applied_at)
    if claim.kind is ClaimKind.BUSY:
        raise Transient("effect_in_progress", "Another run is making the same effect; its outcome is awaited.")
    if claim.kind is ClaimKind.FRESH:
        return None
    found = await connector.find(step)
    if found is not None:
        applied_at = await ledger.receipt(step, found.remote_id)
        return found.model_copy(update={"replayed": True, "applied_at": applied_at})
    if connector.manifest.guarantee is EffectGuarantee.AT_MOST_ONCE:
        raise Permanent(
            OUTCOME_UNKNOWN,
            f"{connector.manifest.title} was asked once and its answer was lost; it is not asked again.",
            owner=Owner.OPERATOR,
            action="Look in the system's own log for the effect id, and send by hand only if it is not there.",
            system=step.system,
            operation=step.kind,
            evidence={"effectId": step.effect_id},
        )
    return None
