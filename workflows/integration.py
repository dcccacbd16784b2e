"""An integration's whole life: one entity workflow from connecting to disconnecting."""

from __future__ import annotations

from contextlib import suppress

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from contracts.base import Contract
    from contracts.connect import IntegrationRecord, IntegrationRun, ScheduledSync
    from contracts.errors import ErrorDetail, ErrorKind, Owner
    from contracts.health import IntegrationKey
    from contracts.integration import (
        ConnectionAction,
        ConnectionActionKind,
        ConnectionProbe,
        ConnectionResult,
        CredentialRef,
        IntegrationConfiguration,
        IntegrationState,
        ProvisionResult,
        SynchronizationSchedule,
    )
    from contracts.names import ORCHESTRATION_QUEUE, WorkflowType, system_queue
    from contracts.sync import SyncPriority
    from workflows import policies
    from workflows.visibility import detail_of, failure, tag


@workflow.defn(name=WorkflowType.INTEGRATION)
class Integration:
    """Runs until disconnected; `connect` and `act` are Updates, `show` is a Query."""

    @workflow.init
    def __init__(self, integration: IntegrationRun) -> None:
        """Take the configuration the first client gave, or what the run before this one ended with."""
        self._configuration: IntegrationConfiguration = integration
        self._state = integration.state
        self._result = self._answer()
        self._busy = False
        self._finished = False

    @workflow.run
    async def run(self, integration: IntegrationRun) -> ConnectionResult:
        """Wait for updates until the integration is disconnected, or its first connection failed."""
        _refuse_secrets(integration)
        tag(
            organization_id=integration.organization_id,
            integration_id=integration.integration_id,
            platform=integration.platform,
            run_kind="integration",
            outcome=integration.state.value,
        )
        self._describe()
        while not self._finished:
            await workflow.wait_condition(
                lambda: self._finished or (workflow.info().is_continue_as_new_suggested() and not self._busy)
            )
            if not self._finished:
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(IntegrationRun(**{**dict(self._configuration), "state": self._state}))
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._result

    @workflow.query
    def show(self) -> ConnectionResult:
        """Return the integration as it is now."""
        return self._result

    @workflow.update
    async def connect(self, configuration: IntegrationConfiguration) -> ConnectionResult:
        """Take a configuration, test it, provision the vendor and start the schedules.

        A first connection that fails ends the workflow, so nothing half-connected stays behind;
        a failed reconnection keeps the previous configuration.
        """
        async with _Exclusive(self):
            before, was = self._configuration, self._state
            self._configuration, self._finished = configuration, False
            await self._record(IntegrationState.CONNECTING)
            try:
                probe = await self._probe()
                provisioned = await self._provision()
                await self._schedule(configuration.sync_schedule)
            except ActivityError as error:
                detail = detail_of(error)
                if was in {IntegrationState.CONNECTING, IntegrationState.DISCONNECTED}:
                    await self._call("connect.forget", self._key())
                    self._enter(IntegrationState.DISCONNECTED)
                    self._finished = True
                else:
                    self._configuration = before
                    await self._record(was)
                self._result = self._answer(error=detail)
                return self._result
            await self._record(IntegrationState.ACTIVE)
            self._result = self._answer(probe=probe, provisioned=provisioned)
            return self._result

    @connect.validator
    def _check_connect(self, configuration: IntegrationConfiguration) -> None:
        _refuse_secrets(configuration)

    @workflow.update
    async def act(self, action: ConnectionAction) -> ConnectionResult:
        """Test, provision, rotate, pause, resume or disconnect."""
        async with _Exclusive(self):
            try:
                self._result = await self._act(action)
            except ActivityError as error:
                self._result = self._answer(error=detail_of(error))
            return self._result

    @act.validator
    def _check_act(self, action: ConnectionAction) -> None:
        ref, mine = action.credential_ref, self._configuration
        if ref is not None and (ref.organization_id, ref.integration_id) != (mine.organization_id, mine.integration_id):
            raise failure(
                ErrorDetail(
                    kind=ErrorKind.INVALID_INPUT,
                    code="credential_of_another",
                    message="The new credential is stored for another integration.",
                    owner=Owner.TENANT,
                    action="Rotate with `wedsync integrations rotate FILE` or the HTTP API.",
                )
            )
        if self._finished:
            raise failure(
                ErrorDetail(
                    kind=ErrorKind.INVALID_INPUT,
                    code="integration_disconnected",
                    message=f"The integration is disconnected and cannot {action.action.value}.",
                    owner=Owner.TENANT,
                    action="Connect it again.",
                )
            )

    async def _act(self, action: ConnectionAction) -> ConnectionResult:
        if action.action is ConnectionActionKind.TEST:
            probe = await self._probe()
            if self._state is IntegrationState.RECONNECT_REQUIRED:
                await self._record(IntegrationState.ACTIVE)
            return self._answer(probe=probe)
        if action.action is ConnectionActionKind.PROVISION:
            return self._answer(provisioned=await self._provision())
        if action.credential_ref is not None:
            return await self._rotate(action.credential_ref)
        if action.action is ConnectionActionKind.PAUSE:
            await self._schedule(None)
            await self._record(IntegrationState.PAUSED)
            return self._answer()
        if action.action is ConnectionActionKind.RESUME:
            await self._schedule(self._configuration.sync_schedule)
            await self._record(IntegrationState.ACTIVE)
            return self._answer()
        await self._schedule(None)
        await self._call("connect.forget", self._key())
        self._enter(IntegrationState.DISCONNECTED)
        self._finished = True
        return self._answer()

    async def _rotate(self, ref: CredentialRef) -> ConnectionResult:
        """Prove the new credential, put it to use, and only then destroy the old one."""
        connection = self._configuration.connection_config
        rotated = self._configuration.model_copy(
            update={"connection_config": connection.model_copy(update={"credential_ref": ref})}
        )
        try:
            probe: ConnectionProbe = await workflow.execute_activity(
                "connect.verify",
                IntegrationRecord(configuration=rotated, state=self._state),
                result_type=ConnectionProbe,
                task_queue=system_queue(self._configuration.platform),
                priority=self._vendor_priority(),
                summary="Test the new credential",
                **policies.PROBE.options(),
            )
        except ActivityError:
            await self._call("connect.drop_credential", ref)
            raise
        before, self._configuration = self._configuration, rotated
        reconnected = self._state is IntegrationState.RECONNECT_REQUIRED
        try:
            await self._record(IntegrationState.ACTIVE if reconnected else self._state)
        except ActivityError:
            self._configuration = before
            raise
        if connection.credential_ref is not None and connection.credential_ref != ref:
            # The new one is in use: what cannot be dropped now is destroyed when the integration is disconnected.
            with suppress(ActivityError):
                await self._call("connect.drop_credential", connection.credential_ref)
        return self._answer(probe=probe)

    async def _probe(self) -> ConnectionProbe:
        probe: ConnectionProbe = await workflow.execute_activity(
            "connect.probe",
            self._key(),
            result_type=ConnectionProbe,
            task_queue=system_queue(self._configuration.platform),
            priority=self._vendor_priority(),
            summary="Test the connection",
            **policies.PROBE.options(),
        )
        return probe

    async def _provision(self) -> ProvisionResult:
        made: ProvisionResult = await workflow.execute_activity(
            "connect.provision",
            self._key(),
            result_type=ProvisionResult,
            task_queue=system_queue(self._configuration.platform),
            priority=self._vendor_priority(),
            summary="Create what is missing at the vendor",
            **policies.SETUP.options(),
        )
        return made

    async def _record(self, state: IntegrationState) -> None:
        await self._call("connect.record", IntegrationRecord(configuration=self._configuration, state=state))
        self._enter(state)

    async def _schedule(self, schedule: SynchronizationSchedule | None) -> None:
        await self._call("connect.schedule_sync", ScheduledSync(key=self._key(), schedule=schedule))

    async def _call(self, name: str, argument: Contract) -> None:
        await workflow.execute_activity(
            name,
            argument,
            task_queue=ORCHESTRATION_QUEUE,
            priority=policies.priority(SyncPriority.HIGH, self._configuration.organization_id),
            **policies.STORE.options(),
        )

    def _vendor_priority(self) -> Priority:
        mine = self._configuration
        return policies.connection_priority(SyncPriority.HIGH, mine.organization_id, mine.integration_id)

    def _enter(self, state: IntegrationState) -> None:
        self._state = state
        tag(outcome=state.value)
        self._describe()

    def _describe(self) -> None:
        workflow.set_current_details(
            f"**{self._configuration.platform}** `{self._configuration.integration_id}`: {self._state.value}"
        )

    def _key(self) -> IntegrationKey:
        return IntegrationKey(
            organization_id=self._configuration.organization_id,
            integration_id=self._configuration.integration_id,
            platform=self._configuration.platform,
            state=self._state,
        )

    def _answer(
        self,
        *,
        probe: ConnectionProbe | None = None,
        provisioned: ProvisionResult | None = None,
        error: ErrorDetail | None = None,
    ) -> ConnectionResult:
        return ConnectionResult(
            integration_id=self._configuration.integration_id,
            organization_id=self._configuration.organization_id,
            platform=self._configuration.platform,
            state=self._state,
            probe=probe,
            provisioned=provisioned,
            error=error,
            changed_at=workflow.now(),
        )


class _Exclusive:
    """Lets one update at a time change the integration."""

    def __init__(self, entity: Integration) -> None:
        self._entity = entity

    async def __aenter__(self) -> None:
        await workflow.wait_condition(lambda: not self._entity._busy)  # noqa: SLF001 - part of the entity
        self._entity._busy = True  # noqa: SLF001

    async def __aexit__(self, *_: object) -> None:
        self._entity._busy = False  # noqa: SLF001


def _refuse_secrets(configuration: IntegrationConfiguration) -> None:
    if configuration.connection_config.credential is not None:
        raise failure(
            ErrorDetail(
                kind=ErrorKind.INVALID_INPUT,
                code="credential_in_payload",
                message="The configuration carries a credential, which must not travel through Temporal.",
                owner=Owner.TENANT,
                action="Connect with `wedsync integrations connect FILE` or the HTTP API, then rotate the credential.",
            )
        )
