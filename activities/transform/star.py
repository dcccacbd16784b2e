"""The canonical wedding record: its fields, their types and limits, and the groups that make the star."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class FieldType(StrEnum):
    """What a field holds."""

    TEXT = "text"
    INTEGER = "integer"
    MONEY = "money"
    SCORE = "score"
    DATE = "date"
    TIMESTAMP = "timestamp"
    BOOLEAN = "boolean"


@dataclass(frozen=True)
class Field:
    """One field of the record: wire name, type, and for text its longest length."""

    name: str
    type: FieldType = FieldType.TEXT
    length: int = 0
    required: bool = False

    @property
    def column(self) -> str:
        """The warehouse's column name, such as WEDDING_ID."""
        return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", self.name).upper()


FACT = (
    Field("weddingId", length=50, required=True),
    Field("weddingDate", FieldType.DATE, required=True),
    Field("guestCount", FieldType.INTEGER),
    Field("totalRevenue", FieldType.MONEY),
    Field("satisfactionScore", FieldType.SCORE),
    Field("bookingDate", FieldType.DATE),
    Field("serviceCount", FieldType.INTEGER),
    Field("completionStatus", length=50),
)
SUPPLIER = (
    Field("supplierId", length=50),
    Field("supplierName", length=200),
    Field("supplierCategory", length=100),
    Field("businessType", length=100),
    Field("locationCity", length=100),
    Field("locationRegion", length=100),
    Field("subscriptionTier", length=50),
    Field("joinedDate", FieldType.DATE),
    Field("isActive", FieldType.BOOLEAN),
)
CLIENT = (
    Field("clientId", length=50),
    Field("clientName", length=200),
    Field("weddingStyle", length=100),
    Field("budgetRange", length=50),
    Field("guestCountRange", length=50),
    Field("locationPreference", length=100),
    Field("referralSource", length=100),
)
VENUE = (
    Field("venueId", length=50),
    Field("venueName", length=200),
    Field("venueCity", length=100),
    Field("venueRegion", length=100),
    Field("venueType", length=100),
)
UPDATED_AT = Field("updatedAt", FieldType.TIMESTAMP)
FIELDS = (*FACT, *SUPPLIER, *CLIENT, *VENUE, UPDATED_AT)
"""Every field, in the order of the RAW and STAGING tables; each dimension's first field is its business key."""

FINGERPRINTS = {
    "FACT_FINGERPRINT": (*FACT, SUPPLIER[0], CLIENT[0], VENUE[0]),
    "SUPPLIER_FINGERPRINT": SUPPLIER,
    "CLIENT_FINGERPRINT": CLIENT,
    "VENUE_FINGERPRINT": VENUE,
}
"""Column -> the fields whose change makes a new fact state or a new dimension version."""
