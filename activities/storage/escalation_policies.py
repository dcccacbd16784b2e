"""Each organisation's escalation policies, sealed because they name people and their numbers."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Column, DateTime, LargeBinary, String, Table, select

from activities.security.keyring import MasterKeys
from activities.security.records import Sealer
from activities.storage.database import Database, metadata
from activities.storage.master_keys import refuse_retired
from contracts.escalation import EscalationPolicy

escalation_policies = Table(
    "escalation_policies",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("policy_id", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
)
EARLIER = "escalation-policies"
"""The purpose under which records without a key id would have been sealed."""


class EscalationPolicyStore:
    """Policies sealed under the organisation's key."""

    def __init__(self, database: Database, keys: MasterKeys) -> None:
        self._database = database
        self._sealer = Sealer(keys, EARLIER)

    async def put(self, policy: EscalationPolicy) -> None:
        """Replace a policy. Idempotent: yes."""
        key = {"organization_id": policy.organization_id, "policy_id": policy.policy_id}
        sealed = self._sealer.seal(policy.organization_id, policy.model_dump_json().encode(), place_of(**key))
        row = {"sealed": sealed, "changed_at": datetime.now(UTC)}
        statement = self._database.insert(escalation_policies).values(**key, **row)
        statement = statement.on_conflict_do_update(index_elements=list(key), set_=row)
        async with self._database.begin() as connection:
            await connection.execute(statement)
            await refuse_retired(self._database, connection, sealed)

    async def get(self, organization_id: str, policy_id: str) -> EscalationPolicy | None:
        """Return one policy of one organisation, None when it is not there."""
        found = await self._find(organization_id, policy_id)
        return found[0] if found else None

    async def of_organization(self, organization_id: str) -> list[EscalationPolicy]:
        """Return the policies of an organisation, by id."""
        return await self._find(organization_id)

    async def organizations(self) -> list[str]:
        """Return the organisations that have policies."""
        column = escalation_policies.c.organization_id
        async with self._database.begin() as connection:
            return list((await connection.execute(select(column).distinct().order_by(column))).scalars())

    async def _find(self, organization_id: str, policy_id: str | None = None) -> list[EscalationPolicy]:
        columns = escalation_policies.c
        statement = select(escalation_policies).where(columns.organization_id == organization_id)
        if policy_id is not None:
            statement = statement.where(columns.policy_id == policy_id)
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement.order_by(columns.policy_id))).all()
        opened = (
            self._sealer.open(organization_id, row.sealed, place_of(organization_id, row.policy_id)) for row in rows
        )
        return [EscalationPolicy.model_validate_json(plain) for plain in opened]


def place_of(organization_id: str, policy_id: str) -> str:
    """Return what a sealed policy is bound to: it opens nowhere else."""
    return f"escalation-policy|{organization_id}|{policy_id}"
