"""Tableau Cloud and Server: reports published as .hyper data sources with their refresh schedules."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar, TypeVar
from xml.etree.ElementTree import ParseError

import tableauserverclient as tsc
from requests import Response, Session  # noqa: TID251 - the SDK takes its transport from this library only
from requests.exceptions import ConnectTimeout, RequestException  # noqa: TID251
from tableauserverclient.config import config as sizes
from tableauserverclient.server.endpoint import exceptions as refusals
from tableauserverclient.server.exceptions import EndpointUnavailableError

from activities.connectors.bi.tableau_hyper import write_hyper
from activities.connectors.bi.tableau_schedule import interval_of
from activities.ports.connection import Connection
from activities.ports.datasets import PublishAnswer, PublishRequest
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from activities.transport.bounds import AnswerTooLargeError, Limits, too_large
from activities.transport.classify import status_error
from activities.transport.offload import offload_to
from activities.transport.pools import outbound_session
from activities.transport.tls import tls_error
from contracts.errors import AuthExpired, OutcomeUnknown, Owner, Transient, WedSyncError
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult

SYSTEM = "tableau"
T = TypeVar("T")
_DEFAULT_PROJECT = "WedSync"
_TIMEOUT_S = (10.0, 300.0)
_PROBE_CALLS = 3
_PROVISION_CALLS = 5
_PUBLISH_CALLS = 10
_MB = 1 << 20
# The SDK holds what it sends at once several times in memory, and takes these sizes from the environment alone.
for _size in ("TSC_CHUNK_SIZE_MB", "TSC_FILESIZE_LIMIT_MB"):
    os.environ.setdefault(_size, "8")

logging.getLogger("TSC").setLevel(logging.WARNING)


@dataclass(frozen=True)
class _Source:
    name: str
    refresh_cron: str | None


_SOURCES = {
    "revenue": _Source("Wedding Revenue Analytics", "0 6 * * *"),
    "satisfaction": _Source("Client Satisfaction Metrics", "0 7 * * *"),
    "seasonality": _Source("Seasonal Booking Patterns", "0 2 * * 1"),
    "vendors": _Source("Vendor Performance Benchmarks", "0 3 1 * *"),
    "weddings": _Source("Wedding Portfolio", None),
}
_CRONS = {source.name: source.refresh_cron for source in _SOURCES.values()}


class Tableau:
    """One Tableau site, reached with a personal access token.

    A second sign-in with a token ends its first session, so each instance has one session at a time.

    Source: https://help.tableau.com/current/api/rest_api/en-us/REST/rest_api.htm (REST API; the version the server
        states), by the official client tableauserverclient 0.42.
    """

    manifest: ClassVar[Manifest] = Manifest(
        system=SYSTEM,
        title="Tableau",
        family=IntegrationType.BI_PLATFORM,
        api_version="3.27",
        documentation_url="https://help.tableau.com/current/api/rest_api/en-us/REST/rest_api.htm",
        credential_fields=("tokenName", "tokenSecret"),
        default_base_url="https://online.tableau.com",
        free_hosts=True,
        ports=(443, 8443),
        capabilities=frozenset({Capability.DATASETS}),
        guarantee=EffectGuarantee.UPSERT,
        rate_limit=RateLimit(requests=100, per_s=10.0),
        required_settings=("siteName",),
        optional_settings=("projectName",),
        batch_size=10_000,
        timeout_s=_TIMEOUT_S[1],
        notes=(
            "siteName is the site's contentUrl.",
            "Tableau publishes no general rate limit; 100 requests per 10 s are ours, counted when a session begins.",
            "A publication makes about eight requests, more above 8 MB, where the file travels in chunks of them.",
        ),
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._project = connection.setting("projectName", _DEFAULT_PROJECT)
        self._one_session = asyncio.Lock()

    async def probe(self) -> ConnectionProbe:
        """Sign in and out; the latency is that of both.

        Raises:
            AuthExpired: the token is refused.
            Transient: Tableau does not answer.
        """
        started = time.perf_counter()
        site, version = await self._run(_PROBE_CALLS, lambda server, _: (server.site_id, server.version))
        latency_ms = (time.perf_counter() - started) * 1_000
        return ConnectionProbe(ok=True, latency_ms=latency_ms, account=site, features=[f"rest-api-{version}"])

    async def provision(self) -> ProvisionResult:
        """Create the project that holds the data sources. Idempotent: yes, by its name."""

        def make(server: tsc.Server, exchange: _Exchange) -> ProvisionResult:
            name = f"project {self._project}"
            if _project(server, exchange, self._project) is not None:
                return ProvisionResult(existing=[name])
            _create_project(server, exchange, self._project)
            return ProvisionResult(created=[name])

        return await self._run(_PROVISION_CALLS, make)

    async def aclose(self) -> None:
        """Do nothing: every session ends with its call."""

    def data_sources(self) -> Mapping[str, str]:
        """Return report id -> name of the data source it feeds."""
        return {report: source.name for report, source in _SOURCES.items()}

    async def publish(self, request: PublishRequest) -> PublishAnswer:
        """Replace the named data source by the request's rows, and see to its refresh schedule.

        Idempotent: yes, publishing overwrites by name and project, and an existing schedule is left as it is.

        Raises:
            AuthExpired: the token is refused.
            OutcomeUnknown: the answer was lost; publishing again ends in the same state.
            InvalidInput: `schedule_not_supported`.

        Source: https://help.tableau.com/current/api/rest_api/en-us/REST/rest_api_ref_data_sources.htm
            (Publish Data Source).
        """
        path = request.scratch_dir / f"{request.request_id}.hyper"
        path.unlink(missing_ok=True)
        rows = await offload_to(SYSTEM, write_hyper, request.files, request.columns, path)
        cron = request.refresh_cron or _CRONS.get(request.name)

        def send(server: tsc.Server, exchange: _Exchange) -> PublishAnswer:
            project = _project(server, exchange, self._project) or _create_project(server, exchange, self._project)
            item = tsc.DatasourceItem(project.id or "", name=request.name)
            with exchange.step("datasources.publish", writes=True):
                published = server.datasources.publish(item, path, tsc.Server.PublishMode.Overwrite)
            if cron is not None:
                _ensure_schedule(server, exchange, str(published.id), request.name, cron)
            return PublishAnswer(str(published.id), rows, exchange.count)

        try:
            return await self._run(_PUBLISH_CALLS + path.stat().st_size // (sizes.CHUNK_SIZE_MB * _MB), send)
        finally:
            path.unlink(missing_ok=True)

    async def _run(self, most_calls: int, work: Callable[[tsc.Server, _Exchange], T]) -> T:
        async with self._one_session:
            # The whole session at once: one that is refused in the middle would have to upload again.
            await self._connection.admission.admit(most_calls)
            return await offload_to(SYSTEM, self._signed_in, work)

    def _signed_in(self, work: Callable[[tsc.Server, _Exchange], T]) -> T:
        exchange = _Exchange()
        server = tsc.Server(self._connection.base_url, session_factory=lambda: self._session(exchange))
        server.add_http_options({"timeout": _TIMEOUT_S})
        token = tsc.PersonalAccessTokenAuth(
            self._connection.secret("tokenName"),
            self._connection.secret("tokenSecret"),
            self._connection.setting("siteName"),
        )
        with exchange.step("server.info", writes=False):
            # Without this the client stays at an API version that lacks refresh tasks.
            server.use_server_version()
        with exchange.step("auth.signin", writes=False):
            server.auth.sign_in(token)
        try:
            answer = work(server, exchange)
        except BaseException:
            _sign_out(server)
            raise
        _sign_out(server)
        return answer

    def _session(self, exchange: _Exchange) -> Session:
        session = outbound_session(self._connection, system=SYSTEM, limits=Limits(total_s=_TIMEOUT_S[1]))
        session.hooks["response"].append(exchange.seen)
        return session


class _Exchange:
    """The answers of one session: how many there were, and what the last one said."""

    def __init__(self) -> None:
        self.count = 0
        self._status = 0
        self._retry_after: str | None = None

    def seen(self, response: Response, **_options: object) -> None:
        """Note an answer before the SDK interprets it."""
        self.count += 1
        self._status = response.status_code
        self._retry_after = response.headers.get("Retry-After")

    @contextmanager
    def step(self, operation: str, *, writes: bool) -> Iterator[None]:
        """Turn what the SDK raises into our errors, by type, status and code."""
        self._status = 0
        failure: WedSyncError
        try:
            yield
        except refusals.TableauError as error:
            failure = self._refused(operation, str(getattr(error, "code", "")), writes=writes)
        except (EndpointUnavailableError, ParseError, IndexError, AttributeError):
            failure = _unusable(operation, writes=writes)
        except AnswerTooLargeError:
            failure = too_large(SYSTEM, operation, writes=writes)
        except RequestException as error:
            distrust = tls_error(SYSTEM, operation, error, owner=Owner.TENANT)
            failure = distrust or _unanswered(operation, error, writes=writes)
        else:
            return
        # Raised outside the handlers: the SDK's exceptions hold request addresses and answers.
        raise failure

    def _refused(self, operation: str, code: str, *, writes: bool) -> WedSyncError:
        status = self._status
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return _unusable(operation, writes=writes)
        if status != HTTPStatus.UNAUTHORIZED:
            word = code if code.isdecimal() else ""
            return status_error(SYSTEM, operation, status, retry_after=self._retry_after, code=word, writes=writes)
        return AuthExpired(
            "credential_refused",
            f"Tableau refuses the personal access token for {operation}.",
            action="Create a new token in Tableau and rotate the integration's credential.",
            system=SYSTEM,
            operation=operation,
            evidence={"status": status, "vendorCode": code},
        )


def _project(server: tsc.Server, exchange: _Exchange, name: str) -> tsc.ProjectItem | None:
    options = tsc.RequestOptions()
    options.filter.add(tsc.Filter(tsc.RequestOptions.Field.Name, tsc.RequestOptions.Operator.Equals, name))
    with exchange.step("projects.list", writes=False):
        found, _ = server.projects.get(options)
    return next((project for project in found if project.name == name), None)


def _create_project(server: tsc.Server, exchange: _Exchange, name: str) -> tsc.ProjectItem:
    with exchange.step("projects.create", writes=True):
        return server.projects.create(tsc.ProjectItem(name))


def _ensure_schedule(server: tsc.Server, exchange: _Exchange, datasource_id: str, name: str, cron: str) -> None:
    interval = interval_of(cron)
    with exchange.step("tasks.list", writes=False):
        tasks = list(tsc.Pager(server.tasks))
    if any(task.target is not None and task.target.id == datasource_id for task in tasks):
        return
    schedule = tsc.ScheduleItem(name, 50, tsc.ScheduleItem.Type.Extract, "Parallel", interval)
    task = tsc.TaskItem("", "FullRefresh", 50, schedule_item=schedule, target=tsc.Target(datasource_id, "datasource"))
    with exchange.step("tasks.create", writes=True):
        server.tasks.create(task)


def _sign_out(server: tsc.Server) -> None:
    try:
        server.auth.sign_out()
    except (refusals.TableauError, RequestException, AnswerTooLargeError, WedSyncError):
        # The work is done or has its own error; a session that is left open ends by itself.
        logging.getLogger(__name__).info("tableau did not confirm the sign-out")


def _unusable(operation: str, *, writes: bool) -> WedSyncError:
    kind = OutcomeUnknown if writes else Transient
    return kind(
        "vendor_bad_response",
        f"Tableau answered {operation} with something other than the XML it documents.",
        system=SYSTEM,
        operation=operation,
    )


def _unanswered(operation: str, error: RequestException, *, writes: bool) -> WedSyncError:
    kind = OutcomeUnknown if writes and not isinstance(error, ConnectTimeout) else Transient
    return kind(
        "vendor_no_answer",
        f"Tableau did not answer {operation}.",
        system=SYSTEM,
        operation=operation,
    )
