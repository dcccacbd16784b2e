"""What the `Integration` workflow knows of its account."""

from __future__ import annotations

from contextlib import suppress

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from contracts.alerts import Alert, AlertKind, Severity
    from contracts.connect import IntegrationRun
    from contracts.connection import ConnectionResult
    from contracts.errors import CREDENTIAL_REFUSED, ErrorDetail, ErrorKind
    from contracts.health import IntegrationKey
    from contracts.integration import (
        ConnectionProbe,
        CredentialRef,
        IntegrationConfiguration,
        IntegrationState,
        ProvisionResult,
        tls_exception,
    )
    from contracts.tokens import ObtainedToken
    from workflows import integration_steps as steps
    from workflows.alerts import tell
    from workflows.integration_refusals import fresh_token_refused
    from workflows.token_life import TokenLife
    from workflows.visibility import detail_of, tag

_TOKENS = "tokens"
_WAKES = "wake-waiting-runs"
_DROPS = "drop-after-reconnecting"
_UNCONNECTED = {IntegrationState.CONNECTING, IntegrationState.DISCONNECTED}


class Account:
    """Configuration, state and token of an integration, and the steps that change them.

    Args:
        integration: what the first client gave, or the run before this one ended with.
    """

    def __init__(self, integration: IntegrationRun) -> None:
        self.configuration: IntegrationConfiguration = integration
        self.state = integration.state
        self.token = TokenLife(integration.token)
        self.probe = integration.probe
        self.connected_at = integration.connected_at
        self.trouble = integration.trouble
        self.migration = integration.migration

    def successor(self) -> IntegrationRun:
        """Return the input of the run that continues this one."""
        return IntegrationRun(
            **{
                **dict(self.configuration),
                "state": self.state,
                "token": self.token.state,
                "probe": self.probe,
                "connected_at": self.connected_at,
                "trouble": self.trouble,
                "migration": self.migration,
            }
        )

    @property
    def key(self) -> IntegrationKey:
        """The opaque facts."""
        return steps.key_of(self.configuration, self.state)

    @property
    def credential(self) -> CredentialRef | None:
        """The credential in use."""
        return self.configuration.connection_config.credential_ref

    async def connect(self, configuration: IntegrationConfiguration) -> ConnectionResult:
        """Take a configuration over once the vendor accepts it; keep the former one otherwise."""
        before, was = self.configuration, self.state
        self.configuration = configuration
        await self.record(IntegrationState.CONNECTING)
        try:
            if workflow.patched(_TOKENS):
                await self._obtain(renew=False)
            probe = await steps.probe(self.key)
            provisioned = await steps.provision(self.key)
            await steps.schedule_sync(self.key, configuration.sync_schedule)
        except ActivityError as error:
            if was in _UNCONNECTED:
                await self.forget()
            else:
                await self._fall_back(before, was)
            return self.answer(error=detail_of(error))
        await self._stands(was, before.connection_config.credential_ref)
        return self.answer(probe=probe, provisioned=provisioned)

    async def test(self) -> ConnectionResult:
        """Test the connection, with a renewed token where the vendor refuses the one in use."""
        try:
            probe = await steps.probe(self.key)
        except ActivityError as error:
            detail = detail_of(error)
            if detail.kind is not ErrorKind.AUTH_EXPIRED or not workflow.patched(_TOKENS):
                raise
            if not await self._renewed_after(detail):
                return self.answer(error=self.trouble)
            probe = await steps.probe(self.key)
        if self.state is IntegrationState.RECONNECT_REQUIRED:
            await self._take_up(self.state)
        return self.answer(probe=probe)

    async def rotate(self, ref: CredentialRef) -> ConnectionResult:
        """Prove the new credential, put it to use, and only then destroy the old one."""
        old, was, before = self.credential, self.state, self.configuration
        token = ObtainedToken(ref=ref)
        try:
            if workflow.patched(_TOKENS):
                token = await steps.obtain_token(self.key, ref, renew=False)
            rotated = self._with_credential(token.ref)
            probe = await steps.verify(self.key, rotated)
        except ActivityError:
            await steps.drop_credential(ref)
            if token.ref != ref:
                await self._drop(token.ref)
            raise
        self.configuration = rotated
        try:
            await self._take_up(was)
        except ActivityError:
            self.configuration = before
            raise
        self.token.obtained(token, workflow.now(), workflow.random().random())
        await self._drop(old)
        await self._drop(ref)
        return self.answer(probe=probe)

    async def reconfigure(self, configuration: IntegrationConfiguration) -> ConnectionResult:
        """Take over everything but the credential, once the vendor accepts it."""
        connection = configuration.connection_config.model_copy(update={"credential_ref": self.credential})
        wanted = configuration.model_copy(update={"connection_config": connection})
        probe = await steps.verify(self.key, wanted)
        before, self.configuration = self.configuration, wanted
        try:
            await self.record(self.state)
            provisioned = await steps.provision(self.key)
            if not self.state.refuses_work:
                await steps.schedule_sync(self.key, wanted.sync_schedule)
        except ActivityError:
            self.configuration = before
            with suppress(ActivityError):
                await self.record(self.state)
            raise
        return self.answer(probe=probe, provisioned=provisioned)

    async def provision(self) -> ConnectionResult:
        """Create what is missing at the vendor."""
        return self.answer(provisioned=await steps.provision(self.key))

    async def pause(self) -> ConnectionResult:
        """Take no work until resumed."""
        await steps.schedule_sync(self.key, None)
        await self.record(IntegrationState.PAUSED)
        return self.answer()

    async def resume(self) -> ConnectionResult:
        """Take work again."""
        await steps.schedule_sync(self.key, self.configuration.sync_schedule)
        await self.record(IntegrationState.ACTIVE)
        return self.answer()

    async def disconnect(self) -> ConnectionResult:
        """End the schedules and destroy the credentials."""
        await steps.schedule_sync(self.key, None)
        await self.forget()
        return self.answer()

    async def hand_over(self) -> None:
        """Leave the work to the successor; everything is kept until somebody confirms."""
        await steps.schedule_sync(self.key, None)
        await self.record(IntegrationState.PAUSED)

    async def forget(self) -> None:
        """Destroy the credentials."""
        await steps.forget(self.key)
        self.token.ended()
        self.enter(IntegrationState.DISCONNECTED)

    def wants_token(self) -> bool:
        """Return whether the token in use is to be renewed, because of its age or because the vendor refuses it."""
        if self.state is IntegrationState.RECONNECT_REQUIRED:
            return False
        return self.token.is_due(workflow.now()) or self.token.refuses(self.credential)

    async def keep_token(self) -> ConnectionResult | None:
        """Renew the token where it is needed; return the integration when it had to be parked."""
        if not self.wants_token():
            return None
        if self.token.refuses(self.credential) and self.token.is_hopeless(workflow.now()):
            return await self._doubt(fresh_token_refused(self.configuration.platform))
        try:
            await self._obtain(renew=True)
        except ActivityError as error:
            detail = detail_of(error)
            if detail.kind is not ErrorKind.AUTH_EXPIRED:
                self.token.postponed(workflow.now())
                return None
            return await (self._doubt(detail) if detail.code == CREDENTIAL_REFUSED else self._park(detail))
        return None

    async def _doubt(self, detail: ErrorDetail) -> ConnectionResult | None:
        """Park the connection, unless a test shows that the vendor accepts its credential after all."""
        try:
            await steps.probe(self.key)
        except ActivityError as error:
            if detail_of(error).kind is ErrorKind.AUTH_EXPIRED:
                return await self._park(detail)
            self.token.postponed(workflow.now())
            return None
        if self.credential is not None:
            await steps.settle_refusal(self.credential)
        self.token.accepted()
        return None

    async def record(self, state: IntegrationState) -> None:
        """Publish configuration and state to the activities, and to whoever watches."""
        await steps.record(self.configuration, state)
        self.enter(state)

    def enter(self, state: IntegrationState) -> None:
        """Show the state."""
        self.state = state
        tag(outcome=state.value)
        self.describe()

    def describe(self) -> None:
        """Show operators where the integration stands."""
        lines = [f"**{self.configuration.platform}** `{self.configuration.integration_id}`: {self.state.value}"]
        if self.token.expires_at:
            lines.append(f"- token until {self.token.expires_at:%Y-%m-%d %H:%M:%S}Z")
        if self.migration:
            lines.append(f"- migration to `{self.migration.successor_id}`: {self.migration.phase.value}")
        if self.trouble:
            lines.append(f"- {self.trouble.sentence()}")
        workflow.set_current_details("\n".join(lines))

    def answer(
        self,
        *,
        probe: ConnectionProbe | None = None,
        provisioned: ProvisionResult | None = None,
        error: ErrorDetail | None = None,
    ) -> ConnectionResult:
        """Return the integration with what an action found."""
        self.probe = probe or self.probe
        return ConnectionResult(
            integration_id=self.configuration.integration_id,
            organization_id=self.configuration.organization_id,
            platform=self.configuration.platform,
            state=self.state,
            probe=self.probe,
            provisioned=provisioned,
            error=error or self.trouble,
            credential_expires_at=self.token.expires_at,
            migration=self.migration,
            tls_exception=tls_exception(self.configuration) or "",
            connected_at=self.connected_at,
            changed_at=workflow.now(),
        )

    def _with_credential(self, ref: CredentialRef) -> IntegrationConfiguration:
        connection = self.configuration.connection_config.model_copy(update={"credential_ref": ref})
        return self.configuration.model_copy(update={"connection_config": connection})

    async def _obtain(self, *, renew: bool) -> None:
        if self.credential is None:
            return
        token = await steps.obtain_token(self.key, self.credential, renew=renew)
        self.configuration = self._with_credential(token.ref)
        self.token.obtained(token, workflow.now(), workflow.random().random())
        self.describe()

    async def _renewed_after(self, detail: ErrorDetail) -> bool:
        """Return whether the token was renewed; the connection is parked where it could not be."""
        if self.credential is None:
            await self._park(detail)
            return False
        self.token.refused(self.credential)
        return await self.keep_token() is None

    async def _park(self, detail: ErrorDetail) -> ConnectionResult:
        """Let the work wait until the tenant has connected again."""
        self.trouble = detail
        await steps.schedule_sync(self.key, None)
        await self.record(IntegrationState.RECONNECT_REQUIRED)
        self.token.ended()
        await tell(
            Alert(
                organization_id=self.configuration.organization_id,
                kind=AlertKind.RECONNECT_REQUIRED,
                severity=Severity.ERROR,
                since=workflow.now(),
                integration_ids=[self.configuration.integration_id],
                sentence=detail.message,
                action=detail.action,
            )
        )
        return self.answer(error=detail)

    async def _stands(self, was: IntegrationState, old: CredentialRef | None) -> None:
        """Take work after a vendor accepted the configuration."""
        self.connected_at = self.connected_at or workflow.now()
        await self._take_up(IntegrationState.RECONNECT_REQUIRED if was.refuses_work else IntegrationState.ACTIVE)
        if workflow.patched(_DROPS):
            await self._drop(old)

    async def _take_up(self, was: IntegrationState) -> None:
        """Go on in the state that was, or wake the runs that waited for a parked connection."""
        self.trouble = None
        if was is not IntegrationState.RECONNECT_REQUIRED:
            await self.record(was)
            return
        await self.record(IntegrationState.ACTIVE)
        if workflow.patched(_WAKES):
            await steps.schedule_sync(self.key, self.configuration.sync_schedule)
            await steps.wake(self.key)

    async def _fall_back(self, before: IntegrationConfiguration, was: IntegrationState) -> None:
        refused, self.configuration = self.credential, before
        await self.record(was)
        if workflow.patched(_DROPS):
            await self._drop(refused)

    async def _drop(self, ref: CredentialRef | None) -> None:
        """Destroy a credential that is not in use; what cannot be dropped now is destroyed with the integration."""
        if ref is not None and ref != self.credential:
            with suppress(ActivityError):
                await steps.drop_credential(ref)
