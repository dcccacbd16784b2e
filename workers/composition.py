"""The composition root: every activity with its dependencies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from activities import automation_starts, emergency_audit, timeline
from activities.access import Access, EndpointResolver
from activities.admission import Admissions
from activities.alerts import Alerts
from activities.analytics import Analytics
from activities.automations import Automations
from activities.batch import Batches
from activities.bookings import Bookings
from activities.conflicts import Conflicts
from activities.connect import Connect
from activities.connectors.registry import connector_class
from activities.digests import Digests
from activities.emergency import Emergency
from activities.etl import Etl
from activities.followers import Followers
from activities.headroom import StoredHeadroom
from activities.health import Health
from activities.health_check import Examiner
from activities.health_round import Round
from activities.health_signal import inform
from activities.keys import Keys
from activities.migration import Migrations
from activities.notify import Notify
from activities.planning import Planner
from activities.ports.connection import Connection
from activities.ports.sources import SourceConnector
from activities.protection import Protection
from activities.recall import Recall
from activities.recall_wedding import WeddingRecall
from activities.refusals import Refusals
from activities.resource_days import ResourceDays
from activities.sources import Sources
from activities.states import States
from activities.storage.alert_routes import AlertRouteStore
from activities.storage.automations import AutomationStore
from activities.storage.connections import ConnectionStore
from activities.storage.database import Database
from activities.storage.dead_letters import DeadLetters
from activities.storage.delivery_receipts import DeliveryReceiptStore
from activities.storage.escalation_policies import EscalationPolicyStore
from activities.storage.health import HealthStore
from activities.storage.imports import ImportStores
from activities.storage.incidents import IncidentStore
from activities.storage.ledger import EffectLedger
from activities.storage.limits import LimitStore
from activities.storage.lost_messages import LostMessages
from activities.storage.paces import PaceStore
from activities.storage.preferences import PreferenceStore
from activities.storage.receipts import Receipts
from activities.storage.report_schemas import ReportSchemas
from activities.storage.root_keys import StoredRootKeys
from activities.storage.sealed_rows import SealedRows
from activities.storage.slot_holds import SlotHoldStore
from activities.storage.staging import Staging
from activities.storage.states import StateStore
from activities.storage.subject_keys import SubjectKeys
from activities.storage.sync_runs import SyncRuns
from activities.storage.templates import TemplateStore
from activities.sync import Sync
from activities.sync_preview import SyncPreviews
from activities.sync_removals import SyncRemovals
from activities.tokens import Tokens
from activities.transformations import Transformations
from activities.transport.outbound import vet
from activities.undelivered import Undelivered
from activities.usage import Watcher
from activities.weather_watch import WeatherWatch
from activities.wedding_source import WeddingSource
from contracts.errors import InvalidInput, Owner, Transient
from contracts.health import HealthRules
from workers.secret_store import open_secret_store
from workers.settings import Settings

Activities = list[Callable[..., Any]]
_SOURCE = "wedsync"
_STARTS_WITHIN_S = 60
"""A stand-in that is a process of its own is started when it is first asked for."""


@dataclass(frozen=True)
class Parts:
    """What a worker process runs on."""

    activities: Activities
    connections: ConnectionStore
    watchers: Sequence[Watcher] = ()


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Parts]:
    """Yield the activities of a process, and close what they opened afterwards."""
    masters = settings.load_master_keys()
    roots = StoredRootKeys(settings.database_url, masters)
    eldest = await asyncio.to_thread(roots.eldest)
    database = Database(settings.database_url)
    connections = ConnectionStore(database, masters)
    secrets = open_secret_store(settings, database, masters)
    staging = Staging(settings.staging_url, roots, settings.data_dir / "scratch")
    admissions = Admissions(LimitStore(database))
    access = Access(connections, secrets, endpoint_resolver(settings), settings.outbound_rules(), admissions.of)
    reports = source_factory(settings)
    import_dirs = [Path("/")] if settings.import_dirs is None else settings.import_dirs
    letters = DeadLetters(database, masters)
    sync = Sync(
        access,
        staging,
        Receipts(database),
        letters,
        ReportSchemas(database),
        wedsync=reports,
        import_dirs=import_dirs,
        fingerprint_key=eldest.derive("fingerprints"),
    )
    stores = ImportStores(settings.import_stores)
    sources = Sources(access, staging, import_dirs, stores=stores, wedsync=reports)
    etl = Etl(access, staging, sources, Protection(SubjectKeys(database, masters), eldest))
    transformations = Transformations(sources, staging)
    removals = SyncRemovals(access, staging, Receipts(database), reports)
    previews = SyncPreviews(access, staging, Receipts(database), fingerprint_key=eldest.derive("fingerprints"))
    planner = Planner(
        access,
        PreferenceStore(database, masters),
        TemplateStore(database, masters),
        PaceStore(database),
        eldest.derive("contacts"),
    )
    ledger = EffectLedger(database)
    notify, recall = Notify(access, connections, ledger, planner), Recall(access, ledger)
    escalations = EscalationPolicyStore(database, masters)
    emergency = Emergency(access, ledger, escalations)
    weather = WeatherWatch(access, connections, escalations)
    automations = Automations(connections, ledger, AutomationStore(database, masters))
    batches = Batches(access, notify, ledger, staging)
    states = States(access, ledger, StateStore(database))
    tokens = Tokens(access, connections, secrets, settings.oauth_apps)
    bookings = Bookings(access, connections, database)
    days = ResourceDays(access, connections, SlotHoldStore(database))
    operator = settings.alerts_organization
    alerts = Alerts(AlertRouteStore(database, masters), connections, operator=operator)
    health = build_health(database, connections, access, settings.health, operator=operator)
    keys = Keys(masters, roots, SealedRows(database, masters))
    migrations = Migrations(access, connections, Receipts(database), fingerprint_key=eldest.derive("fingerprints"))
    groups = [
        *(Connect(access, connections, secrets, letters), tokens, migrations, health, alerts),
        *(bookings, days, Conflicts(access, connections)),
        *(notify, Digests(), recall, batches, states, emergency, WeddingRecall(access, ledger), Followers(access)),
        Undelivered(ledger, DeliveryReceiptStore(database), LostMessages(database)),
        *(weather, automations, sync, removals, previews, etl, transformations, Analytics(access, staging), keys),
        WeddingSource(reports),
    ]
    try:
        yield Parts(
            activities=[
                *(timeline.plan, emergency_audit.audit, automation_starts.start, automation_starts.tell),
                *(verb for group in groups for verb in verbs(group)),
            ],
            connections=connections,
            watchers=[admissions, Refusals(connections)],
        )
    finally:
        await access.aclose()
        await database.aclose()


def build_health(
    database: Database,
    connections: ConnectionStore,
    access: Access,
    rules: HealthRules,
    *,
    operator: str = "",
) -> Health:
    """Return the verbs of health checks."""
    store, runs = HealthStore(database), SyncRuns(database)
    headroom = StoredHeadroom(LimitStore(database))
    examiner = Examiner(access, connections, store, runs, rules, headroom)
    rounds = Round(examiner, store, rules, inform)
    incidents = IncidentStore(database, rules, operator)
    return Health(connections, examiner, rounds, runs, incidents, LostMessages(database))


def verbs(group: object) -> Activities:
    """Return the activity methods of an object."""
    members = (getattr(group, name) for name in dir(group) if not name.startswith("_"))
    return [member for member in members if hasattr(member, "__temporal_activity_definition")]


def endpoint_resolver(settings: Settings) -> EndpointResolver:
    """Return how a platform's stand-in is found: never in production, else by asking the emulators."""
    known: dict[str, str | None] = {}

    async def resolve(platform: str) -> str | None:
        if not settings.emulators_url:
            return None
        if platform not in known:
            try:
                async with httpx.AsyncClient(trust_env=False, timeout=_STARTS_WITHIN_S) as client:
                    answer = await client.get(f"{settings.emulators_url}/_emulators/{platform}")
                if answer.status_code != httpx.codes.NOT_FOUND:
                    answer.raise_for_status()
            except httpx.HTTPError as error:
                raise Transient(
                    "emulators_unreachable", "The emulators do not answer; they are started again by `wedsync up`."
                ) from error
            known[platform] = answer.json().get("baseUrl")
        return known[platform]

    return resolve


def source_factory(settings: Settings) -> Callable[[str], SourceConnector]:
    """Return how the WedSync reports of an organisation are opened."""
    opened: dict[str, SourceConnector] = {}

    def open_reports(organization_id: str) -> SourceConnector:
        if not settings.report_url:
            raise InvalidInput(
                "report_source_missing",
                "This installation does not know where the WedSync reports are.",
                owner=Owner.OPERATOR,
                action="Set WEDSYNC_REPORT_URL and WEDSYNC_REPORT_TOKEN.",
            )
        if organization_id not in opened:
            manifest = replace(connector_class(_SOURCE).manifest, free_hosts=True)
            target = vet(settings.report_url, manifest, settings.outbound_rules())
            connection = Connection(
                organization_id=organization_id,
                integration_id=_SOURCE,
                platform=_SOURCE,
                base_url=target.url,
                credential={"token": SecretStr(settings.report_token.get_secret_value())},
                outbound=settings.outbound_rules(),
            )
            source = connector_class(_SOURCE)(connection)
            if not isinstance(source, SourceConnector):
                message = "the report connector does not read reports"
                raise TypeError(message)
            opened[organization_id] = source
        return opened[organization_id]

    return open_reports
