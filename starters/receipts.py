"""What vendors tell of single messages they took: delivered, or not, and who has to know."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.storage.delivery_receipts import DeliveryReceiptStore
from contracts.effects import StandingEffect
from contracts.errors import ErrorDetail
from contracts.names import emergency_workflow_id
from contracts.undelivered import UndeliveredEffect
from starters.failures import translated

_log = logging.getLogger(__name__)


class Receipts:
    """Keeps receipts, and has something done about messages that were not delivered.

    Args:
        client: from the one factory.
        store: of what was told.
        reroute: starts, or joins, the run that sees to an undelivered effect.
    """

    def __init__(
        self, client: Client, store: DeliveryReceiptStore, reroute: Callable[[UndeliveredEffect], Awaitable[object]]
    ) -> None:
        self._client = client
        self._store = store
        self._reroute = reroute

    async def delivered(self, effect: StandingEffect, at: datetime) -> None:
        """Note that a message arrived. Idempotent: yes."""
        with translated():
            await self._store.delivered(effect, at)

    async def not_delivered(self, effect: StandingEffect, error: ErrorDetail, at: datetime) -> None:
        """Note that a message did not arrive, and let whoever answers for it act.

        Idempotent: yes; a receipt that comes again begins what the first one did not live to begin.

        Raises:
            Transient: a part of the installation is away; vendors send again.
        """
        _log.warning(
            "%s did not deliver the effect %s of %s: %s",
            effect.system,
            effect.effect_id,
            effect.organization_id,
            error.code,
        )
        with translated():
            stays = await self._store.undelivered(effect, error.code, at)
        if not stays:
            return
        told = UndeliveredEffect(effect=effect, error=error, told_at=at)
        if effect.workflow_id.startswith(emergency_workflow_id(effect.organization_id, "")):
            await self._tell_emergency(told)
        else:
            await self._reroute(told)

    async def _tell_emergency(self, told: UndeliveredEffect) -> None:
        handle = self._client.get_workflow_handle(told.effect.workflow_id)
        with translated():
            try:
                await handle.signal("not_delivered", told)
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
