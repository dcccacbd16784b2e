"""How an incident reads when it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from contracts.alerts import Alert, AlertKind, DueAlert, Severity

_NAMED = 100
_STATES = {
    AlertKind.INTEGRATION_UNHEALTHY: "unhealthy",
    AlertKind.INTEGRATION_DEGRADED: "degraded",
    AlertKind.RUN_MISSING: "without the sync that was due",
    AlertKind.VOLUME_ODD: "reading an odd volume",
}


@dataclass(frozen=True)
class Member:
    """An integration of an incident; `recovered` is False where it merely ended, such as by a pause."""

    organization_id: str
    integration_id: str
    sentence: str
    recovered: bool
    in_outage: bool


@dataclass(frozen=True)
class Incident:
    """Alarms that belong together; `closed_at` is None while one of them is open."""

    incident_id: str
    organization_id: str
    platform: str
    is_outage: bool
    kind: AlertKind
    severity: Severity
    since: datetime
    closed_at: datetime | None
    members: Sequence[Member]


def due_alert(incident: Incident) -> DueAlert:
    """Return the alert that an incident is now: its beginning, its worsening, or its end."""
    ended = incident.closed_at is not None
    alert = Alert(
        organization_id=incident.organization_id,
        kind=AlertKind.INTEGRATION_RECOVERED if ended else incident.kind,
        severity=incident.severity,
        since=incident.closed_at or incident.since,
        # The integrations of an outage belong to others than its reader.
        integration_ids=[] if incident.is_outage else [one.integration_id for one in incident.members[:_NAMED]],
        count=len(incident.members),
        sentence=_ending(incident) if ended else _beginning(incident),
        action="" if ended else "See what the checks found with `wedsync health`.",
        parts=[incident.incident_id],
        incident_id=incident.incident_id,
        to_operator=incident.is_outage,
        falls_back=not all(one.in_outage for one in incident.members),
    )
    return DueAlert(incident_id=incident.incident_id, alert=alert)


def _beginning(incident: Incident) -> str:
    members = incident.members
    if incident.is_outage:
        owners = len({one.organization_id for one in members})
        return f"{len(members)} integrations of {owners} organisations on {incident.platform} fail together."
    if len(members) == 1:
        return members[0].sentence
    where = f" on {incident.platform}" if incident.platform else ""
    state = _STATES.get(incident.kind, "in trouble")
    return f"{len(members)} integrations{where} are in trouble, the worst of them {state}: {members[0].sentence}"[
        :4_000
    ]


def _ending(incident: Incident) -> str:
    members = incident.members
    well = sum(one.recovered for one in members)
    if len(members) == 1:
        return "It is well again." if well else "It is no longer checked, because it is paused or disconnected."
    if well == len(members):
        return f"All {well} integrations are well again."
    return f"{well} of {len(members)} integrations are well again; the others are paused or disconnected."
