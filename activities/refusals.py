"""Credentials that a vendor refuses during work: the connection's keeper is told, and the work waits for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from temporalio import activity
from temporalio.service import RPCError, RPCStatusCode

from activities.storage.connections import ConnectionStore, Refusal, StoredConnection
from contracts import names
from contracts.errors import RECONNECT_REQUIRED, AuthExpired, Owner, Transient, WedSyncError
from contracts.integration import IntegrationState
from contracts.tokens import RefusedCredential

TELL_AGAIN = timedelta(minutes=2)
"""A keeper that has done nothing about a refusal for so long was not reached."""
RENEWAL_S = 2.0
_AT_WORK = {IntegrationState.ACTIVE, IntegrationState.DEGRADED, IntegrationState.UNHEALTHY}
_OF_THE_KEEPER = ("connect.", "tokens.")


class Refusals:
    """Watches for refused credentials; every worker may see the same refusal, and the keeper hears of it once.

    Args:
        connections: where a refusal is noted.
    """

    def __init__(self, connections: ConnectionStore) -> None:
        self._connections = connections

    async def ended(self, connection: StoredConnection, error: WedSyncError | None) -> WedSyncError | None:
        """Tell the keeper of a refused credential; the work is repeated with what the keeper obtains.

        Where the keeper found that the vendor accepts the credential, the refusal is the work's own and stands.
        """
        ref = connection.configuration.connection_config.credential_ref
        if not isinstance(error, AuthExpired) or error.detail.code == RECONNECT_REQUIRED or ref is None:
            return None
        if connection.state not in _AT_WORK or activity.info().activity_type.startswith(_OF_THE_KEEPER):
            return None
        refusal = await self._connections.note_refusal(ref, datetime.now(UTC), TELL_AGAIN)
        if refusal is Refusal.STANDS:
            return None
        if refusal is Refusal.NEW:
            keeper = names.integration_workflow_id(ref.organization_id, ref.integration_id)
            try:
                handle = activity.client().get_workflow_handle(keeper)
                await handle.signal("credential_refused", RefusedCredential(ref=ref))
            except RPCError as missing:
                if missing.status is RPCStatusCode.NOT_FOUND:
                    return None
                raise
        return Transient(
            "credential_renewing",
            f"{connection.configuration.platform} refuses the credential in use; it is being renewed.",
            owner=Owner.NOBODY,
            system=error.detail.system,
            operation=error.detail.operation,
            retry_after_s=RENEWAL_S,
        )
