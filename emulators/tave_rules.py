"""The field rules of the emulated VSCO Workspace resources, taken by hand from the vendor's OpenAPI description."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from datetime import date, time
from typing import Any

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_HUGE = 1_000_000_000
_BIG = 99_999_999_999
Check = Callable[[Any], str | None]
READ_ONLY = frozenset({"links", "id", "created", "modified", "hidden"})


def text(limit: int, *, least: int = 0) -> Check:
    """A string of bounded length."""

    def check(value: Any) -> str | None:
        if not isinstance(value, str):
            return "must be a string"
        return None if least <= len(value) <= limit else f"must have {least} to {limit} characters"

    return check


def one_of(*allowed: str) -> Check:
    """One of a fixed set of strings."""
    return lambda value: None if value in allowed else f"must be one of {', '.join(allowed)}"


def whole(low: int, high: int) -> Check:
    """An integer between two bounds."""

    def check(value: Any) -> str | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return "must be an integer"
        return None if low <= value <= high else f"must be between {low} and {high}"

    return check


def boolean(value: Any) -> str | None:
    """A boolean."""
    return None if isinstance(value, bool) else "must be a boolean"


def identifier(value: Any) -> str | None:
    """An entity id; the vendor uses lower-case ULIDs, the sandbox also holds readable ones."""
    return None if isinstance(value, str) and _ID.fullmatch(value) else "must be an entity identifier"


def day(value: Any) -> str | None:
    """A date without a time."""
    try:
        date.fromisoformat(value)
    except (TypeError, ValueError):
        return "must be a date (YYYY-MM-DD)"
    return None if len(value) == len("2020-04-10") else "must be a date (YYYY-MM-DD)"


def clock(value: Any) -> str | None:
    """A 24-hour time; seconds are optional."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{2}:\d{2}(:\d{2})?", value):
        return "must be a time (HH:MM:SS)"
    try:
        time.fromisoformat(value)
    except ValueError:
        return "must be a time (HH:MM:SS)"
    return None


def uri(value: Any) -> str | None:
    """An absolute address."""
    return None if isinstance(value, str) and re.match(r"[a-z][a-z0-9+.-]*://\S+", value) else "must be a URI"


def mappings(value: Any) -> str | None:
    """A list of external mappings."""
    if not isinstance(value, list):
        return "must be a list"
    for item in value:
        if not isinstance(item, dict) or text(64, least=1)(item.get("id")) or text(255, least=12)(item.get("url")):
            return "each mapping needs an id (1 to 64 characters) and a url (12 to 255 characters)"
        if uri(item["url"]):
            return "each mapping's url must be a URI"
    return None


def field_values(value: Any) -> str | None:
    """A list of custom field values."""
    if not isinstance(value, list):
        return "must be a list"
    for item in value:
        if not isinstance(item, dict) or identifier(item.get("fieldId")):
            return "each value needs a fieldId"
        if item.get("value") is not None and not isinstance(item["value"], str):
            return "each value must be a string"
    return None


def strings(value: Any) -> str | None:
    """A list of strings."""
    return (
        None
        if isinstance(value, list) and all(isinstance(item, str) for item in value)
        else "must be a list of strings"
    )


def identifiers(value: Any) -> str | None:
    """A list of entity ids."""
    good = isinstance(value, list) and all(identifier(item) is None for item in value)
    return None if good else "must be a list of entity identifiers"


_ADDRESS = {"streetAddress": 512, "village": 255, "city": 255, "state": 255, "postalCode": 255, "country": 2}
_ADDRESS_READ_ONLY = READ_ONLY | {"name", "latitude", "longitude", "googlePlaceId", "timezone"}


def location(value: Any) -> str | None:
    """A location: an id, an address, or both."""
    if not isinstance(value, dict):
        return "must be an object"
    if value.get("id") is not None and identifier(value["id"]):
        return "its id must be an entity identifier"
    address = value.get("address") or {}
    if not isinstance(address, dict):
        return "its address must be an object"
    unknown = set(address) - set(_ADDRESS) - _ADDRESS_READ_ONLY
    if unknown:
        return f"its address does not allow {', '.join(sorted(unknown))}"
    bad = [name for name, limit in _ADDRESS.items() if address.get(name) is not None and text(limit)(address[name])]
    return f"its address has an invalid {', '.join(bad)}" if bad else None


def phone(value: Any) -> str | None:
    """A phone number object."""
    return None if isinstance(value, dict) else "must be an object"


@dataclasses.dataclass(frozen=True)
class Resource:
    """One kind of entity.

    `fields` are the writable ones; `never_null` and `required` name those that must hold a value; `closed` kinds refuse
    unknown fields; `computed` fields are read-only and ignored when sent; `references` must name existing entities.
    """

    path: str
    store: str
    noun: str
    collection: str
    fields: dict[str, Check]
    required: tuple[str, ...] = ()
    never_null: tuple[str, ...] = ()
    computed: frozenset[str] = frozenset()
    defaults: dict[str, Any] = dataclasses.field(default_factory=dict)
    references: dict[str, str] = dataclasses.field(default_factory=dict)
    filters: tuple[str, ...] = ()
    closed: bool = False
    writable: bool = True

    def problems(self, body: dict[str, Any], *, creating: bool) -> dict[str, list[str]]:
        """What is wrong with a body, by field."""
        found: dict[str, list[str]] = {}
        for name, value in body.items():
            if name in READ_ONLY or name in self.computed:
                continue
            check = self.fields.get(name)
            if check is None:
                if self.closed:
                    found[name] = ["is not a known field"]
            elif value is None:
                if name in self.never_null or name in self.required:
                    found[name] = ["must not be null"]
            elif (problem := check(value)) is not None:
                found[name] = [problem]
        if creating:
            found.update({name: ["is required"] for name in self.required if name not in body})
        return found


