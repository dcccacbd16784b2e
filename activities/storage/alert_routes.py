"""Where each organisation's alerts go, sealed because the recipients are people."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Column, DateTime, LargeBinary, String, Table, select

from activities.security.envelope import MasterKey, seal, unseal
from activities.storage.database import Database, metadata
from contracts.alerts import AlertRoutes

alert_routes = Table(
    "alert_routes",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
)


class AlertRouteStore:
    """Routes sealed under the organisation's key."""

    def __init__(self, database: Database, key: MasterKey) -> None:
        self._database = database
        self._key = key

    async def put(self, routes: AlertRoutes) -> None:
        """Replace an organisation's routes. Idempotent: yes."""
        owner = routes.organization_id
        sealed = seal(self._sealing_key(owner), routes.model_dump_json().encode(), _place(owner))
        row = {"sealed": sealed, "changed_at": datetime.now(UTC)}
        statement = self._database.insert(alert_routes).values(organization_id=owner, **row)
        statement = statement.on_conflict_do_update(index_elements=["organization_id"], set_=row)
        async with self._database.begin() as connection:
            await connection.execute(statement)

    async def get(self, organization_id: str) -> AlertRoutes:
        """Return an organisation's routes, none where it never set any."""
        statement = select(alert_routes.c.sealed).where(alert_routes.c.organization_id == organization_id)
        async with self._database.begin() as connection:
            sealed = (await connection.execute(statement)).scalar_one_or_none()
        if sealed is None:
            return AlertRoutes(organization_id=organization_id)
        plain = unseal(self._sealing_key(organization_id), sealed, _place(organization_id))
        return AlertRoutes.model_validate_json(plain)

    def _sealing_key(self, organization_id: str) -> bytes:
        return self._key.derive(f"alert-routes/{organization_id}")


def _place(organization_id: str) -> str:
    return f"alert-routes|{organization_id}"
