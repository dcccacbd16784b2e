"""Bring a HubSpot account to what the schema asks for: look first, add what is missing, change nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from activities.connectors.crm.hubspot_api import HubSpotApi, Json
from activities.connectors.crm.hubspot_schema import (
    CUSTOM_OBJECTS,
    STANDARD_OBJECTS,
    ObjectSpec,
    PropertySpec,
    StandardObjectSpec,
    option,
)
from contracts.errors import InvalidInput, Permanent
from contracts.integration import ProvisionResult

MOST_CALLS = (
    1
    + sum(2 + len(standard.groups) + len(standard.properties) for standard in STANDARD_OBJECTS)
    + sum(1 + len(custom.properties) for custom in CUSTOM_OBJECTS.values())
)
"""Calls of a provisioning of an account that has everything but our properties."""


class Provisioner:
    """One provisioning of one account.

    Idempotent: yes. A conflict (409) means that somebody else created the same thing meanwhile, and counts as existing.

    Args:
        api: the account.

    Source: https://developers.hubspot.com/docs/api-reference/crm-schemas-v3/guide,
        https://developers.hubspot.com/docs/api-reference/crm-properties-v3/guide (v3).
    """

    def __init__(self, api: HubSpotApi) -> None:
        self._api = api
        self._created: list[str] = []
        self._existing: list[str] = []

    async def run(self) -> ProvisionResult:
        """Return what was created and what stood already.

        Raises:
            InvalidInput: `property_not_unique`, a property of our name exists and its values are not unique.
            Permanent: `missing_permission`, the token lacks a scope or the account's plan has no custom objects.
        """
        for standard in STANDARD_OBJECTS:
            await self._standard_object(standard)
        schemas = (await self._api.call("schemas.list", "schemas.get_all", writes=False)).listed("results")
        held = {str(schema.get("name")): schema for schema in schemas}
        for custom in CUSTOM_OBJECTS.values():
            await self._custom_object(custom, held.get(custom.name))
        return ProvisionResult(created=self._created, existing=self._existing)

    async def _standard_object(self, standard: StandardObjectSpec) -> None:
        name = standard.name
        groups = await self._api.call(f"{name}.groups.list", "groups.get_all", name, writes=False)
        held = {str(group.get("name")) for group in groups.listed("results")}
        for group, label in standard.groups.items():
            body: Json = {"name": group, "label": label}
            await self._ensure(f"{name}.group:{group}", "groups.create", name, body, exists=group in held)
        properties = await self._api.call(f"{name}.properties.list", "properties.get_all", name, writes=False)
        await self._properties(name, name, standard.properties, properties.listed("results"), group="")

    async def _custom_object(self, custom: ObjectSpec, held: Json | None) -> None:
        if held is None:
            await self._ensure(custom.name, "schemas.create", None, custom.definition(), exists=False)
            return
        self._existing.append(custom.name)
        address, properties = object_type_id(held), held.get("properties") or []
        groups = [str(item["groupName"]) for item in properties if item.get("name") == custom.display_property]
        group = groups[0] if groups else f"{custom.name}_information"
        await self._properties(custom.name, address, custom.properties, properties, group=group)

    async def _properties(
        self, name: str, address: str, wanted: Iterable[PropertySpec], held: Iterable[Json], *, group: str
    ) -> None:
        by_name = {str(item.get("name")): item for item in held}
        for spec in wanted:
            label, found = f"{name}.{spec.name}", by_name.get(spec.name)
            if found is not None:
                _require_unique(label, spec, found)
                if await self._options(label, address, spec, found):
                    continue
            body = spec.definition(group)
            await self._ensure(label, "properties.create", address, body, exists=found is not None)

    async def _options(self, label: str, address: str, spec: PropertySpec, found: Json) -> bool:
        held = [item for item in found.get("options") or [] if isinstance(item, dict)]
        values = {str(item.get("value")) for item in held}
        missing = [value for value in spec.options if value not in values]
        if not missing:
            return False
        kept: list[Json] = [
            {"hidden": False, **{name: item[name] for name in _OPTION_FIELDS if item.get(name) is not None}}
            for item in held
        ]
        added = [option(value, len(kept) + place) for place, value in enumerate(missing)]
        operation = f"{label}.options.add"
        await self._api.call(operation, "properties.update", address, spec.name, {"options": kept + added}, writes=True)
        self._created += [f"{label}={value}" for value in missing]
        return True

    async def _ensure(self, label: str, endpoint: str, address: str | None, body: Json, *, exists: bool) -> None:
        if not exists:
            try:
                arguments = (body,) if address is None else (address, body)
                await self._api.call(f"{label}.create", endpoint, *arguments, writes=True)
            except Permanent as refused:
                if refused.detail.evidence.get("status") != HTTPStatus.CONFLICT:
                    raise
                exists = True
        (self._existing if exists else self._created).append(label)


_OPTION_FIELDS = ("label", "value", "description", "displayOrder", "hidden")


def object_type_id(schema: Mapping[str, object]) -> str:
    """Return the name by which every endpoint knows a custom object, such as `2-1234567`."""
    return str(schema.get("objectTypeId") or schema.get("fullyQualifiedName") or schema.get("name"))


def _require_unique(label: str, spec: PropertySpec, found: Mapping[str, object]) -> None:
    if spec.unique and not found.get("hasUniqueValue"):
        raise InvalidInput(
            "property_not_unique",
            f"The HubSpot property {label} exists, but its values are not unique.",
            action="Rename or delete that property in HubSpot, then connect the integration again.",
            system="hubspot",
            operation="provision",
            evidence={"property": label},
        )
