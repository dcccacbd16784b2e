"""What WedSync needs to exist in a HubSpot account: property groups, properties and custom objects, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from pydantic import JsonValue

RECORD_ID_PROPERTY = "wedsync_id"
"""Unique property of our custom objects: the record's id at the source."""
EFFECT_ID_PROPERTY = "wedsync_effect_id"
"""Unique property of notes and tasks: the id of the effect that created them."""
STATE_PROPERTY = "wedsync_state"
"""Property of notes and tasks: how far their notification came elsewhere."""
ASSOCIATION_TARGETS: Mapping[str, str] = MappingProxyType(
    {"association_contact_id": "contacts", "association_company_id": "companies"}
)
"""Mapping targets that name another record instead of a property -> that record's object type."""


class PropertyType(StrEnum):
    """HubSpot's property types that have a format of their own."""

    STRING = "string"
    NUMBER = "number"
    DATE = "date"
    DATETIME = "datetime"
    ENUMERATION = "enumeration"
    BOOL = "bool"


_FIELD_TYPES = {
    PropertyType.STRING: "text",
    PropertyType.NUMBER: "number",
    PropertyType.DATE: "date",
    PropertyType.DATETIME: "date",
    PropertyType.ENUMERATION: "select",
    PropertyType.BOOL: "booleancheckbox",
}


@dataclass(frozen=True)
class PropertySpec:
    """One property; `options` are an enumeration's values, `group` is absent inside a custom object."""

    name: str
    label: str
    type: PropertyType = PropertyType.STRING
    group: str = ""
    options: tuple[str, ...] = ()
    unique: bool = False
    field_type: str = ""

    def definition(self, group: str = "") -> dict[str, JsonValue]:
        """Return the property as HubSpot's create call takes it, placed in `group` unless it names its own."""
        body: dict[str, JsonValue] = {
            "name": self.name,
            "label": self.label,
            "type": self.type.value,
            "fieldType": self.field_type or _FIELD_TYPES[self.type],
        }
        if self.group or group:
            body["groupName"] = self.group or group
        if self.options:
            body["options"] = [option(value, place) for place, value in enumerate(self.options)]
        if self.unique:
            body["hasUniqueValue"] = True
        return body


def option(value: str, place: int) -> dict[str, JsonValue]:
    """Return an enumeration option as HubSpot takes it; `place` counts from zero."""
    return {"label": value.replace("_", " ").title(), "value": value, "displayOrder": place, "hidden": False}


@dataclass(frozen=True)
class ObjectSpec:
    """A custom object of the account."""

    name: str
    singular: str
    plural: str
    display_property: str
    properties: tuple[PropertySpec, ...]

    def definition(self) -> dict[str, JsonValue]:
        """Return the object as HubSpot's create call takes it."""
        return {
            "name": self.name,
            "labels": {"singular": self.singular, "plural": self.plural},
            "primaryDisplayProperty": self.display_property,
            "requiredProperties": [self.display_property],
            "searchableProperties": [self.display_property],
            "associatedObjects": ["CONTACT", "COMPANY"],
            "properties": [spec.definition() for spec in self.properties],
        }


@dataclass(frozen=True)
class StandardObjectSpec:
    """What is added to one of HubSpot's own objects; `groups` are name -> label."""

    name: str
    groups: Mapping[str, str]
    properties: tuple[PropertySpec, ...]


_INFORMATION, _TRACKING = "wedding_information", "communication_tracking"
_TRACKING_LABEL = "Communication Tracking"
_RECORD_ID = PropertySpec(RECORD_ID_PROPERTY, "WedSync ID", unique=True)
_EFFECT_ID = PropertySpec(EFFECT_ID_PROPERTY, "WedSync Effect ID", group=_TRACKING, unique=True)
_STATE = PropertySpec(STATE_PROPERTY, "WedSync State", group=_TRACKING)
_STAGES = ("inquiry", "booked", "in_progress", "completed", "cancelled")
_CATEGORIES = (
    *("photography", "venue", "planning", "catering", "florist", "music", "videography", "cake", "beauty"),
    *("transport", "stationery", "other"),
)

WEDDINGS = ObjectSpec(
    "weddings",
    "Wedding",
    "Weddings",
    "wedding_name",
    (
        PropertySpec("wedding_name", "Wedding Name"),
        PropertySpec("wedding_date", "Wedding Date", PropertyType.DATE),
        PropertySpec("venue_name", "Venue Name"),
        PropertySpec("guest_count", "Guest Count", PropertyType.NUMBER),
        PropertySpec("total_budget", "Total Budget", PropertyType.NUMBER),
        PropertySpec(
            "booking_status",
            "Booking Status",
            PropertyType.ENUMERATION,
            options=("inquiry", "booked", "confirmed", "in_progress", "completed", "cancelled"),
        ),
        PropertySpec("satisfaction_score", "Satisfaction Score", PropertyType.NUMBER),
        _RECORD_ID,
    ),
)
WEDDING_SERVICES = ObjectSpec(
    "wedding_services",
    "Wedding Service",
    "Wedding Services",
    "service_name",
    (
        PropertySpec("service_name", "Service Name"),
        PropertySpec("service_category", "Service Category", PropertyType.ENUMERATION, options=_CATEGORIES),
        PropertySpec("service_price", "Service Price", PropertyType.NUMBER),
        PropertySpec("delivery_date", "Delivery Date", PropertyType.DATE),
        PropertySpec(
            "completion_status",
            "Completion Status",
            PropertyType.ENUMERATION,
            options=("pending", "in_progress", "completed", "cancelled"),
        ),
        PropertySpec("client_feedback", "Client Feedback", field_type="textarea"),
        _RECORD_ID,
    ),
)
CUSTOM_OBJECTS: Mapping[str, ObjectSpec] = MappingProxyType({spec.name: spec for spec in (WEDDINGS, WEDDING_SERVICES)})

CONTACTS = StandardObjectSpec(
    "contacts",
    MappingProxyType({_INFORMATION: "Wedding Information", _TRACKING: _TRACKING_LABEL}),
    (
        PropertySpec("wedding_date", "Wedding Date", PropertyType.DATE, _INFORMATION),
        PropertySpec("wedding_venue", "Wedding Venue", group=_INFORMATION),
        PropertySpec(
            "wedding_package_type",
            "Wedding Package Type",
            PropertyType.ENUMERATION,
            _INFORMATION,
            options=("basic", "premium", "luxury"),
        ),
        PropertySpec("wedding_status", "Wedding Status", PropertyType.ENUMERATION, _INFORMATION, options=_STAGES),
        PropertySpec("last_notification_sent", "Last Notification Sent", PropertyType.DATETIME, _TRACKING),
        PropertySpec("notification_preferences", "Notification Preferences", group=_TRACKING, field_type="textarea"),
    ),
)
STANDARD_OBJECTS = (
    CONTACTS,
    StandardObjectSpec("notes", MappingProxyType({_TRACKING: _TRACKING_LABEL}), (_EFFECT_ID, _STATE)),
    StandardObjectSpec("tasks", MappingProxyType({_TRACKING: _TRACKING_LABEL}), (_EFFECT_ID, _STATE)),
)


def known_properties(object_type: str) -> Mapping[str, PropertySpec]:
    """Return the provisioned properties of an object type by name; none for a type that is not ours."""
    if object_type in CUSTOM_OBJECTS:
        return {spec.name: spec for spec in CUSTOM_OBJECTS[object_type].properties}
    return {
        spec.name: spec for standard in STANDARD_OBJECTS if standard.name == object_type for spec in standard.properties
    }
