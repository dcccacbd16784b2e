"""How an alert reads, and which routes take it."""

from __future__ import annotations

from contracts.alerts import Alert, AlertKind, AlertRoute, Severity
from contracts.notification import SourceNotification
from contracts.sync import SyncPriority

_NAMED = 10
_TITLES = {
    AlertKind.INTEGRATION_UNHEALTHY: "Unhealthy",
    AlertKind.INTEGRATION_DEGRADED: "Degraded",
    AlertKind.INTEGRATION_RECOVERED: "Recovered",
    AlertKind.RECONNECT_REQUIRED: "Reconnect required",
    AlertKind.RUN_MISSING: "Sync missing",
    AlertKind.VOLUME_ODD: "Odd volume",
    AlertKind.DECISION_NEEDED: "Decision needed",
    AlertKind.MESSAGE_UNDELIVERED: "Message not delivered",
    AlertKind.ESCALATION_STOPPED: "Emergencies do not escalate",
    AlertKind.ESCALATION_RESUMED: "Emergencies escalate again",
}
_RECOVERIES = {AlertKind.INTEGRATION_RECOVERED, AlertKind.ESCALATION_RESUMED}
_PRIORITIES = {
    Severity.INFO: SyncPriority.LOW,
    Severity.WARNING: SyncPriority.NORMAL,
    Severity.ERROR: SyncPriority.HIGH,
    Severity.CRITICAL: SyncPriority.CRITICAL,
}


def takes(route: AlertRoute, alert: Alert) -> bool:
    """Return whether a route wants an alert; a recovery goes wherever its severity did."""
    recovery = alert.kind in _RECOVERIES
    return route.min_severity.rank <= alert.severity.rank and (recovery or not route.kinds or alert.kind in route.kinds)


def notification_of(alert: Alert) -> SourceNotification:
    """Return the alert as a notification: what happened, since when, where, and what to do."""
    named = alert.integration_ids[:_NAMED]
    count = max(alert.count, len(alert.integration_ids))
    more = f" and {count - len(named)} more" if count > len(named) else ""
    lines = [
        alert.sentence,
        f"Since {alert.since:%Y-%m-%d %H:%M} UTC.",
        f"Integrations: {', '.join(named)}{more}." if named else "",
        alert.decided or alert.action,
    ]
    where = named[0] if count == 1 and named else f"{count} integrations" if count else alert.organization_id
    resolved = alert.kind in _RECOVERIES
    return SourceNotification(
        notification_id=alert.alert_id,
        type=alert.kind,
        title=f"{'Decided' if alert.decided else _TITLES[alert.kind]}: {where}",
        message="\n".join(line for line in lines if line)[:4_000],
        priority=SyncPriority.NORMAL if resolved else _PRIORITIES[alert.severity],
        metadata={
            "severity": alert.severity,
            "incidentId": alert.incident_id or alert.alert_id,
            "incidentAction": "resolve" if resolved else "trigger",
            # Trouble that comes again is told again, in the same words.
            "dedupKey": f"{alert.alert_id}.{'resolve' if resolved else 'trigger'}",
        },
        actions=[] if alert.decided else alert.actions,
        created_at=alert.since,
    )