JOB = Resource(
    path="job",
    store="jobs",
    noun="job",
    collection="job-collection",
    fields={
        **dict.fromkeys(("bookingDate", "closedDate", "completedDate", "eventDate", "fulfillmentDate"), day),
        **dict.fromkeys(("inquiryDate", "leadDecisionExpectedByDate"), day),
        **dict.fromkeys(("brandId", "closedReasonId", "contactFormId", "jobTypeId", "leadSourceId"), identifier),
        **dict.fromkeys(("leadStatusId", "workflowId"), identifier),
        **dict.fromkeys(("closed", "pinned", "webLead"), boolean),
        "customFields": field_values,
        "externalMappings": mappings,
        "guestCount": whole(0, _BIG),
        "leadConfidence": one_of("low", "medium", "high"),
        "leadMaxBudget": whole(-_BIG, _BIG),
        "leadNotes": text(_HUGE),
        "leadRating": whole(1, 5),
        "name": text(_HUGE),
        "stage": one_of("lead", "booked", "fulfillment", "completed"),
    },
    never_null=("closed", "stage", "webLead"),
    computed=frozenset({"title", "sample", "primarySessionId", "accountBalance", "creditBalance", "totalCost"}),
    defaults={"closed": False, "stage": "lead", "webLead": False, "pinned": False, "sample": False},
)
EVENT = Resource(
    path="event",
    store="events",
    noun="event",
    collection="event-collection",
    fields={
        **dict.fromkeys(("startDate", "endDate"), day),
        **dict.fromkeys(("startTime", "endTime"), clock),
        **dict.fromkeys(("galleryId", "jobId", "timezoneId", "typeId"), identifier),
        **dict.fromkeys(("allDay", "confirmed"), boolean),
        "channel": one_of("InPerson", "Phone", "Virtual"),
        "descriptionHtml": text(1_073_741_824),
        "externalMappings": mappings,
        "location": location,
        "name": text(255),
        "phoneNumber": phone,
        "timezoneName": text(255),
        "virtualUrl": uri,
    },
    never_null=("channel",),
    computed=frozenset({"startUtc", "endUtc"}),
    defaults={"allDay": False, "channel": "InPerson", "confirmed": False},
    references={"jobId": "jobs", "timezoneId": "timezones", "typeId": "event-types"},
    filters=("jobId",),
    closed=True,
)
NOTE = Resource(
    path="note",
    store="notes",
    noun="note",
    collection="note-collection",
    fields={
        **dict.fromkeys(("authorId", "contactId", "jobId"), identifier),
        "contentHtml": text(_HUGE, least=1),
        "date": day,
    },
    required=("contentHtml",),
    references={"jobId": "jobs"},
    filters=("jobId",),
)
CUSTOM_FIELD = Resource(
    path="custom-field",
    store="custom-fields",
    noun="custom-field",
    collection="customfield-collection",
    fields={
        "canApplyTo": one_of("Job", "Contact"),
        "clientAccess": one_of("None", "Visible", "Editable"),
        "clientLabel": text(255),
        "choices": strings,
        "kind": one_of("TextField", "TextBox", "DropDown", "Number", "Decimal", "Money", "Date", "Time", "Checkbox"),
        "name": text(255),
        "token": text(128),
    },
    never_null=("canApplyTo", "clientAccess", "kind"),
    defaults={"canApplyTo": "Job", "clientAccess": "None", "kind": "TextField"},
    filters=("canApplyTo", "kind"),
)
JOB_CONTACT = Resource(
    path="job-contact",
    store="job-contacts",
    noun="job-contact",
    collection="jobcontact-collection",
    fields={
        "client": boolean,
        "contactId": identifier,
        "externalMappings": mappings,
        "jobId": identifier,
        "jobRoles": identifiers,
    },
    required=("contactId", "jobId"),
    computed=frozenset({"roleKinds"}),
    defaults={"client": False},
    references={"jobId": "jobs", "contactId": "contacts"},
    filters=("jobId", "contactId"),
)
CONTACT = Resource(
    path="address-book",
    store="contacts",
    noun="contact",
    collection="addressbook-collection",
    fields={
        "kind": one_of("person", "company", "location"),
        "email": text(255),
        "firstName": text(48),
        "lastName": text(48),
    },
    required=("kind",),
    filters=("kind",),
)
JOB_ROLE = Resource("job-role", "job-roles", "job-role", "jobrole-collection", {}, writable=False)
EVENT_TYPE = Resource("event-type", "event-types", "event-type", "eventtype-collection", {}, writable=False)
TIMEZONE = Resource("timezone", "timezones", "timezone", "timezone-collection", {}, writable=False)
RESOURCES = (JOB, EVENT, NOTE, CUSTOM_FIELD, JOB_CONTACT, CONTACT, JOB_ROLE, EVENT_TYPE, TIMEZONE)
