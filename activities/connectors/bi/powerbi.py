"""Power BI: reports pushed into models of their own, or models refreshed that are based on the warehouse."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import ClassVar

import pyarrow.parquet as pq

from activities.connectors.bi.powerbi_rows import MARK, Part, check_size, parts_of, table_of
from activities.connectors.bi.powerbi_workspace import SYSTEM, Workspace, error_word
from activities.ports.connection import Connection
from activities.ports.datasets import PublishAnswer, PublishRequest
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, OAuth, RateLimit
from activities.transport.client import JsonClient
from activities.transport.offload import offload_to
from contracts.base import JsonObject
from contracts.errors import InvalidInput, Permanent, Transient
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult

_PUSH, _REFRESH = "push", "refresh"
_TABLE = "Report"
_TIMEOUT_S = 120.0
_CONFLICT, _BAD_REQUEST = 409, 400
_UNDER_WAY = frozenset({"Unknown", "NotStarted", "InProgress"})
_MODELS = {
    "weddings": "Wedding Business Intelligence",
    "revenue": "Wedding Revenue Analytics",
    "satisfaction": "Client Satisfaction Metrics",
    "seasonality": "Seasonal Booking Patterns",
    "vendors": "Vendor Performance Benchmarks",
}


class PowerBi:
    """One Power BI workspace, reached as a service principal.

    Source: https://learn.microsoft.com/rest/api/power-bi, v1.0, and
        https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow.
    """

    manifest: ClassVar[Manifest] = Manifest(
        system=SYSTEM,
        title="Power BI",
        family=IntegrationType.BI_PLATFORM,
        api_version="v1.0",
        documentation_url="https://learn.microsoft.com/rest/api/power-bi",
        credential_fields=("accessToken",),
        optional_credential_fields=("clientId", "clientSecret"),
        oauth=OAuth(
            authorize_url="",
            token_url="https://login.microsoftonline.com/{tenantId}/oauth2/v2.0/token",  # noqa: S106 - an address
            token_hosts=("login.microsoftonline.com",),
            scopes=("https://analysis.windows.net/powerbi/api/.default",),
            client_credentials=True,
        ),
        default_base_url="https://api.powerbi.com",
        capabilities=frozenset({Capability.DATASETS}),
        guarantee=EffectGuarantee.LOOK_BEFORE_RETRY,
        rate_limit=RateLimit(requests=120, per_s=60.0),
        required_settings=("tenantId", "groupId"),
        optional_settings=("route", "table"),
        batch_size=10_000,
        timeout_s=_TIMEOUT_S,
        notes=(
            "groupId is the workspace; the service principal is its member and may use the API and its queries.",
            "route push, the default, deletes the rows of the report's own model and adds the new ones.",
            "Until all of them stand, people see a part. Power BI retires push models on 31 October 2027.",
            "A row bears the part it came with in the hidden column wedsync_part; a repeat adds missing parts.",
            "route refresh has a model that is based on the warehouse load it, and shows all new rows at once.",
            "table is the model's table that holds the report; its rows are counted after every publication.",
            "120 requests a minute are the limits of adding rows to a model and of queries.",
        ),
    )

    def __init__(self, connection: Connection) -> None:
        self._group_id = connection.setting("groupId")
        self._route = connection.setting("route", _PUSH)
        self._table = connection.setting("table", _TABLE)
        headers = {"Authorization": f"Bearer {connection.secret('accessToken')}"}
        self._http = JsonClient.opened(connection, _TIMEOUT_S, headers, error_word=error_word)

    async def aclose(self) -> None:
        """Release the sockets."""
        await self._http.aclose()

    async def probe(self) -> ConnectionProbe:
        """Read the workspace.

        Raises:
            AuthExpired: the token is refused.
            InvalidInput: `route_unknown`.
            Permanent: the service principal is no member of the workspace.
            Transient: no usable answer.
        """
        self._check_route()
        began = time.monotonic()
        workspace = await self._workspace().describe()
        latency_ms = (time.monotonic() - began) * 1_000
        account = str(workspace.get("id") or "") or None
        return ConnectionProbe(ok=True, latency_ms=latency_ms, account=account, features=[self._route])

    async def provision(self) -> ProvisionResult:
        """Create nothing: a push model is made with the columns of its first report. Idempotent: yes."""
        return ProvisionResult()

    def data_sources(self) -> Mapping[str, str]:
        """Return report id -> name of the semantic model it feeds."""
        return dict(_MODELS)

    async def publish(self, request: PublishRequest) -> PublishAnswer:
        """Replace the rows of the named model by the request's, or have the model load them from the warehouse.

        Idempotent: yes, rows that stand are not added again, and a refresh under way is waited for.

        Raises:
            AuthExpired: the token is refused.
            InvalidInput: `data_set_too_large`, `model_missing`, `model_not_pushable`, `name_not_unique`,
                `route_unknown`.
            OutcomeUnknown: an answer was lost; publishing again looks first.
            Permanent: `refresh_failed`, or `model_differs`: the refreshed model holds another number of rows.
            QualityGateFailed: more rows are refused than the request allows.
        """
        self._check_route()
        return await (self._push(request) if self._route == _PUSH else self._refresh(request))

    async def _push(self, request: PublishRequest) -> PublishAnswer:
        check_size(request)
        workspace, refused = self._workspace(), dict[int, str]()
        wanted = await offload_to(SYSTEM, lambda: {part.mark: part.rows for part in parts_of(request, refused)})
        request.check_refused(len(refused))
        model_id = await self._push_model(workspace, request)
        standing = await workspace.count(model_id, self._table, MARK)
        if any(wanted.get(mark) != rows for mark, rows in standing.items()):
            await workspace.delete_rows(model_id, self._table)
            standing = {}
        parts = parts_of(request, {})
        while (part := await offload_to(SYSTEM, _next, parts)) is not None:
            if part.mark not in standing:
                await workspace.add_rows(model_id, self._table, part.body)
        found = await workspace.count(model_id, self._table, MARK)
        if found != wanted:
            raise Transient(
                "publication_incomplete",
                f"The model holds {sum(found.values())} of {sum(wanted.values())} rows, or other ones.",
                system=SYSTEM,
                operation="rows.count",
            )
        return PublishAnswer(model_id, sum(found.values()), workspace.calls, refused)

    async def _push_model(self, workspace: Workspace, request: PublishRequest) -> str:
        """Return the id of the report's push model, which has the request's columns."""
        table = table_of(self._table, request.columns)
        model = await workspace.model(request.name)
        if model is None:
            return await workspace.create_push_model(request.name, table)
        if not model.get("addRowsAPIEnabled"):
            raise InvalidInput(
                "model_not_pushable",
                f"The semantic model {request.name!r} takes no pushed rows.",
                action="Connect with the setting route: refresh, or name another model in targetObject.",
                system=SYSTEM,
            )
        model_id = str(model.get("id"))
        await workspace.shape_table(model_id, table)
        return model_id

    async def _refresh(self, request: PublishRequest) -> PublishAnswer:
        workspace = self._workspace()
        model = await workspace.model(request.name)
        if model is None or not model.get("isRefreshable"):
            raise InvalidInput(
                "model_missing",
                f"The workspace has no semantic model named {request.name!r} that can be refreshed.",
                action="Base one on the warehouse in Power BI, or name another in targetObject.",
                system=SYSTEM,
            )
        model_id = str(model.get("id"))
        refresh_id = await request.progress.noted() or await self._begun(workspace, model_id, request)
        while str((seen := await workspace.refresh(model_id, refresh_id)).get("status")) in _UNDER_WAY:
            await request.progress.pause()
        if seen.get("status") != "Completed":
            await request.progress.note("")
            raise _refresh_failed(request.name, seen)
        held = sum((await workspace.count(model_id, self._table)).values())
        wanted = sum(pq.read_metadata(path).num_rows for path in request.files)
        if held != wanted:
            await request.progress.note("")
            raise Permanent(
                "model_differs",
                f"The refreshed model {request.name!r} holds {held} rows and the report has {wanted}.",
                action="Load the report into the warehouse the model is based on, then start the sync again.",
                system=SYSTEM,
                evidence={"held": held, "wanted": wanted},
            )
        return PublishAnswer(model_id, held, workspace.calls)

    async def _begun(self, workspace: Workspace, model_id: str, request: PublishRequest) -> str:
        """Begin a refresh, after one that runs: that one may have read the warehouse before the rows were there."""
        while True:
            try:
                refresh_id = await workspace.begin_refresh(model_id)
            except Permanent as error:
                status = error.detail.evidence.get("status")
                if status not in {_CONFLICT, _BAD_REQUEST} or (
                    status == _BAD_REQUEST and not _runs(await workspace.newest_refresh(model_id))
                ):
                    raise
                await request.progress.pause()
                continue
            await request.progress.note(refresh_id)
            return refresh_id

    def _workspace(self) -> Workspace:
        return Workspace(self._http, self._group_id)

    def _check_route(self) -> None:
        if self._route not in {_PUSH, _REFRESH}:
            raise InvalidInput(
                "route_unknown",
                "Power BI is reached by push or by refresh.",
                action="Set route in connectionConfig to one of them.",
                system=SYSTEM,
            )


def _next(parts: object) -> Part | None:
    return next(parts, None)  # type: ignore[call-overload, no-any-return]


def _runs(refresh: JsonObject | None) -> bool:
    return refresh is not None and refresh.get("status") in _UNDER_WAY and not refresh.get("endTime")


def _refresh_failed(name: str, seen: JsonObject) -> Permanent:
    messages = seen.get("messages")
    codes = [str(one.get("code")) for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []
    return Permanent(
        "refresh_failed",
        f"Power BI could not refresh the model {name!r}.",
        action="Read the refresh history in Power BI, mend the model or its warehouse, then start the sync again.",
        system=SYSTEM,
        operation="refresh.read",
        evidence={"status": str(seen.get("extendedStatus") or seen.get("status")), "codes": ", ".join(codes[:5])},
    )
