"""An integration's whole life: one entity workflow from connecting to disconnecting."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from contracts.connect import IntegrationRun
    from contracts.connection import ConnectionAction, ConnectionActionKind, ConnectionResult, Migration, MigrationPhase
    from contracts.health import HealthChange, state_after
    from contracts.integration import IntegrationConfiguration, IntegrationState
    from contracts.names import WorkflowType
    from contracts.tokens import RefusedCredential
    from workflows import integration_steps as steps
    from workflows.integration_account import Account
    from workflows.integration_migration import Move
    from workflows.integration_refusals import (
        configuration_of_another,
        credential_of_another,
        disconnected,
        migration_under_way,
        no_migration,
        reconnect_first,
        refuse_secrets,
    )
    from workflows.visibility import detail_of, failure, tag

_NEEDS_A_GOOD_CREDENTIAL = {
    ConnectionActionKind.RESUME,
    ConnectionActionKind.PROVISION,
    ConnectionActionKind.RECONFIGURE,
    ConnectionActionKind.MIGRATE,
}
_DECISIONS = {ConnectionActionKind.CONFIRM_MIGRATION, ConnectionActionKind.CANCEL_MIGRATION}
_MOVING = {MigrationPhase.BACKFILLING, MigrationPhase.VERIFYING, MigrationPhase.CUT_OVER}


@workflow.defn(name=WorkflowType.INTEGRATION)
class Integration:
    """Runs until disconnected; `connect` and `act` are Updates, `show` is a Query.

    It is the only one that asks a vendor for new tokens of this connection, and it asks one at a time.
    """

    @workflow.init
    def __init__(self, integration: IntegrationRun) -> None:
        """Take what the first client gave, or what the run before this one ended with."""
        self._account = Account(integration)
        self._result = self._account.answer()
        self._moving: asyncio.Task[None] | None = None
        self._busy = False
        self._finished = False

    @workflow.run
    async def run(self, integration: IntegrationRun) -> ConnectionResult:
        """Keep the token alive until the integration is disconnected, or its first connection failed."""
        refuse_secrets(integration)
        tag(
            organization_id=integration.organization_id,
            integration_id=integration.integration_id,
            platform=integration.platform,
            run_kind="integration",
            outcome=integration.state.value,
        )
        self._account.describe()
        while not self._finished:
            await self._rest()
            if self._finished:
                break
            if self._account.wants_token():
                await self._keep_token()
            elif self._may_continue():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(self._account.successor())
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._result

    @workflow.query
    def show(self) -> ConnectionResult:
        """Return the integration as it is now."""
        return self._result

    @workflow.signal
    def credential_refused(self, refused: RefusedCredential) -> None:
        """Learn that the vendor refused a credential during work."""
        self._account.token.refused(refused.ref)

    @workflow.update
    async def connect(self, configuration: IntegrationConfiguration) -> ConnectionResult:
        """Take a configuration, test it, provision the vendor and start the schedules.

        A first connection that fails ends the workflow, so nothing half-connected stays behind;
        a failed reconnection keeps the previous configuration.
        """
        async with _Exclusive(self):
            self._finished = False
            self._result = await self._account.connect(configuration)
            self._finished = self._account.state is IntegrationState.DISCONNECTED
            return self._result

    @connect.validator
    def _check_connect(self, configuration: IntegrationConfiguration) -> None:
        refuse_secrets(configuration)

    @workflow.signal
    async def health_changed(self, change: HealthChange) -> None:
        """Take on the word of the health checks while the integration works; the next round repeats what is lost."""
        async with _Exclusive(self):
            state = state_after(self._account.state, change.word)
            if state is not self._account.state:
                with suppress(ActivityError):
                    await self._account.record(state)
                    self._result = self._account.answer()

    @workflow.update
    async def act(self, action: ConnectionAction) -> ConnectionResult:
        """Test, provision, rotate, reconfigure, migrate, pause, resume or disconnect."""
        async with _Exclusive(self):
            try:
                self._result = await self._act(action)
            except ActivityError as error:
                self._result = self._account.answer(error=detail_of(error))
            self._finished = self._account.state is IntegrationState.DISCONNECTED
            return self._result

    @act.validator
    def _check_act(self, action: ConnectionAction) -> None:
        mine = self._account.configuration
        ref, wanted = action.credential_ref, action.configuration
        if ref is not None and (ref.organization_id, ref.integration_id) != (mine.organization_id, mine.integration_id):
            raise failure(credential_of_another())
        if wanted is not None:
            refuse_secrets(wanted)
            if _identity(wanted) != _identity(mine):
                raise failure(configuration_of_another())
        if self._finished:
            raise failure(disconnected(action.action.value))
        phase = self._account.migration.phase if self._account.migration else None
        if action.successor_id is not None and phase in _MOVING:
            raise failure(migration_under_way())
        if action.action in _DECISIONS and phase is not MigrationPhase.CUT_OVER:
            raise failure(no_migration())
        if self._account.state is IntegrationState.RECONNECT_REQUIRED and action.action in _NEEDS_A_GOOD_CREDENTIAL:
            raise failure(reconnect_first(action.action.value))

    async def _act(self, action: ConnectionAction) -> ConnectionResult:
        if action.credential_ref is not None:
            return await self._account.rotate(action.credential_ref)
        if action.configuration is not None:
            return await self._account.reconfigure(action.configuration)
        if action.successor_id is not None:
            return await self._migrate(action.successor_id)
        if action.action in _DECISIONS:
            return await self._decide(action.action)
        verbs = {
            ConnectionActionKind.TEST: self._account.test,
            ConnectionActionKind.PROVISION: self._account.provision,
            ConnectionActionKind.PAUSE: self._account.pause,
            ConnectionActionKind.RESUME: self._account.resume,
            ConnectionActionKind.DISCONNECT: self._account.disconnect,
        }
        return await verbs[action.action]()

    async def _rest(self) -> None:
        """Return when there is something to do: an end, a token to renew or to wait for, a history grown long."""
        token = self._account.token
        known = token.state

        def _is_called() -> bool:
            due = not self._busy and self._account.wants_token()
            return self._finished or due or self._may_continue() or token.state != known

        with suppress(TimeoutError):
            await workflow.wait_condition(
                _is_called,
                timeout=token.wait(workflow.now()),
                timeout_summary="Until the access token is renewed",
            )

    def _may_continue(self) -> bool:
        moving = self._moving is not None and not self._moving.done()
        return workflow.info().is_continue_as_new_suggested() and not self._busy and not moving

    async def _migrate(self, successor_id: str) -> ConnectionResult:
        """Begin a move, which goes on after this answer."""
        schedule = self._account.configuration.sync_schedule
        report_id = schedule.source_report_id if schedule else None
        plan = await steps.plan_migration(self._account.key, successor_id, report_id)
        move = Move(self._account.configuration.organization_id, plan, self._note_migration)
        self._account.migration = move.migration
        self._moving = asyncio.create_task(self._move(move))
        return self._account.answer()

    async def _move(self, move: Move) -> None:
        await move.carry_out()
        async with _Exclusive(self):
            if move.migration.phase is MigrationPhase.VERIFYING:
                try:
                    await self._account.hand_over()
                    ended: dict[str, object] = {"phase": MigrationPhase.CUT_OVER}
                except ActivityError as error:
                    ended = {"phase": MigrationPhase.FAILED, "error": detail_of(error)}
                self._note_migration(move.migration.model_copy(update=ended))

    def _note_migration(self, migration: Migration) -> None:
        self._account.migration = migration
        self._result = self._account.answer()
        self._account.describe()

    async def _decide(self, action: ConnectionActionKind) -> ConnectionResult:
        """Confirm a move, which ends the old integration, or cancel it, which gives the work back to it."""
        confirmed = action is ConnectionActionKind.CONFIRM_MIGRATION
        phase = MigrationPhase.CONFIRMED if confirmed else MigrationPhase.CANCELLED
        await (self._account.disconnect() if confirmed else self._account.resume())
        if self._account.migration is not None:
            self._account.migration = self._account.migration.model_copy(update={"phase": phase})
        return self._account.answer()

    async def _keep_token(self) -> None:
        async with _Exclusive(self):
            try:
                parked = await self._account.keep_token()
            except ActivityError:
                # Our own store is away: the connection is looked at again when it is back.
                parked = None
                self._account.token.postponed(workflow.now())
            self._result = parked or self._account.answer()


class _Exclusive:
    """Lets one update at a time change the integration."""

    def __init__(self, entity: Integration) -> None:
        self._entity = entity

    async def __aenter__(self) -> None:
        await workflow.wait_condition(lambda: not self._entity._busy)  # noqa: SLF001 - part of the entity
        self._entity._busy = True  # noqa: SLF001

    async def __aexit__(self, *_: object) -> None:
        self._entity._busy = False  # noqa: SLF001


def _identity(configuration: IntegrationConfiguration) -> tuple[str, str, str]:
    return configuration.organization_id, configuration.integration_id, configuration.platform
