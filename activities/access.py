"""Open connectors for integrations: configuration and credential resolved at the last moment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import TypeVar

from pydantic import SecretStr

from activities import usage
from activities.connectors.registry import connector_class
from activities.ports.admission import UNLIMITED, Admission
from activities.ports.connection import Connection
from activities.ports.connector import Connector
from activities.ports.manifest import Manifest, RateLimit
from activities.ports.outbound import PUBLIC_ONLY, OutboundRules
from activities.ports.secrets import SecretStore
from activities.storage.connections import ConnectionStore, StoredConnection, unknown_integration
from activities.transport.outbound import vet
from contracts.errors import RECONNECT_REQUIRED, AuthExpired, IntegrationPaused, InvalidInput, Transient
from contracts.integration import IntegrationConfiguration, IntegrationState, require_tls_decision, tls_exception

C = TypeVar("C", bound=Connector)
_Open = tuple[object, Connector, Connection]
_log = logging.getLogger(__name__)

EndpointResolver = Callable[[str], Awaitable[str | None]]
"""Platform -> base URL of its emulator, None in production."""

AdmissionOf = Callable[[IntegrationConfiguration, str, RateLimit], Admission]
"""Configuration, base URL and the manifest's limit -> who says whether the vendor may be called."""


def unlimited(_configuration: IntegrationConfiguration, _base_url: str, _limit: RateLimit) -> Admission:
    """Return an admission that refuses nothing."""
    return UNLIMITED


