"""SAP Analytics Cloud: reports imported into planning models by jobs of its Data Import Service."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import JsonValue

from activities.connectors.bi.sap_import import SYSTEM, ImportService, bad_response
from activities.connectors.bi.sap_rows import VERSION, Columns, Sent, bodies
from activities.ports.connection import Connection
from activities.ports.datasets import PublishAnswer, PublishRequest
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, OAuth, RateLimit
from activities.transport.client import JsonClient
from activities.transport.offload import offload_to
from contracts.base import JsonObject
from contracts.errors import Permanent, Transient
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult

_TIMEOUT_S = 300.0
_REASON = "_REJECTION_REASON"
_OPEN = frozenset({"READY_FOR_DATA", "READY_FOR_WRITE"})
_MODELS = {
    "weddings": "Wedding_Portfolio",
    "revenue": "Wedding_Revenue",
    "satisfaction": "Client_Satisfaction",
    "seasonality": "Seasonal_Bookings",
    "vendors": "Vendor_Performance",
}


@dataclass(frozen=True)
class _Job:
    """An import job that holds all rows: what a later attempt has to know of it."""

    job_id: str
    rows: int
    refused: Mapping[int, str] = field(default_factory=dict)

    def text(self) -> str:
        return json.dumps({"job": self.job_id, "rows": self.rows, "refused": {**self.refused}})


class SapAnalyticsCloud:
    """One SAP Analytics Cloud tenant, reached as an OAuth client of its own.

    Source: SAP Analytics Cloud REST API, "api/v1/dataimport" 1.2.0,
        https://help.sap.com/docs/SAP_ANALYTICS_CLOUD/14cac91febef464dbb1efce20e3f1613.
    """

    manifest: ClassVar[Manifest] = Manifest(
        system=SYSTEM,
        title="SAP Analytics Cloud",
        family=IntegrationType.BI_PLATFORM,
        api_version="v1",
        documentation_url="https://help.sap.com/docs/SAP_ANALYTICS_CLOUD/14cac91febef464dbb1efce20e3f1613",
        credential_fields=("accessToken",),
        optional_credential_fields=("clientId", "clientSecret"),
        oauth=OAuth(
            authorize_url="",
            token_url="https://{tenant}.authentication.{region}.hana.ondemand.com/oauth/token",  # noqa: S106
            token_hosts=("*.hana.ondemand.com",),
            client_credentials=True,
        ),
        default_base_url="",
        hosts=("*.sapanalytics.cloud", "*.hcs.cloud.sap"),
        address="https://{tenant}.{region}.sapanalytics.cloud",
        capabilities=frozenset({Capability.DATASETS}),
        guarantee=EffectGuarantee.UPSERT,
        rate_limit=RateLimit(requests=100, per_s=60.0),
        required_settings=("tenant", "region", "version"),
        batch_size=10_000,
        timeout_s=_TIMEOUT_S,
        notes=(
            "The OAuth client has the purpose API Access and access to the Data Import Service.",
            "The report's rows take the place of everything in the model's version that is named, such as",
            "public.WedSync: give WedSync a version of its own.",
            "dataMapping brings the report's fields into the model's columns; its dimensions tell rows apart.",
            "Days become members of a date dimension by the length of its column: a year, a month or a day.",
            "A row that SAP refuses is a rejected record with SAP's reason; the others are imported.",
            "SAP publishes no limit of requests; 100 a minute are ours.",
            "An import job whose creation was never answered stays open there, empty; it does nothing.",
        ),
    )

    def __init__(self, connection: Connection) -> None:
        self._version = connection.setting("version")
        headers = {"Authorization": f"Bearer {connection.secret('accessToken')}", "x-sap-sac-custom-auth": "true"}
        base_url = self.manifest.address_of(connection.base_url, connection.settings)
        self._http = JsonClient.opened(connection, _TIMEOUT_S, headers, base_url=base_url)

    async def aclose(self) -> None:
        """Release the sockets."""
        await self._http.aclose()

    async def probe(self) -> ConnectionProbe:
        """List the models that take imports; they are the features.

        Raises:
            AuthExpired: the token is refused.
            Permanent: the OAuth client has no access to the service.
            Transient: no usable answer.
        """
        began = time.monotonic()
        models = await ImportService(self._http).models()
        latency_ms = (time.monotonic() - began) * 1_000
        return ConnectionProbe(
            ok=True, latency_ms=latency_ms, features=[str(model.get("modelName")) for model in models[:50]]
        )

    async def provision(self) -> ProvisionResult:
        """Create nothing: models are made by people. Idempotent: yes."""
        return ProvisionResult()

    def data_sources(self) -> Mapping[str, str]:
        """Return report id -> name of the model it feeds."""
        return dict(_MODELS)

    async def publish(self, request: PublishRequest) -> PublishAnswer:
        """Replace the facts in the connection's version of the named model by the request's rows.

        Idempotent: yes. A job that holds all rows is found again by its id; one that was still being filled has done
        nothing and is deleted; the same rows imported twice end in the same facts.

        Raises:
            AuthExpired: the token is refused.
            InvalidInput: `model_missing`, `name_not_unique`, or `columns_unknown`.
            OutcomeUnknown: an answer was lost; publishing again looks first.
            Permanent: `no_row_taken`, `import_failed`, or an answer that leaves rows unaccounted for.
            QualityGateFailed: SAP refuses more rows than the request allows; the model is as it was.
        """
        service = ImportService(self._http)
        model_id = await service.model_id(request.name)
        job = await self._filled(service, request) or await self._fill(service, model_id, request)
        status = await self._ended(service, job, request)
        if status.get("jobStatus") != "COMPLETED":
            await request.progress.note("")
            raise Permanent(
                "import_failed",
                f"SAP Analytics Cloud could not import the rows into the model {request.name!r}.",
                action="Read the model's import jobs in SAP Analytics Cloud, then start the sync again.",
                system=SYSTEM,
                operation="job.run",
                evidence={"status": str(status.get("jobStatus"))},
            )
        return PublishAnswer(model_id, job.rows, service.calls, job.refused)

    async def _filled(self, service: ImportService, request: PublishRequest) -> _Job | None:
        """Return an earlier attempt's job if it holds all rows; delete one that was still being filled."""
        noted = await request.progress.noted()
        if not noted:
            return None
        known = json.loads(noted)
        job = _Job(known["job"], known["rows"], {int(row): reason for row, reason in known["refused"].items()})
        if job.rows and await service.status(job.job_id) is not None:
            return job
        await service.delete(job.job_id)
        return None

    async def _fill(self, service: ImportService, model_id: str, request: PublishRequest) -> _Job:
        """Return a new job that holds all rows that SAP takes."""
        columns, sent = Columns.of(await service.fact_columns(model_id), request), Sent()
        settings: JsonObject = {
            "importMethod": "CleanAndReplace",
            "dimensionScope": [VERSION],
            "executeWithFailedRows": True,
            "ignoreAdditionalColumns": False,
        }
        job_id = await service.begin(model_id, settings)
        await request.progress.note(_Job(job_id, 0).text())
        uploads = bodies(request, columns, self._version, sent)
        while (upload := await offload_to(SYSTEM, lambda: next(uploads, None))) is not None:
            _account(await service.upload(job_id, upload[1]), upload[0], columns, sent)
        if sent.taken:
            await self._validate(service, job_id, columns, sent)
        try:
            request.check_refused(len(sent.refused))
            if not sent.taken:
                raise _no_row_taken(request.name)
        except Permanent:
            await service.delete(job_id)
            raise
        job = _Job(job_id, sent.taken, sent.refused)
        await request.progress.note(job.text())
        return job

    async def _validate(self, service: ImportService, job_id: str, columns: Columns, sent: Sent) -> None:
        """Have SAP hold the rows against the model, and note which ones it will leave out."""
        judged = await service.validate(job_id)
        invalid = await service.invalid_rows(job_id) if _number(judged, "failedNumberRows") else []
        known = [sent.refuse(columns.key(row), str(row.get(_REASON) or "refused")) for row in invalid]
        if len(known) != _number(judged, "failedNumberRows") or not all(known):
            raise Permanent(
                "rejections_unclear",
                "SAP Analytics Cloud does not say of every row whether it takes it; nothing was imported.",
                action="Compare the job's invalid rows in SAP Analytics Cloud with the report.",
                system=SYSTEM,
                operation="job.validate",
            )

    async def _ended(self, service: ImportService, job: _Job, request: PublishRequest) -> JsonObject:
        """Run the job unless it was run, and return its status when it has ended."""
        ran = False
        while (status := await service.status(job.job_id)) is not None:
            if status.get("jobStatus") in _OPEN and not ran:
                await service.run(job.job_id)
                ran = True
            elif status.get("jobStatus") in _OPEN or status.get("jobStatus") == "PROCESSING":
                await request.progress.pause()
            else:
                return status
        await request.progress.note("")
        raise Transient(
            "import_job_gone",
            "SAP Analytics Cloud no longer has the import job; the next attempt begins another.",
            system=SYSTEM,
            operation="job.status",
        )


def _account(answer: JsonObject, rows: int, columns: Columns, sent: Sent) -> None:
    """Note the rows of an upload that SAP does not take, which it tells with the answer and never again."""
    failed = answer.get("failedRows")
    faulty = [one for one in failed if isinstance(one, dict)] if isinstance(failed, list) else []
    for one in faulty:
        row = one.get("row")
        if not isinstance(row, dict) or not sent.refuse(columns.key(row), str(one.get("reason") or "refused")):
            raise bad_response("job.upload", writes=True)
    if _number(answer, "upsertedNumberRows") + len(faulty) != rows:
        raise bad_response("job.upload", writes=True)


def _number(answer: JsonObject, name: str) -> int:
    """Return a count, which SAP writes as a number or as text; -1 when there is none."""
    value: JsonValue = answer.get(name)
    return int(value) if isinstance(value, int | str) and str(value).isdecimal() else -1


def _no_row_taken(name: str) -> Permanent:
    return Permanent(
        "no_row_taken",
        f"SAP Analytics Cloud takes none of the rows for the model {name!r}, which is as it was.",
        action="Compare the reasons with the model's dimensions and their members.",
        system=SYSTEM,
        operation="job.upload",
    )
