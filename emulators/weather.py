"""An emulated weather: the US National Weather Service's alerts and Open-Meteo's daily forecasts, behind one address.

From the services' OpenAPI descriptions: paths, parameters, the fields and words of alerts, problem details, daily
variables, `error` and `reason`. From the weather service's own pages: a request without User-Agent is refused with 403.
From public threads: a point outside the United States is answered with 400. Unconfirmed: points with more than four
decimals or trailing zeros are redirected (stated for `/points`); that the sixteenth day is the last one.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from emulators.core import Emulator, State
from emulators.faults import Fault

if TYPE_CHECKING:
    from starlette.requests import Request

COMMERCIAL_KEY = "sandbox-open-meteo-key"
_UNITED_STATES = (
    (24.4, 49.4, -125.0, -66.9),
    (51.0, 71.5, -179.9, -129.9),
    (18.9, 22.3, -160.3, -154.8),
    (17.6, 18.6, -67.3, -64.5),
)
_DAILY_UNITS = {
    "weather_code": "wmo code", "temperature_2m_max": "°C", "temperature_2m_min": "°C", "precipitation_sum": "mm",
    "precipitation_probability_max": "%", "wind_speed_10m_max": "km/h", "wind_gusts_10m_max": "km/h",
}  # fmt: skip
_CALM = {
    "weather_code": 1, "temperature_2m_max": 21.4, "temperature_2m_min": 11.2, "precipitation_sum": 0.0,
    "precipitation_probability_max": 5, "wind_speed_10m_max": 14.0, "wind_gusts_10m_max": 27.0,
}  # fmt: skip
_LAST_DAY = 15
_NEAR_DEGREES = 0.05
Body = dict[str, Any]


def _problem(status: int, title: str, detail: str) -> Response:
    number = uuid.uuid4().hex[:16]
    body = {"correlationId": number, "title": title, "type": f"https://api.weather.gov/problems/{title}"}
    body |= {"detail": detail, "instance": f"https://api.weather.gov/requests/{number}"}
    return JSONResponse({**body, "status": status}, status, media_type="application/problem+json")


def _reason(reason: str) -> Response:
    return JSONResponse({"error": True, "reason": reason}, 400)


def render_error(status: int, _fault: Fault | None) -> Response:
    """The weather service's body of an error."""
    return _problem(status, "UnexpectedProblem", "An unexpected problem has occurred.")


def _point(text: str) -> tuple[float, float]:
    latitude, _, longitude = text.partition(",")
    return float(latitude), float(longitude)


def _near(held: Body, latitude: float, longitude: float) -> bool:
    return bool(max(abs(held["latitude"] - latitude), abs(held["longitude"] - longitude)) <= _NEAR_DEGREES)


def _warned(latitude: float, longitude: float) -> bool:
    return any(south <= latitude <= north and west <= longitude <= east for south, north, west, east in _UNITED_STATES)


def _spelled_otherwise(text: str) -> str:
    return ",".join(f"{float(one):.4f}".rstrip("0").rstrip(".") for one in text.split(","))


def _feature(held: Body) -> Body:
    west, east = held["longitude"] - _NEAR_DEGREES, held["longitude"] + _NEAR_DEGREES
    south, north = held["latitude"] - _NEAR_DEGREES, held["latitude"] + _NEAR_DEGREES
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    link = f"https://api.weather.gov/alerts/{held['alert']['id']}"
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"id": link, "type": "Feature", "geometry": geometry, "properties": held["alert"]}


def _active(emulator: Emulator, request: Request) -> Response:
    emulator.name_operation(request, "alerts.active")
    if not request.headers.get("User-Agent"):
        return _problem(403, "Forbidden", "A User-Agent is required.")
    try:
        point = request.query_params["point"]
        latitude, longitude = _point(point)
    except (KeyError, ValueError):
        return _problem(400, "BadRequest", "Parameter point is invalid.")
    if not _warned(latitude, longitude):
        return _problem(400, "InvalidParameter", "Parameter point is invalid: out of bounds")
    if _spelled_otherwise(point) != point:
        return RedirectResponse(f"/alerts/active?point={_spelled_otherwise(point)}", 301)
    status = request.query_params.get("status", "actual")
    near = [one for one in emulator.list("alerts") if _near(one, latitude, longitude)]
    shown = [one for one in near if one["alert"]["status"].lower() == status]
    replaced = {earlier["identifier"] for one in shown for earlier in one["alert"]["references"]}
    body = {
        "@context": {}, "type": "FeatureCollection", "title": "Current watches, warnings, and advisories",
        "updated": datetime.now(UTC).isoformat(timespec="seconds"),
        "features": [_feature(one) for one in shown if one["alert"]["id"] not in replaced],
    }  # fmt: skip
    return JSONResponse(body, media_type="application/geo+json")