class Access:
    """Hands out one shared connector instance per integration and credential version.

    Args:
        connections: the stored configurations.
        secrets: the credential store.
        endpoints: where the development stand-ins live.
        outbound: what the installation lets connectors reach.
        admission_of: gives every connection its limits.
    """

    def __init__(
        self,
        connections: ConnectionStore,
        secrets: SecretStore,
        endpoints: EndpointResolver,
        outbound: OutboundRules = PUBLIC_ONLY,
        admission_of: AdmissionOf = unlimited,
    ) -> None:
        self._connections = connections
        self._secrets = secrets
        self._endpoints = endpoints
        self._admission_of = admission_of
        self._outbound = outbound
        self._open: dict[tuple[str, str], _Open] = {}
        self._lock = asyncio.Lock()

    async def stored(self, organization_id: str, integration_id: str) -> StoredConnection:
        """Return the stored connection.

        Raises:
            InvalidInput: no such integration in this organisation.
        """
        found = await self._connections.get(organization_id, integration_id)
        if found is None:
            raise unknown_integration(integration_id)
        return found

    async def together(self, stored: StoredConnection, calls: int) -> AbstractAsyncContextManager[None]:
        """Return the admission of a few vendor requests at once, as `Connection.together` says."""
        _, _, connection = await self._opened(stored)
        return connection.together(calls)

    @staticmethod
    def manifest(platform: str) -> Manifest:
        """Return what the platform's connector declares.

        Raises:
            InvalidInput: no connector of that name.
        """
        return connector_class(platform).manifest

    async def configuration(self, organization_id: str, integration_id: str) -> IntegrationConfiguration:
        """Return the integration's configuration, refusing when it is paused or disconnected.

        Raises:
            InvalidInput: no such integration.
            IntegrationPaused: it refuses work in its present state.
        """
        stored = await self.stored(organization_id, integration_id)
        _refuse_when_paused(stored)
        return stored.configuration

    async def connector(self, organization_id: str, integration_id: str, protocol: type[C]) -> C:
        """Return an open connector of the integration that fulfils `protocol`.

        Raises:
            InvalidInput: no such integration, or its system cannot do what is asked.
            IntegrationPaused: it refuses work in its present state.
            AuthExpired: its credential is gone.
        """
        stored = await self.stored(organization_id, integration_id)
        _refuse_when_paused(stored)
        return await self.connector_of(stored, protocol)

    async def connector_of(self, stored: StoredConnection, protocol: type[C]) -> C:
        """Return an open connector of `stored` whatever its state; for tests of the connection."""
        usage.note(stored)
        _, connector, _ = await self._opened(stored)
        if not isinstance(connector, protocol):
            raise InvalidInput(
                "capability_missing",
                f"{connector.manifest.title} cannot do what this request asks of it.",
                action="Choose an integration of another kind for this target.",
            )
        return connector

    @asynccontextmanager
    async def briefly(self, stored: StoredConnection) -> AsyncIterator[Connector]:
        """Yield the integration's open connector, else one that is closed afterwards, whatever its state.

        A look at thousands of integrations leaves no session behind, and does not end one that a sync holds.

        Raises:
            AuthExpired: its credential is gone.
        """
        usage.note(stored)
        configuration = stored.configuration
        cached = self._open.get((configuration.organization_id, configuration.integration_id))
        if cached is not None and cached[0] == (stored.version, configuration.connection_config.credential_ref):
            yield cached[1]
            return
        connector = await self.aside(configuration)
        try:
            yield connector
        finally:
            await connector.aclose()

    async def granted_scopes(self, stored: StoredConnection) -> list[str]:
        """Return the scopes that the vendor named when it granted access; none where it named none."""
        ref = stored.configuration.connection_config.credential_ref
        credential = await self._secrets.get(ref) if ref else {}
        return credential["scope"].get_secret_value().split() if "scope" in credential else []

    async def aside(self, configuration: IntegrationConfiguration) -> Connector:
        """Return a connector of a configuration that is not in use; the caller closes it.

        Raises:
            AuthExpired: its credential is gone.
            InvalidInput: the outbound policy does not allow its address, or TLS 1.2 without a decision in force.
        """
        return connector_class(configuration.platform)(await self._connection(configuration))

    async def _opened(self, stored: StoredConnection) -> _Open:
        configuration = stored.configuration
        key = (configuration.organization_id, configuration.integration_id)
        version = (stored.version, configuration.connection_config.credential_ref)
        async with self._lock:
            cached = self._open.get(key)
            if cached and cached[0] == version:
                require_tls_decision(configuration)
                return cached
            try:
                connection = await self._connection(configuration)
            except AuthExpired:
                await self._refuse_when_rotated(stored)
                await self._refuse_while_exchanged(configuration)
                raise
            opened = (version, connector_class(configuration.platform)(connection), connection)
            self._open[key] = opened
        if cached:
            await cached[1].aclose()
        return opened

    async def _refuse_when_rotated(self, stored: StoredConnection) -> None:
        """Have the caller start over when the credential it was told of has just been replaced."""
        configuration = stored.configuration
        now = await self.stored(configuration.organization_id, configuration.integration_id)
        if now.version != stored.version:
            raise Transient(
                "credential_rotated",
                f"The credential of the integration {configuration.integration_id!r} was replaced at this moment.",
                action="Nothing: the next attempt takes the new one.",
            )

    async def _refuse_while_exchanged(self, configuration: IntegrationConfiguration) -> None:
        """Have the caller come again when a grant was stored whose token is not there yet."""
        ref, manifest = configuration.connection_config.credential_ref, self.manifest(configuration.platform)
        if manifest.oauth is not None and ref is not None and await self._secrets.get(ref):
            raise Transient(
                "token_awaited",
                f"The access that was granted to {manifest.title} is being exchanged for a token.",
                action="Nothing: the next attempt finds the token, or the connection parked.",
                system=manifest.system,
            )

    async def _connection(self, configuration: IntegrationConfiguration) -> Connection:
        config = configuration.connection_config
        manifest = self.manifest(configuration.platform)
        reached = await self.reach(configuration)
        credential = await self._secrets.get(config.credential_ref) if config.credential_ref else {}
        missing = [name for name in manifest.credential_fields if name not in credential]
        if missing:
            raise AuthExpired(
                "credential_missing",
                f"The credential for {manifest.title} lacks {', '.join(missing)}.",
                action="Connect the integration again with the missing values.",
                system=manifest.system,
            )
        return replace(reached, credential=credential)

    async def reach(
        self, configuration: IntegrationConfiguration, credential: Mapping[str, SecretStr] | None = None
    ) -> Connection:
        """Return where the integration's vendor is, with the credential given or with none.

        Raises:
            InvalidInput: the outbound policy does not allow its address, or TLS 1.2 without a decision in force.
        """
        require_tls_decision(configuration)
        if tls_exception(configuration):
            _log.warning(
                "integration %s of %s is opened with TLS 1.2, by an exception until %s",
                configuration.integration_id,
                configuration.organization_id,
                configuration.security_config.tls_exception_until,
            )
        config = configuration.connection_config
        manifest = self.manifest(configuration.platform)
        base_url = await self._base_url(configuration, manifest)
        return Connection(
            organization_id=configuration.organization_id,
            integration_id=configuration.integration_id,
            platform=configuration.platform,
            base_url=base_url,
            settings=config.settings,
            credential=credential or {},
            min_tls_version=configuration.security_config.min_tls_version,
            admission=self._admission_of(configuration, base_url, manifest.rate_limit),
            outbound=self._outbound,
        )

    async def _base_url(self, configuration: IntegrationConfiguration, manifest: Manifest) -> str:
        """Return the vetted base URL, nothing where the connector puts its address together from vetted settings."""
        config = configuration.connection_config
        emulated = None if config.base_url else await self._endpoints(configuration.platform)
        address = emulated or manifest.address_of(config.base_url, config.settings)
        vetted = vet(address, manifest, self._outbound).url if address else ""
        return vetted if emulated or config.base_url or not manifest.address else ""

    async def aclose(self) -> None:
        """Close every connector."""
        for _, connector, _ in self._open.values():
            await connector.aclose()
        self._open.clear()


def _refuse_when_paused(stored: StoredConnection) -> None:
    if not stored.state.refuses_work:
        return
    integration_id = stored.configuration.integration_id
    if stored.state is IntegrationState.RECONNECT_REQUIRED:
        raise AuthExpired(
            RECONNECT_REQUIRED,
            f"The vendor refuses the credential of the integration {integration_id!r}; its work waits.",
            action="Grant access again with `wedsync integrations authorize FILE`, or give a new one with `rotate`.",
        )
    action = (
        "Resume it with `wedsync integrations resume`."
        if stored.state is IntegrationState.PAUSED
        else "Connect it again with `wedsync integrations connect FILE`."
    )
    raise IntegrationPaused(
        f"integration_{stored.state.value}",
        f"The integration {integration_id!r} is {stored.state.value} and takes no work.",
        action=action,
    )
