"""Who is next in line for a message that was not delivered."""

from __future__ import annotations

from collections.abc import Sequence

from activities.transform.contacts import claim_of
from activities.transform.routing import standby_systems
from contracts.decisions import Decision
from contracts.effects import Reservation, StandingEffect
from contracts.notification import (
    CrossSystemRouting,
    DeliveryCoordination,
    ErrorHandlingStrategy,
    FailureStrategy,
    TargetSystem,
)


def meant_for(routing: CrossSystemRouting, decisions: Sequence[Decision], effect: StandingEffect) -> str | None:
    """Return the id of the target that an effect was made for, None when the routing has none."""
    told = next((one.system_id for one in decisions if effect.effect_id in one.effect_ids), None)
    same = (one.system_id for one in routing.target_systems if one.integration_id == effect.integration_id)
    return told or next(same, None)


def reserved(routing: CrossSystemRouting, decisions: Sequence[Decision], effect: StandingEffect) -> list[Reservation]:
    """Return how the recipient of an effect was counted; nothing where the target has no recipients."""
    return [
        Reservation(
            claim=claim_of(routing.organization_id, routing.routing_id, one.system_id, one.recipient),
            contact=one.recipient,
            effect_ids=one.effect_ids,
        )
        for one in decisions
        if one.recipient is not None and effect.effect_id in one.effect_ids
    ][:1]


def rest_of(routing: CrossSystemRouting, system_id: str) -> CrossSystemRouting | None:
    """Return the same message to those that stand by for a target, in their order; None where nobody does.

    The routing id stays, so that whoever has the message already, by whichever failover, does not get it again.
    """
    targets = {one.system_id: one for one in routing.target_systems}
    line = [targets[name] for name in _line(routing, system_id) if name in targets]
    if not line:
        return None
    handling = routing.error_handling
    retries = handling.on_permanent_failure is FailureStrategy.RETRY
    first, *others = [one.model_copy(update={"failover": []}) for one in line]
    return routing.model_copy(
        update={
            "target_systems": [first, *others],
            "delivery_coordination": DeliveryCoordination(),
            "error_handling": ErrorHandlingStrategy(
                on_permanent_failure=FailureStrategy.RETRY if retries else FailureStrategy.CONTINUE,
                failover=_failover(first, others),
                retries=handling.retries,
                retry_after=handling.retry_after,
            ),
        }
    )


def _failover(first: TargetSystem, others: Sequence[TargetSystem]) -> dict[str, list[str]]:
    return {first.system_id: [one.system_id for one in others]} if others else {}


def _line(routing: CrossSystemRouting, system_id: str) -> list[str]:
    """Return who stands by for a target: its own line, then whoever follows it in the lines of others."""
    chains = standby_systems(routing)
    names = list(chains.get(system_id, []))
    for chain in chains.values():
        if system_id in chain:
            names += chain[chain.index(system_id) + 1 :]
    return [name for name in dict.fromkeys(names) if name != system_id]
