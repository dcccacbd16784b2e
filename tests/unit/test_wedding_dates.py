"""F48: a wedding's day is the venue's day in every vendor's format, wherever venue, supplier and server are."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from hypothesis import assume, given
from hypothesis import strategies as st
from icalendar import Calendar
from pydantic import SecretStr

from activities.connectors.booking.tave import Tave
from activities.connectors.calendar.caldav_events import written
from activities.connectors.calendar.caldav_plan import Planner
from activities.connectors.crm.hubspot_effects import plan_steps
from activities.connectors.crm.hubspot_mapping import canonical
from activities.connectors.crm.salesforce_schema import formatted
from activities.ports.connection import Connection
from activities.transform.followers import facts_delivery
from activities.transform.instants import ceremony_at
from contracts.effects import Delivery
from contracts.facts import Follower
from contracts.notification import TargetSystem
from contracts.wedding import Wedding

ZONES = [f"Etc/GMT{offset:+d}" for offset in range(-14, 13)]
WEDDINGS = st.builds(
    lambda day, clock, zone: Wedding(
        organization_id="o", wedding_id="w", wedding_date=day, ceremony_time=clock, time_zone=zone
    ),
    st.dates(date(1900, 1, 1), date(2999, 12, 31)),
    st.sampled_from([None, time(0), time(0, 0, 1), time(12), time(23, 59, 59)]),
    st.sampled_from(ZONES),
)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
TARGET = {"contacts": [{"crmContactId": "501"}], "settings": {"taveJobId": "job-77", "calendar": "weddings"}}


def delivery(wedding: Wedding, system: str, now: datetime) -> Delivery:
    given_target = {"systemId": system, "systemType": system, "integrationId": f"{system}-main", **TARGET}
    target = TargetSystem.model_validate(given_target)
    found = facts_delivery(wedding, Follower(system_id=system, wanted=1), target, now)
    assert found is not None
    return found


def connection(system: str) -> Connection:
    settings = {"calendars": {"weddings": "weddings"}, "calendar": "weddings"}
    credential = {"apiKey": SecretStr("key")}
    return Connection("o", f"{system}-main", system, "https://workspace.vsco.co/api/v2", settings, credential)


def midnight_utc_ms(day: date) -> int:
    """HubSpot's own form of a date property."""
    return int(datetime.combine(day, time(), UTC).timestamp() * 1_000)


@given(WEDDINGS)
def test_f48_the_ceremony_is_on_the_weddings_day_at_the_venue(wedding: Wedding):
    at = ceremony_at(wedding)
    assert at is not None
    assert at.astimezone(ZoneInfo(wedding.time_zone)).date() == wedding.wedding_date


@given(WEDDINGS, MOMENTS)
def test_f48_hubspot_gets_and_gives_back_the_venues_day(wedding: Wedding, now: datetime):
    [update] = [one for one in plan_steps(delivery(wedding, "hubspot", now)) if one.kind == "contact.update"]
    properties = update.payload["properties"]
    assert isinstance(properties, dict)
    assert wedding.wedding_date is not None
    assert properties["wedding_date"] == wedding.wedding_date.isoformat()
    given_back = midnight_utc_ms(wedding.wedding_date)
    assume(abs(given_back) >= 10**9)  # days beside 1970-01-01 look like other numbers
    assert canonical("date", str(given_back)) == wedding.wedding_date.isoformat()


@given(WEDDINGS)
def test_f48_salesforce_gets_the_venues_day_from_a_date_and_from_midnight_utc(wedding: Wedding):
    day = wedding.wedding_date
    assert day is not None
    forms = [day.isoformat(), f"{day.isoformat()}T00:00:00Z", f"{day.isoformat()}T23:59:59+14:00"]
    assert {formatted("Wedding__c", "Wedding_Date__c", one) for one in forms} == {day.isoformat()}


async def test_f48_tave_gets_the_venues_day():
    connector = Tave(connection("tave"))

    @given(WEDDINGS, MOMENTS)
    def gets_the_day(wedding: Wedding, now: datetime) -> None:
        [job] = [one for one in connector.plan(delivery(wedding, "tave", now)) if one.kind == "job.update"]
        assert job.payload == {"eventDate": str(wedding.wedding_date)}

    gets_the_day()
    await connector.aclose()


@given(WEDDINGS, MOMENTS)
def test_f48_a_calendar_shows_the_venues_day(wedding: Wedding, now: datetime):
    [step] = Planner(delivery(wedding, "caldav", now), connection("caldav")).wedding()
    [event] = Calendar.from_ical(written(None, step.payload, frozenset())).walk("VEVENT")
    start = event["DTSTART"].dt
    assert (start.date() if isinstance(start, datetime) else start) == wedding.wedding_date
    assert isinstance(start, datetime) == (wedding.ceremony_time is not None)
