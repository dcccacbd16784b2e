"""Where each organisation's alerts go, sealed because the recipients are people."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Column, DateTime, LargeBinary, String, Table, select

from activities.security.keyring import MasterKeys
from activities.security.records import Sealer
from activities.storage.database import Database, metadata
from activities.storage.master_keys import refuse_retired
from contracts.alerts import AlertRoutes

alert_routes = Table(
    "alert_routes",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
)
EARLIER = "alert-routes"
"""The purpose under which records without a key id would have been sealed."""


class AlertRouteStore:
    """Routes sealed under the organisation's key."""

    def __init__(self, database: Database, keys: MasterKeys) -> None:
        self._database = database
        self._sealer = Sealer(keys, EARLIER)

    async def put(self, routes: AlertRoutes) -> None:
        """Replace an organisation's routes. Idempotent: yes."""
        owner = routes.organization_id
        sealed = self._sealer.seal(owner, routes.model_dump_json().encode(), place_of(owner))
        row = {"sealed": sealed, "changed_at": datetime.now(UTC)}
        statement = self._database.insert(alert_routes).values(organization_id=owner, **row)
        statement = statement.on_conflict_do_update(index_elements=["organization_id"], set_=row)
        async with self._database.begin() as connection:
            await connection.execute(statement)
            await refuse_retired(self._database, connection, sealed)

    async def get(self, organization_id: str) -> AlertRoutes:
        """Return an organisation's routes, none where it never set any."""
        statement = select(alert_routes.c.sealed).where(alert_routes.c.organization_id == organization_id)
        async with self._database.begin() as connection:
            sealed = (await connection.execute(statement)).scalar_one_or_none()
        if sealed is None:
            return AlertRoutes(organization_id=organization_id)
        plain = self._sealer.open(organization_id, sealed, place_of(organization_id))
        return AlertRoutes.model_validate_json(plain)


def place_of(organization_id: str) -> str:
    """Return what sealed routes are bound to: they open nowhere else."""
    return f"alert-routes|{organization_id}"
