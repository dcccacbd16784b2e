"""The Protocols of the connector families."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from activities.ports.connection import Connection
from activities.ports.manifest import Manifest
from contracts.integration import ConnectionProbe, ProvisionResult


@runtime_checkable
class Connector(Protocol):
    """What every system offers. One instance serves many activities at once, until `aclose`."""

    manifest: ClassVar[Manifest]

    def __init__(self, connection: Connection) -> None: ...

    async def probe(self) -> ConnectionProbe:
        """Make one cheap authenticated call and say what the account offers.

        Raises:
            AuthExpired: the vendor refuses the credential.
            Transient: the vendor does not answer.
        """
        ...

    async def provision(self) -> ProvisionResult:
        """Create what syncs and deliveries need at the vendor.

        Idempotent: yes, existing things are left as they are.
        """
        ...

    async def aclose(self) -> None:
        """Release sessions and sockets."""
        ...
