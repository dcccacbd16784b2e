"""The escalation policies of organisations: kept, checked, rehearsed."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from activities.connectors.registry import connector_class
from activities.ports.manifest import Capability
from activities.security.keyring import MasterKeys
from activities.storage.connections import ConnectionStore
from activities.storage.database import Database
from activities.storage.escalation_policies import EscalationPolicyStore
from activities.transform.escalation import policy_unknown, targets_at
from activities.transform.escalation_check import Connected, problems
from contracts.emergency import EmergencyAlert, EscalationLevel
from contracts.errors import InvalidInput
from contracts.escalation import EscalationPolicy, PolicyCheck
from contracts.notification import SourceNotification
from starters.failures import translated
from workers.settings import Settings

_PEOPLE = frozenset({Capability.DELIVER, Capability.EMAIL, Capability.MESSAGE, Capability.CALL})


class PolicyDesk:
    """Keeps the escalation policies and says what is wrong with them.

    Args:
        database: the store.
        keys: what its rows are sealed with.
    """

    def __init__(self, database: Database, keys: MasterKeys) -> None:
        self._connections = ConnectionStore(database, keys)
        self._policies = EscalationPolicyStore(database, keys)

    async def organizations(self) -> list[str]:
        """Return the organisations that have policies or integrations."""
        with translated():
            return sorted({*await self._policies.organizations(), *await self._connections.organizations()})

    async def get(self, organization_id: str, policy_id: str) -> EscalationPolicy:
        """Return a policy.

        Raises:
            InvalidInput: there is no such policy in this organisation.
        """
        with translated():
            found = await self._policies.get(organization_id, policy_id)
        if found is None:
            raise policy_unknown(policy_id)
        return found

    async def all(self, organization_id: str) -> list[EscalationPolicy]:
        """Return the policies of an organisation, by id."""
        with translated():
            return await self._policies.of_organization(organization_id)

    async def put(self, policy: EscalationPolicy) -> EscalationPolicy:
        """Save a policy, in the place of the one of its id. Idempotent: yes.

        Raises:
            InvalidInput: something is wrong with it; all of it is named.
        """
        found = await self.check(policy)
        if found.problems:
            named = "; ".join(f"{one.where}: {one.sentence.removesuffix('.')}" for one in found.problems)
            raise InvalidInput(
                "policy_unsound",
                f"The escalation policy would not reach everybody: {named[:3_000]}.",
                action="Mend what is named and save it again; `wedsync emergency policy check FILE` looks first.",
                evidence={"codes": ", ".join(sorted({one.code for one in found.problems}))},
            )
        with translated():
            await self._policies.put(policy)
        return policy

    async def check(self, policy: EscalationPolicy) -> PolicyCheck:
        """Return everything that is wrong with a policy as the organisation's integrations are now."""
        with translated():
            stored = await self._connections.of_organization(policy.organization_id)
        integrations = {
            one.configuration.integration_id: Connected(
                platform=one.configuration.platform,
                works=not one.state.refuses_work,
                delivers=bool(connector_class(one.configuration.platform).manifest.capabilities & _PEOPLE),
            )
            for one in stored
        }
        return PolicyCheck(policy_id=policy.policy_id, problems=problems(policy, integrations)[:5_000])


def drill_of(policy: EscalationPolicy, pace: timedelta) -> EmergencyAlert:
    """Return the rehearsal of a policy over its real channels, with those who are on duty now.

    Args:
        policy: to rehearse.
        pace: from one level to the next, in the place of the time to acknowledge.
    """
    now = datetime.now(UTC)
    levels = [targets_at(policy, index, now) for index in range(len(policy.levels))]
    present = {target.system_id for targets in levels for target in targets}
    alert_id = f"drill-{uuid.uuid4().hex[:12]}"
    return EmergencyAlert(
        alert_id=alert_id,
        organization_id=policy.organization_id,
        notification=SourceNotification(
            notification_id=alert_id,
            type="emergency_drill",
            title="Emergency drill",
            message="This is a rehearsal. Answer to show that it has reached you.",
        ),
        escalation=[
            EscalationLevel(
                level=number,
                ack_within=pace,
                targets=[
                    one.model_copy(update={"failover": [name for name in one.failover if name in present]})
                    for one in targets
                ],
            )
            for number, targets in enumerate(levels, start=1)
        ],
        repeat_until_acknowledged=False,
        drill=True,
    )


@asynccontextmanager
async def open_policies(settings: Settings) -> AsyncIterator[PolicyDesk]:
    """Yield the policies on the configured store."""
    database = Database(settings.database_url)
    try:
        yield PolicyDesk(database, settings.load_master_keys())
    finally:
        await database.aclose()
