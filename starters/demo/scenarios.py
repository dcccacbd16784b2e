"""The scenarios: what each does, expects and finds."""

from __future__ import annotations

from datetime import timedelta

from temporalio.testing import WorkflowEnvironment

from contracts.integration import IntegrationConfiguration, IntegrationInstance
from contracts.names import WorkflowType
from contracts.notification import CrossSystemRouting
from contracts.sync import DataSynchronizationRequest
from contracts.wedding import Wedding, WeddingEvent, WeddingEventType
from starters.demo.bi import catering_sap, venue_powerbi
from starters.demo.connections import connections
from starters.demo.double_booking import double_booking
from starters.demo.emergency import emergency
from starters.demo.enterprise import enterprise_snowflake, enterprise_warehouses
from starters.demo.planner import planner_sequences
from starters.demo.stage import ORGANIZATION, Check, Scenario, Stage, example, integration
from starters.demo.vendors import Vendors
from starters.demo.venue import venue_coordination
from starters.demo.white_label import white_label
from starters.failures import translated
from starters.skipped_clock import skipped_clock
from workers import roster
from workers.composition import compose
from workers.temporal import data_converter

_TABLEAU_SOURCES = {
    "revenue": "Wedding Revenue Analytics",
    "satisfaction": "Client Satisfaction Metrics",
    "seasonality": "Seasonal Booking Patterns",
    "vendors": "Vendor Performance Benchmarks",
}
_PORTFOLIO_ROWS = 5_000
_PLANNER_WEDDINGS = 2_000
_MOST_BATCH_CALLS = 25


async def photography_tableau(stage: Stage) -> list[Check]:
    """A photography chain publishes its four report data sources to Tableau."""
    await stage.vendors.weddings(ORGANIZATION, _PORTFOLIO_ROWS)
    credential = {"tokenName": "sandbox-pat", "tokenSecret": "sandbox-tableau-secret"}
    await stage.wedsync.integrations.connect(
        integration("tableau", "tableau-main", credential=credential, siteName="lumen")
    )
    for report in _TABLEAU_SOURCES:
        request = DataSynchronizationRequest(
            sync_id=f"demo-tableau-{report}",
            organization_id=ORGANIZATION,
            source_report_id=report,
            target_integration=IntegrationInstance(integration_id="tableau-main"),
        )
        await (await stage.wedsync.start_sync(request)).result()
    held = {item["name"]: item["rows"] for item in await stage.vendors.objects("tableau", "datasources")}
    return [Check(f"rows in '{name}'", _PORTFOLIO_ROWS, held.get(name)) for name in _TABLEAU_SOURCES.values()]


async def planner_hubspot(stage: Stage) -> list[Check]:
    """A planner network syncs 2,000 weddings into HubSpot, then syncs them again."""
    await stage.vendors.weddings(ORGANIZATION, _PLANNER_WEDDINGS)
    await stage.wedsync.integrations.connect(IntegrationConfiguration.model_validate(example("integration-hubspot")))
    request = DataSynchronizationRequest.model_validate({**example("sync-report"), "dataFilters": []})
    calls, books, effects = [], [], []
    for sync_id in ("demo-hubspot-first", "demo-hubspot-again"):
        before = await stage.vendors.calls("hubspot", "/batch/")
        since = await stage.vendors.last_effect("hubspot")
        run = await stage.wedsync.start_sync(request.model_copy(update={"sync_id": sync_id}))
        books.append((await run.result()).books)
        calls.append(await stage.vendors.calls("hubspot", "/batch/") - before)
        effects.append((await stage.vendors.effects("hubspot", since)).total())
    return [
        Check("weddings HubSpot holds", _PLANNER_WEDDINGS, len(await stage.vendors.objects("hubspot", "weddings"))),
        Check("created at first", _PLANNER_WEDDINGS, books[0].created),
        Check("unchanged at the repeat", _PLANNER_WEDDINGS, books[1].unchanged),
        Check("HubSpot's own changes at the repeat", 0, effects[1]),
        Check("at most 25 batch calls each", [True, True], [count <= _MOST_BATCH_CALLS for count in calls]),
    ]


