"""The scenarios of a venue group in Power BI, and of a caterer in SAP Analytics Cloud."""

from __future__ import annotations

from collections import Counter
from typing import Any

from contracts.integration import FieldMapping, IntegrationConfiguration, IntegrationInstance
from contracts.sync import DataFilter, DataSynchronizationRequest, FilterOperator, SynchronizationResult
from starters.demo.stage import ORGANIZATION, Check, Stage, example

_BOOKINGS, _VENUES = 2_000, 100
_WEDDINGS = 12_000
_MEALS = 100_000
"""A year's, in the brief."""
_OCCUPANCY, _CATERING = "Wedding Business Intelligence", "Catering_Costs"
_PORTFOLIO, _TABLE = "Wedding Portfolio", "Weddings"
_POWERBI, _SAP = "powerbi", "sap_analytics_cloud"


async def venue_powerbi(stage: Stage) -> list[Check]:
    """A venue group pushes the bookings of 100 venues to Power BI, twice, and refreshes a model on its warehouse."""
    await stage.vendors.weddings(ORGANIZATION, _BOOKINGS)
    before = await stage.vendors.token_requests(_POWERBI)
    document = example("integration-powerbi")
    refreshed = {**document["connectionConfig"], "route": "refresh", "table": _TABLE}
    for given in (document, {**document, "integrationId": "powerbi-warehouse", "connectionConfig": refreshed}):
        await stage.wedsync.integrations.connect(IntegrationConfiguration.model_validate(given))
    shown = _mapped("weddingId", "venueId", "venueName", "venueRegion", "weddingDate", "season", "guestCount", "status")
    results = [
        await _sync(stage, f"demo-powerbi-{turn}", "powerbi-main", target_object=_OCCUPANCY, data_mapping=shown)
        for turn in ("first", "again")
    ]
    await stage.vendors.warehouse(_PORTFOLIO, _TABLE, _BOOKINGS)
    whole = await _sync(stage, "demo-powerbi-refresh", "powerbi-warehouse", target_object=_PORTFOLIO)
    pushed = await _rows(stage, _OCCUPANCY)
    booked = Counter(record["venueId"] for record in await stage.vendors.report(ORGANIZATION, "weddings"))
    asked = await stage.vendors.token_requests(_POWERBI) - before
    return [
        Check("bookings published, each time", [_BOOKINGS] * 2, [result.books.updated for result in results]),
        Check("bookings Power BI holds", _BOOKINGS, len(pushed)),
        Check("bookings it holds twice", 0, len(pushed) - len({row["weddingId"] for row in pushed})),
        Check("venues whose occupancy is that of the report", _VENUES, _alike(booked, pushed)),
        Check("rows of the model on the warehouse", ("success", _BOOKINGS), (whole.status.value, whole.books.updated)),
        Check("tokens asked for, by two connections", 2, asked[_GRANT]),
    ]


async def catering_sap(stage: Stage) -> list[Check]:
    """A caterer imports its meals, their costs and lead times into SAP Analytics Cloud, twice; strangers are named."""
    await stage.vendors.weddings(ORGANIZATION, _WEDDINGS)
    since = await stage.vendors.last_effect(_SAP)
    await stage.wedsync.integrations.connect(IntegrationConfiguration.model_validate(example("integration-sap")))
    caterers = DataFilter(field="supplierCategory", operator=FilterOperator.EQUALS, value="catering")
    given: dict[str, Any] = {"target_object": _CATERING, "data_filters": [caterers], "data_mapping": _MEASURES}
    results = [await _sync(stage, f"demo-sap-{turn}", "sap-main", **given) for turn in ("first", "again")]
    [model] = [one for one in await stage.vendors.objects(_SAP, "models") if one["modelName"] == _CATERING]
    report = await stage.vendors.report(ORGANIZATION, "weddings")
    served = [record for record in report if record["supplierCategory"] == "catering"]
    taken = {one["weddingId"]: one["guestCount"] for one in served if one["venueRegion"] in model["members"]["Region"]}
    facts = [fact["row"] for fact in await stage.vendors.objects(_SAP, "facts")]
    held = {fact["Wedding"]: fact["Meals"] for fact in facts}
    bare = [fact for fact in facts if fact["CostPerMeal"] is None or fact["LeadDays"] is None]
    read = [(result.books.read, result.books.closed) for result in results]
    return [
        Check("the report has a year's meals", expected=True, found=sum(one["guestCount"] for one in served) >= _MEALS),
        Check("facts SAP holds", len(taken), len(facts)),
        Check("meals it holds, and for each wedding", (sum(taken.values()), True), (sum(held.values()), held == taken)),
        Check("facts without costs or lead time", 0, len(bare)),
        Check("weddings in regions that the model lacks", len(served) - len(taken), results[1].books.rejected),
        Check("their reason", {"Invalid column value for: Region"}, _reasons(results[1])),
        Check("accounted for, each time", [(len(served), True)] * 2, read),
        Check("imports, one for each time", 2, (await stage.vendors.effects(_SAP, since))["facts.imported"]),
    ]


_GRANT = "client_credentials"
_MEASURES = [
    FieldMapping(target="Wedding", source="weddingId"),
    FieldMapping(target="Date", source="weddingDate"),
    FieldMapping(target="Region", source="venueRegion"),
    FieldMapping(target="Supplier", source="supplierId"),
    FieldMapping(target="Meals", source="guestCount"),
    FieldMapping(target="MealCost", source="totalRevenue"),
    FieldMapping(target="CostPerMeal", expression="round(totalRevenue / guestCount, 2)"),
    FieldMapping(target="LeadDays", expression="date_diff('day', bookingDate, weddingDate)"),
]


def _mapped(*names: str) -> list[FieldMapping]:
    return [FieldMapping(target=name, source=name) for name in names]


async def _sync(stage: Stage, sync_id: str, integration_id: str, **given: Any) -> SynchronizationResult:
    request = DataSynchronizationRequest(
        sync_id=sync_id,
        organization_id=ORGANIZATION,
        source_report_id="weddings",
        target_integration=IntegrationInstance(integration_id=integration_id),
        **given,
    )
    return await (await stage.wedsync.start_sync(request)).result()


async def _rows(stage: Stage, model: str) -> list[dict[str, Any]]:
    """Return the rows that Power BI holds of a model."""
    [mine] = [one["id"] for one in await stage.vendors.objects(_POWERBI, "models") if one["name"] == model]
    pushes = await stage.vendors.objects(_POWERBI, "pushes")
    return [row for push in pushes if push["place"].startswith(mine) for row in push["rows"]]


def _alike(booked: Counter[str], pushed: list[dict[str, Any]]) -> int:
    held = Counter(row["venueId"] for row in pushed)
    return sum(held[venue] == count for venue, count in booked.items())


def _reasons(result: SynchronizationResult) -> set[str]:
    return {record.reason for record in result.details}
