"""The Protocols of connectors that bring messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from activities.ports.connector import Connector
from contracts.effects import Delivery, EffectOutcome, EffectStep, StandingEffect
from contracts.engagement import EngagementResult, EngagementTracking, NotificationState
from contracts.errors import WedSyncError


@runtime_checkable
class DeliveryConnector(Connector, Protocol):
    """A system that shows a notification or takes a task (capability `deliver`, `email`, `task`)."""

    def plan(self, delivery: Delivery) -> list[EffectStep]:
        """Return the vendor calls a delivery needs, each with a deterministic effect id; no I/O.

        Raises:
            InvalidInput: the target or the metadata lacks something the system needs.
        """
        ...

    async def apply(self, step: EffectStep) -> EffectOutcome:
        """Make the one vendor call of `step`."""
        ...

    async def find(self, step: EffectStep) -> EffectOutcome | None:
        """Ask the vendor whether the effect of `step` already stands; None when it does not."""
        ...


@runtime_checkable
class CheckingConnector(DeliveryConnector, Protocol):
    """A system that can be asked beforehand whether it would take an effect."""

    async def check(self, step: EffectStep) -> None:
        """Ask whether what the effect needs is there; changes nothing.

        Raises:
            Permanent: it is not.
        """
        ...


@runtime_checkable
class BatchDeliveryConnector(DeliveryConnector, Protocol):
    """A system that takes many effects in one call, of the kinds in `manifest.delivery_batch`."""

    async def apply_batch(self, steps: Sequence[EffectStep]) -> Mapping[str, EffectOutcome | WedSyncError]:
        """Make effects of one kind stand in one vendor call.

        Args:
            steps: of one kind, and no two of them about the same object.

        Returns:
            Effect id -> what the vendor said of it; one it said nothing of is `OutcomeUnknown`.

        Raises:
            Permanent: `batch_refused`, the vendor refuses all because of one that it does not name: send halves.
            OutcomeUnknown: the answer was lost; `find` tells of each effect whether it stands.
        """
        ...


@runtime_checkable
class RetractingConnector(DeliveryConnector, Protocol):
    """A system that takes effects back, of the kinds in `manifest.reversible`."""

    async def retract(self, effect: StandingEffect) -> None:
        """Take the effect back.

        Idempotent: yes, what is gone already is no error.
        """
        ...


@runtime_checkable
class CorrectingConnector(DeliveryConnector, Protocol):
    """A system that sets effects right, of the kinds in `manifest.correctable`."""

    async def correct(self, effect: StandingEffect, step: EffectStep) -> EffectOutcome:
        """Write what `step` says over the effect that stands.

        Idempotent: yes, the same words written twice read the same.

        Raises:
            Permanent: the effect no longer stands.
        """
        ...


@runtime_checkable
class StateConnector(DeliveryConnector, Protocol):
    """A system that shows how far a notification came elsewhere."""

    async def show_state(self, effect: StandingEffect, state: NotificationState) -> bool:
        """Show the state at what the effect made, and return whether that changed anything.

        Idempotent: yes. False, too, where the system has no way to show this state at this kind of effect.

        Raises:
            Permanent: the effect no longer stands.
        """
        ...


@runtime_checkable
class EngagementConnector(Connector, Protocol):
    """A system that tells what people made of a message."""

    async def engagement(self, tracking: EngagementTracking) -> EngagementResult:
        """Return reactions and replies of one message.

        Raises:
            Permanent: there is no such message.
        """
        ...
