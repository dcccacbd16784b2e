"""The registry of emulated vendors, and the one application that serves them all."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from emulators.core import Emulator, State, build_app
from emulators.warehouses.launch import Launcher

if TYPE_CHECKING:
    from starlette.applications import Starlette

SYSTEMS = (
    "hubspot",
    "salesforce",
    "slack",
    "tave",
    "tableau",
    "wedsync",
    "smtp",
    "pagerduty",
    "twilio",
    "weather",
    "whatsapp",
    "caldav",
    "asana",
    "tripleseat",
    "square",
    "powerbi",
    "sap_analytics_cloud",
    "databricks",
)


def _module(system: str) -> ModuleType:
    name = f"emulators.{system}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        message = f"The emulator module {name} is missing; every system in emulators.server.SYSTEMS needs one."
        raise ModuleNotFoundError(message, name=name) from error


def open_state(data_dir: Path | None, settings: dict[str, Any] | None = None) -> State:
    """The state under `data_dir`, or in memory when there is none."""
    return State(None if data_dir is None else data_dir / "emulators.db", settings)


def build_emulators(state: State, systems: tuple[str, ...] = SYSTEMS) -> list[Emulator]:
    """One emulator per named system over a shared state.

    Raises:
        ModuleNotFoundError: A system has no module.
    """
    return [_module(system).build(state) for system in systems]


def build_all(
    data_dir: Path | None = None,
    *,
    snowflake_url: str | None = None,
    smtp_port: int = 0,
    host: str = "127.0.0.1",
    systems: tuple[str, ...] = SYSTEMS,
) -> Starlette:
    """The application with every system and the control API.

    Args:
        data_dir: Where the state lives; None keeps it in memory.
        snowflake_url: Root URL of the Snowflake stand-in, which runs in a process of its own.
        smtp_port: Port for the mail sink; 0 means any free port.
        host: Address that listeners other than HTTP bind.
        systems: The systems to serve.
    """
    state = open_state(data_dir, {"host": host, "smtp_port": smtp_port, "data_dir": data_dir})
    external = {"snowflake": snowflake_url} if snowflake_url else {}
    launcher = None if data_dir is None else Launcher(data_dir)
    return build_app(build_emulators(state, systems), external=external, launcher=launcher)
