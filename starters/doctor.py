"""Examining an installation: each part, what was found, what to do next."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import httpx
from temporalio.client import Client

from activities.emergency_audit import look
from activities.security.key_files import KeyFiles
from contracts.base import Contract, ShortText, Text
from contracts.emergency import AuditRequest
from contracts.errors import WedSyncError
from contracts.names import EMERGENCY_QUEUE, ORCHESTRATION_QUEUE
from starters.failures import translated
from starters.queues import is_polled
from starters.schedules import silent_schedules
from starters.store_schema import schema_is_current
from workers.roster import queues
from workers.search_attributes import missing_attributes
from workers.settings import Settings
from workers.temporal import connect

_TIMEOUT_S = 5.0


class Check(Contract):
    """One part of the installation."""

    name: ShortText
    ok: bool
    found: Text
    action: Text = ""


async def examine(settings: Settings) -> list[Check]:
    """Return what was found about every part; nothing is changed."""
    checks = [*_on_disk(settings), await _store(settings)]
    checks += [check async for check in _temporal(settings)]
    checks.append(await _emulators(settings))
    return checks


def _on_disk(settings: Settings) -> Iterator[Check]:
    directory = settings.data_dir
    if not directory.is_dir():
        yield _problem("data directory", "It is not there.", "Run `wedsync up`, or name it with --data-dir.")
        return
    if os.access(directory, os.W_OK):
        yield _ok("data directory", "It is writable.")
    else:
        yield _problem("data directory", "It is not writable.", "Give its owner's rights to this user.")
    key = settings.master_key_file
    if settings.master_key is not None:
        yield _ok("master key", "It comes from the environment.")
    elif not key.exists():
        yield _problem("master key", "There is none yet.", "Run `wedsync up`, or set WEDSYNC_MASTER_KEY.")
    else:
        yield _key_files(KeyFiles(key))


def _key_files(files: KeyFiles) -> Check:
    try:
        keys = files.read()
    except WedSyncError as error:
        return _problem("master key", error.detail.message, error.detail.action)
    if len(keys) > 1:
        return _problem("master key", "A rotation was broken off.", "Run `wedsync keys rotate`, which takes it up.")
    return _ok("master key", "Its file is its owner's alone.")


async def _store(settings: Settings) -> Check:
    try:
        current = await asyncio.to_thread(schema_is_current, settings.database_url)
    except Exception as error:  # every driver has its own exceptions, and the sentence is the same
        return _problem("store", f"It does not answer ({type(error).__name__}).", "Check WEDSYNC_DATABASE_URL.")
    if not current:
        return _problem("store", "Its schema is not current.", "Run `wedsync up`, which renews it.")
    return _ok("store", "Its schema is current.")


async def _temporal(settings: Settings) -> AsyncIterator[Check]:
    try:
        client = await connect(settings.model_copy(update={"metrics_address": ""}))
    except WedSyncError as error:
        yield _problem("temporal", error.detail.message, error.detail.action)
        return
    yield _ok("temporal", f"It answers at {settings.temporal_address}.")
    try:
        with translated():
            missing = await missing_attributes(client)
        yield (
            _problem(
                "search attributes",
                f"Missing: {', '.join(missing)}.",
                "Register them as Keyword with `temporal operator search-attribute create`.",
            )
            if missing
            else _ok("search attributes", "All are registered.")
        )
        yield await _workers(client)
        yield await _health_checks(client, settings)
        yield await _emergencies(client)
    except WedSyncError as error:
        yield _problem("temporal", error.detail.message, error.detail.action)


async def _workers(client: Client) -> Check:
    names = queues()
    polled = await asyncio.gather(*(is_polled(client, name, activities=name != ORCHESTRATION_QUEUE) for name in names))
    alone = [name for name, found in zip(names, polled, strict=True) if not found]
    if alone:
        return _problem(
            "workers", f"Nobody polls {', '.join(alone)}.", f"Run `wedsync worker --queues {','.join(alone)}`."
        )
    return _ok("workers", f"All {len(names)} queues are polled.")


async def _health_checks(client: Client, settings: Settings) -> Check:
    missing = await silent_schedules(client, settings.health_shards)
    if missing:
        return _problem("health checks", f"Not running: {', '.join(missing)}.", "Run `wedsync schedules apply`.")
    return _ok(
        "health checks", f"All {settings.health_shards} shards are checked, alerts are told, emergencies are watched."
    )


async def _emergencies(client: Client) -> Check:
    with translated():
        found = await look(client, AuditRequest(), datetime.now(UTC))
    if found.overdue:
        late = ", ".join(one.alert_id for one in found.overdue)
        return _problem(
            "emergencies",
            f"These do not escalate: {late}.",
            f"Alert their people yourself; restart `wedsync worker --queues {EMERGENCY_QUEUE}` and read its log.",
        )
    return _ok("emergencies", f"{found.running} are running, and none is late.")


async def _emulators(settings: Settings) -> Check:
    if not settings.emulators_url:
        return _ok("emulators", "None are configured: integrations speak to real vendors.")
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
            answer = await client.get(f"{settings.emulators_url}/_emulators")
            systems = sorted(answer.raise_for_status().json()["systems"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return _problem(
            "emulators",
            f"They do not answer ({type(error).__name__}).",
            "Start them with `wedsync up` or `wedsync emulators`, or unset WEDSYNC_EMULATORS_URL.",
        )
    return _ok("emulators", f"They answer for {', '.join(systems)}.")


def _ok(name: str, found: str) -> Check:
    return Check(name=name, ok=True, found=found)


def _problem(name: str, found: str, action: str) -> Check:
    return Check(name=name, ok=False, found=found, action=action)