async def studio_notify(stage: Stage) -> list[Check]:
    """A studio's timeline change reaches HubSpot, Tave and Slack once, though it is sent twice."""
    for name in ("hubspot", "tave", "slack"):
        await stage.wedsync.integrations.connect(
            IntegrationConfiguration.model_validate(example(f"integration-{name}"))
        )
    since = {name: await stage.vendors.last_effect(name) for name in ("hubspot", "tave", "slack")}
    routing = CrossSystemRouting.model_validate(example("route-notification"))
    results = [await (await stage.wedsync.start_notification(routing)).result() for _ in range(2)]
    found = {name: dict(await stage.vendors.effects(name, number)) for name, number in since.items()}
    return [
        Check("overall status, both times", ["success", "success"], [str(item.overall_status) for item in results]),
        Check("HubSpot", {"contact.updated": 1, "note.created": 1, "deal.updated": 1}, found["hubspot"]),
        Check("Tave", {"job.updated": 1, "event.updated": 1}, found["tave"]),
        Check("Slack", {"message.posted": 1}, found["slack"]),
    ]


async def planner_survey(stage: Stage) -> list[Check]:
    """A survey goes out 48 hours after a wedding, on a clock that skips the waiting."""
    await stage.wedsync.integrations.connect(
        integration(
            "email",
            "email-main",
            fromAddress="studio@lumen.example.com",
            encryption="none",
            **await stage.vendors.mail_server(),
        )
    )
    planned = Wedding.model_validate(example("wedding-timeline"))
    survey = [one for one in planned.automations if one.trigger_value == "completed"]
    wedding = planned.model_copy(update={"wedding_id": "wed-survey", "automations": survey})
    converter = data_converter(stage.settings)
    async with skipped_clock(converter) as clock, compose(stage.settings) as parts:
        workers = roster.workers(clock.client, parts, ["orchestration", "system.email"])
        async with workers[0], workers[1]:
            with translated():
                counts = await _surveys_over_time(clock, wedding, stage.vendors)
    return [Check("surveys 47 h 59 min and 48 h 1 min after the wedding", [0, 1], counts)]


async def _surveys_over_time(clock: WorkflowEnvironment, wedding: Wedding, vendors: Vendors) -> list[int]:
    """Complete the wedding at noon and count the mails a minute before and a minute after the 48 hours."""
    # At night the couple would get its survey in the morning.
    now = await clock.get_current_time()
    await clock.sleep(now.replace(hour=12, minute=0) + timedelta(days=1) - now)
    handle = await clock.client.start_workflow(
        WorkflowType.WEDDING_TIMELINE, wedding, id="wedding-timeline/demo", task_queue="orchestration"
    )
    await handle.execute_update("apply_event", WeddingEvent(event_id="done", type=WeddingEventType.COMPLETED))
    counts, before = [], len(await vendors.objects("smtp", "messages"))
    for pause in (timedelta(hours=47, minutes=59), timedelta(minutes=2)):
        await clock.sleep(pause)
        counts.append(len(await vendors.objects("smtp", "messages")) - before)
    await handle.result()
    return counts


SCENARIOS: dict[str, Scenario] = {
    "photography-tableau": photography_tableau,
    "venue-powerbi": venue_powerbi,
    "planner-hubspot": planner_hubspot,
    "catering-sap": catering_sap,
    "enterprise-snowflake": enterprise_snowflake,
    "enterprise-warehouses": enterprise_warehouses,
    "studio-notify": studio_notify,
    "planner-survey": planner_survey,
    "connections": connections,
    "emergency": emergency,
    "double-booking": double_booking,
    "white-label": white_label,
    "venue-coordination": venue_coordination,
    "planner-sequences": planner_sequences,
}