def _forecast(emulator: Emulator, request: Request) -> Response:
    emulator.name_operation(request, "forecast.daily")
    query = request.query_params
    if query.get("apikey") not in {None, COMMERCIAL_KEY}:
        return _reason("The supplied API key is invalid.")
    try:
        latitude, longitude = float(query["latitude"]), float(query["longitude"])
        wanted = query.get("daily", "").split(",")
        zone = ZoneInfo("America/New_York" if _warned(latitude, longitude) else "Europe/London")
        today = datetime.now(zone).date()
        first = date.fromisoformat(query["start_date"]) if "start_date" in query else today
        days = int(query.get("forecast_days", 7))
        last = date.fromisoformat(query["end_date"]) if "end_date" in query else first + timedelta(days=days - 1)
    except (KeyError, ValueError):
        return _reason("Parameter 'latitude' and 'longitude' must have the same number of elements")
    if unknown := [name for name in wanted if name not in _DAILY_UNITS]:
        return _reason(f"Data corrupted at path ''. Cannot initialize from invalid String value {unknown[0]}.")
    if not today <= first <= last <= today + timedelta(days=_LAST_DAY):
        return _reason("Parameter 'start_date' is out of allowed range")
    rows = [first + timedelta(days=row) for row in range((last - first).days + 1)]
    told = [_day(emulator, latitude, longitude, day) for day in rows]
    daily = {"time": [day.isoformat() for day in rows], **{name: [one[name] for one in told] for name in wanted}}
    return JSONResponse(
        {
            "latitude": latitude, "longitude": longitude, "elevation": 80.0, "generationtime_ms": 0.1,
            "utc_offset_seconds": 0, "timezone": zone.key, "timezone_abbreviation": zone.key,
            "daily_units": {"time": "iso8601", **{name: _DAILY_UNITS[name] for name in wanted}}, "daily": daily,
        }
    )  # fmt: skip


def _day(emulator: Emulator, latitude: float, longitude: float, day: date) -> Body:
    for held in reversed(emulator.find_all("forecasts", "day", day.isoformat())):
        if _near(held, latitude, longitude):
            return {**_CALM, **held["values"]}
    return _CALM


def _issue(emulator: Emulator, given: Body) -> Body:
    """Issue an alert for a point; `replaces` names an earlier alert's id, `messageType` Cancel takes it back."""
    number = f"urn:oid:2.49.0.1.840.0.{hashlib.sha1(uuid.uuid4().bytes, usedforsecurity=False).hexdigest()}.001.1"
    now = datetime.now(UTC)
    at, ends = now.isoformat(timespec="seconds"), (now + timedelta(hours=6)).isoformat(timespec="seconds")
    known = emulator.get("alerts", str(given.get("replaces")))
    earlier = known["alert"] if known else None
    sender = "w-nws.webmaster@noaa.gov"
    alert = {
        "id": number, "areaDesc": "Sandbox County", "geocode": {"UGC": ["NYZ072"], "SAME": ["036061"]},
        "affectedZones": [], "sent": at, "effective": at, "onset": at, "expires": ends, "ends": ends,
        "references": [
            *earlier["references"],
            {"@id": f"https://api.weather.gov/alerts/{earlier['id']}", "identifier": earlier["id"], "sender": sender,
             "sent": earlier["sent"]},
        ] if earlier else [],
        "status": "Actual", "messageType": "Update" if earlier else "Alert", "category": "Met", "severity": "Severe",
        "certainty": "Observed", "urgency": "Immediate", "event": "Severe Thunderstorm Warning", "sender": sender,
        "senderName": "NWS Sandbox", "headline": "Severe Thunderstorm Warning issued by NWS Sandbox",
        "description": "A severe thunderstorm.", "instruction": "Move indoors now.", "response": "Shelter",
        "parameters": {}, **given.get("alert", {}),
    }  # fmt: skip
    emulator.put("alerts", number, {"latitude": given["latitude"], "longitude": given["longitude"], "alert": alert})
    return {"id": number}


def _predict(emulator: Emulator, given: Body) -> Body:
    """Have a local day at a point bring `values`, by the names of the daily variables."""
    if unknown := set(given["values"]) - set(_DAILY_UNITS):
        raise KeyError(*unknown)
    number = emulator.next_id("forecasts")
    day = date.fromisoformat(given["day"]).isoformat()
    held = {"latitude": given["latitude"], "longitude": given["longitude"], "day": day, "values": given["values"]}
    emulator.put("forecasts", number, held)
    return {"id": number}


def _control(emulator: Emulator, act: Callable[[Emulator, Body], Body]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            return JSONResponse(act(emulator, json.loads(await request.body())), 201)
        except (ValueError, KeyError, TypeError) as error:
            return JSONResponse({"error": f"The request cannot be read: {type(error).__name__}."}, 400)

    return endpoint


def _routes(emulator: Emulator) -> list[BaseRoute]:
    async def active(request: Request) -> Response:
        return _active(emulator, request)

    async def forecast(request: Request) -> Response:
        return _forecast(emulator, request)

    emulator.control_routes = [
        Route("/_emulators/weather/alerts", _control(emulator, _issue), methods=["POST"]),
        Route("/_emulators/weather/forecasts", _control(emulator, _predict), methods=["POST"]),
    ]
    return [Route("/alerts/active", active), Route("/v1/forecast", forecast)]


def _seed(_emulator: Emulator) -> None:
    """The weather is calm everywhere from the start."""


def build(state: State) -> Emulator:
    """The emulated services over this state."""
    return Emulator("weather", state, routes=_routes, seed=_seed, render_error=render_error)
