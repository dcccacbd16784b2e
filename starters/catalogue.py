"""The JSON Schemas of every contract."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import TypeGuard

from pydantic import JsonValue

import contracts
from contracts.base import Contract


def contract_schemas() -> dict[str, JsonValue]:
    """Return contract name -> JSON Schema with wire names, every contract of the package."""
    found: dict[str, type[Contract]] = {}
    for module in pkgutil.iter_modules(contracts.__path__):
        loaded = importlib.import_module(f"{contracts.__name__}.{module.name}")
        found |= {name: one for name, one in vars(loaded).items() if _is_mine(one, loaded.__name__)}
    return {name: found[name].model_json_schema(by_alias=True) for name in sorted(found)}


def _is_mine(one: object, module: str) -> TypeGuard[type[Contract]]:
    return inspect.isclass(one) and issubclass(one, Contract) and one is not Contract and one.__module__ == module
