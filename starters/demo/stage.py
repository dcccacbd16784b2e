"""What the scenarios of the demo play on."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.integration import IntegrationConfiguration
from starters.client import WedSync
from starters.demo.vendors import Vendors
from workers.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
ORGANIZATION = "lumen-studios"


@dataclass(frozen=True)
class Check:
    """One thing expected of a vendor, and what was found there."""

    name: str
    expected: object
    found: object

    @property
    def holds(self) -> bool:
        """Whether both are equal."""
        return self.expected == self.found


@dataclass(frozen=True)
class Stage:
    """What a scenario plays on."""

    wedsync: WedSync
    vendors: Vendors
    settings: Settings
    scratch: Path


Scenario = Callable[[Stage], Awaitable[list[Check]]]


def integration(platform: str, integration_id: str, **connection: Any) -> IntegrationConfiguration:
    """Return a configuration as a tenant would write it."""
    return IntegrationConfiguration.model_validate(
        {
            "integrationId": integration_id,
            "organizationId": ORGANIZATION,
            "platform": platform,
            "connectionConfig": connection,
        }
    )


def example(name: str) -> Any:
    """Return the document of that name in `examples/`."""
    return json.loads((EXAMPLES / f"{name}.json").read_text())
