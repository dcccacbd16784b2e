"""Alerts of the US National Weather Service."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import JsonValue

from activities.transport.client import JsonClient
from contracts.errors import Permanent, Transient
from contracts.names import effect_id
from contracts.weather import AlertCertainty, AlertSeverity, AlertSource, AlertUrgency, WeatherAlert

_Word = TypeVar("_Word", bound=StrEnum)
_ELSEWHERE = (400, 404)
_IN_FORCE = ("Alert", "Update")


async def active_alerts(http: JsonClient, point: str) -> list[WeatherAlert] | None:
    """Return the alerts in force at a point `latitude,longitude`; None where the service does not warn.

    An update has the id of the alert that it updates.

    Raises:
        Transient: no usable answer.

    Source: GET /alerts/active, https://www.weather.gov/documentation/services-web-api. That a point outside the United
    States is answered with 400 is from public threads.
    """
    try:
        answer = await http.request_json(
            "GET",
            "/alerts/active",
            operation="alerts.active",
            params={"point": point, "status": "actual"},
            headers={"Accept": "application/geo+json"},
        )
    except Permanent as error:
        if error.detail.evidence.get("status") in _ELSEWHERE:
            return None
        raise
    features = answer.get("features") if isinstance(answer, dict) else None
    if not isinstance(features, list):
        raise bad_answer("alerts.active")
    told = [_properties(feature) for feature in features]
    replaced = {str(earlier.get("identifier")) for one in told for earlier in _references(one)}
    in_force = [one for one in told if one.get("messageType") in _IN_FORCE and one["id"] not in replaced]
    return list({alert.alert_id: alert for alert in map(_alert, in_force)}.values())


def bad_answer(operation: str) -> Transient:
    """Return that an answer is not what the vendor documents."""
    return Transient(
        "vendor_bad_response",
        f"weather answered {operation} with something other than the JSON it documents.",
        system="weather",
        operation=operation,
    )


def _properties(feature: JsonValue) -> dict[str, Any]:
    found = feature.get("properties") if isinstance(feature, dict) else None
    if not isinstance(found, dict) or not isinstance(found.get("id"), str) or not isinstance(found.get("event"), str):
        raise bad_answer("alerts.active")
    return found


def _references(told: dict[str, Any]) -> list[dict[str, Any]]:
    listed = told.get("references")
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _alert(told: dict[str, Any]) -> WeatherAlert:
    earlier = sorted(_references(told), key=lambda one: str(one.get("sent")))
    first = earlier[0].get("identifier") if earlier else told["id"]
    return WeatherAlert(
        alert_id=effect_id("nws", str(first)),
        event=str(told["event"])[:255],
        severity=_word(AlertSeverity, told.get("severity")),
        certainty=_word(AlertCertainty, told.get("certainty")),
        urgency=_word(AlertUrgency, told.get("urgency")),
        headline=str(told.get("headline") or told["event"])[:255],
        instruction=str(told.get("instruction") or "")[:4_000],
        onset=_instant(told.get("onset") or told.get("effective")),
        ends=_instant(told.get("ends") or told.get("expires")),
        source=AlertSource.WEATHER_SERVICE,
    )


def _word(words: type[_Word], told: Any) -> _Word:
    """The service's word; one that the standard has not is `Unknown`: an alert must not be lost over a word."""
    return words(told if told in list(words) else "Unknown")


def _instant(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else None
