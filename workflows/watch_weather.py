"""The weather over the weddings of the next days: an emergency per warning and wedding, and its all-clear."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.emergency import EmergencyAlert, EmergencyOutcome
    from contracts.names import EMERGENCY_QUEUE, WorkflowType, emergency_workflow_id, system_queue
    from contracts.sync import SyncPriority
    from contracts.weather import AlertSeverity
    from contracts.weather_watch import (
        OpenWarning,
        PlaceLook,
        PlacesRequest,
        PlaceWarning,
        WatchedPlace,
        WatchedPlaces,
        WatchWeatherInput,
        WatchWeatherResult,
    )
    from workflows import policies
    from workflows.visibility import tag

_AT_ONCE = 20
_LONGER = timedelta(days=1)
_WORST_FIRST = tuple(AlertSeverity)
_Key = tuple[str, str, str]


@workflow.defn(name=WorkflowType.WATCH_WEATHER)
class WatchWeather:
    """Runs by a schedule per shard; what is open is handed from run to run."""

    @workflow.run
    async def run(self, request: WatchWeatherInput) -> WatchWeatherResult:
        """Return what was found; a place that cannot be looked at keeps its warnings open."""
        tag(run_kind="weather", outcome="running")
        before = workflow.get_last_completion_result(WatchWeatherResult) or WatchWeatherResult()
        known = {_key(one): one for one in before.open}
        found = await workflow.execute_local_activity(
            "weather_watch.places",
            PlacesRequest(watch=request, now=workflow.now()),
            result_type=WatchedPlaces,
            **policies.local_options(policies.LOCAL),
        )
        looks = await self._look_at_all(found.places)
        unseen = {(place.organization_id, place.wedding_id) for place, look in looks if look is None}
        standing = {_key(one.warning): one for _, look in looks if look for one in look.warnings}
        raised = [await self._raise(one, known.get(key)) for key, one in standing.items()]
        over = [one for key, one in known.items() if key not in standing and _wedding(one) not in unseen]
        for one in over:
            await _end(one, EmergencyOutcome.ALL_CLEAR)
        kept = [one for one in known.values() if _wedding(one) in unseen]
        tag(outcome="partial" if unseen else "success")
        return WatchWeatherResult(
            looked=len(looks) - len(unseen),
            failed=len(unseen),
            raised=sum(raised),
            cleared=len(over),
            open=[*kept, *(_worse(one.warning, known.get(key)) for key, one in standing.items())],
        )

    async def _look_at_all(self, places: list[WatchedPlace]) -> list[tuple[WatchedPlace, PlaceLook | None]]:
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(place: WatchedPlace) -> tuple[WatchedPlace, PlaceLook | None]:
            async with slots:
                return place, await _look(place)

        return list(await asyncio.gather(*(one(place) for place in places)))

    async def _raise(self, found: PlaceWarning, before: OpenWarning | None) -> bool:
        """Raise the emergency of a warning that is new or has become worse; True when it was."""
        if before is not None and not _is_worse(found.warning, before):
            return False
        if not await _start(found.alert):
            return False
        if before is not None:
            await _end(before, EmergencyOutcome.SUPERSEDED)
        return True


async def _look(place: WatchedPlace) -> PlaceLook | None:
    try:
        look: PlaceLook = await workflow.execute_activity(
            "weather_watch.look",
            place,
            result_type=PlaceLook,
            task_queue=system_queue(place.platform),
            priority=policies.connection_priority(SyncPriority.HIGH, place.organization_id, place.integration_id),
            summary=f"Weather over {place.wedding_id}",
            **policies.PROBE.options(),
        )
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise
        return None
    return look


async def _start(alert: EmergencyAlert) -> bool:
    """Raise an emergency that goes on by itself; False when it was raised before."""
    try:
        await workflow.start_child_workflow(
            WorkflowType.RAISE_EMERGENCY,
            alert,
            id=emergency_workflow_id(alert.organization_id, alert.alert_id),
            task_queue=EMERGENCY_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            execution_timeout=alert.repeat_for + _LONGER,
            priority=policies.priority(SyncPriority.CRITICAL, alert.organization_id),
            static_summary=f"Emergency {alert.alert_id}",
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


async def _end(warning: OpenWarning, outcome: EmergencyOutcome) -> None:
    """End the emergency of a warning; one that somebody has acknowledged is over already."""
    workflow_id = emergency_workflow_id(warning.organization_id, warning.alert_id)
    try:
        await workflow.get_external_workflow_handle(workflow_id).signal("call_off", outcome)
    except ApplicationError:
        workflow.logger.info("the emergency of a warning is over already")


def _key(warning: OpenWarning) -> _Key:
    return (*_wedding(warning), warning.warning_id)


def _wedding(warning: OpenWarning) -> tuple[str, str]:
    return warning.organization_id, warning.wedding_id


def _is_worse(now: OpenWarning, before: OpenWarning) -> bool:
    return _WORST_FIRST.index(now.severity) < _WORST_FIRST.index(before.severity)


def _worse(now: OpenWarning, before: OpenWarning | None) -> OpenWarning:
    return now if before is None or _is_worse(now, before) else before
