"""The Statement Execution API 2.0 of an emulated Databricks workspace: execute, poll, fetch chunks, cancel.

States, waiting, dispositions, formats and limits are those of the API's description in the vendor's SDK. Results lie as
Arrow files, so that a restarted process still serves them; what it was running when it ended, it fails.
"""

from __future__ import annotations

import asyncio
import io
import json
import math
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from starlette.responses import JSONResponse, Response

from emulators.core import Emulator
from emulators.databricks_execution import Done, Parameter
from emulators.databricks_lakehouse import Lakehouse
from emulators.databricks_requests import RequestRefusedError, read_request, root, waiting_s
from emulators.databricks_sql import RefusedError

if TYPE_CHECKING:
    from starlette.requests import Request

Body = dict[str, Any]
_OBJECTS = "statements"
_ROWS_PER_CHUNK = 20_000
_INLINE_BYTES = 25 * 1024 * 1024
_LINK_LIFE_S = 900
_OPEN = ("PENDING", "RUNNING")
_TYPE_NAMES = {"int64": "LONG", "int32": "INT", "bool": "BOOLEAN", "double": "DOUBLE", "date32[day]": "DATE"}


@dataclass
class _Running:
    task: asyncio.Task[None]
    session: duckdb.DuckDBPyConnection
    cancelled: bool = False


class Statements:
    """The statements of one workspace."""

    def __init__(self, emulator: Emulator, lakehouse: Lakehouse, directory: Path) -> None:
        """Fail what an ended process left unfinished."""
        self._emulator, self._lakehouse, self._directory = emulator, lakehouse, directory
        self._running: dict[str, _Running] = {}
        self.warehouse_starts_at = 0.0
        self.forget_running()

    def forget_running(self) -> None:
        """Fail every statement that is not running in this process."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for record in self._emulator.list(_OBJECTS):
            if record["state"] in _OPEN and record["id"] not in self._running:
                self._note(record, state="FAILED", error="The process ended.", sql_state="XX000")

    async def execute(self, request: Request) -> Response:
        """POST /api/2.0/sql/statements."""
        asked = read_request(await request.body())
        wait_s = waiting_s(asked)
        record = {
            "id": str(uuid.uuid4()),
            "state": "PENDING",
            "disposition": asked.get("disposition", "INLINE"),
            "format": asked.get("format", "JSON_ARRAY"),
        }
        self._note(record)
        session = self._lakehouse.session()
        task = asyncio.create_task(self._run(record, asked, session))
        self._running[record["id"]] = _Running(task, session)
        await asyncio.wait({task}, timeout=wait_s)
        if not task.done() and asked.get("on_wait_timeout") == "CANCEL" and wait_s:
            await self._stop(record["id"])
        return JSONResponse(self._answer(record["id"], request))

    def read(self, request: Request) -> Response:
        """GET /api/2.0/sql/statements/{id}."""
        return JSONResponse(self._answer(self._known(request)["id"], request))

    async def cancel(self, request: Request) -> Response:
        """POST /api/2.0/sql/statements/{id}/cancel."""
        await self._stop(self._known(request)["id"], wait=False)
        return JSONResponse({})

    def chunk(self, request: Request) -> Response:
        """GET /api/2.0/sql/statements/{id}/result/chunks/{n}."""
        record, number = self._known(request), int(request.path_params["number"])
        if record["state"] != "SUCCEEDED":
            raise RequestRefusedError(404, "The statement has no result to fetch.")
        if number >= max(record["chunks"], 1):
            raise RequestRefusedError(400, "There is no such chunk.", "INVALID_PARAMETER_VALUE")
        return JSONResponse(self._result(record, number, request))

    def download(self, request: Request) -> Response:
        """What an external link leads to; it takes no credential."""
        if "authorization" in request.headers:
            return Response("Only one auth mechanism allowed", 400)
        record = self._known(request)
        if float(request.query_params.get("expires", "0")) < time.time():
            return Response("Request has expired", 403)
        part = self._part(record, int(request.path_params["number"]))
        if record["format"] == "ARROW_STREAM":
            return Response(_ipc(part), media_type="application/vnd.apache.arrow.stream")
        return Response(json.dumps(_texts(part), separators=(",", ":")), media_type="application/json")

    async def _run(self, record: Body, asked: Body, session: duckdb.DuckDBPyConnection) -> None:
        named = {one["name"]: one for one in asked.get("parameters") or []}
        given = {name: Parameter(one.get("value"), one.get("type") or "STRING") for name, one in named.items()}
        place = str(asked.get("catalog") or "wedsync").lower(), str(asked.get("schema") or "default").lower()
        try:
            await asyncio.sleep(max(0.0, self.warehouse_starts_at - time.monotonic()))
            self._note(record, state="RUNNING")
            done = await asyncio.to_thread(self._lakehouse.run, session, asked["statement"], *place, given)
            self._succeed(record, done, asked)
        except duckdb.InterruptException:
            self._note(record, state="CANCELED")
        except asyncio.CancelledError:
            self._note(record, state="CANCELED")
            raise
        except RefusedError as error:
            self._note(record, state="FAILED", error=str(error), sql_state=error.state)
        except Exception as error:
            self._note(record, state="FAILED", error=f"The stand-in failed: {error!r}", sql_state="XX000")
        finally:
            session.close()
            self._running.pop(record["id"], None)

    def _succeed(self, record: Body, done: Done, asked: Body) -> None:
        table = _limited(done.rows, asked.get("row_limit"), asked.get("byte_limit"))
        with self._emulator.transaction():
            if done.effect is not None:
                verb, kind, name, rows = done.effect
                self._emulator.effect(f"{kind[:-1]}.{verb}", kind, name, {"rows": rows})
            if record["disposition"] == "INLINE" and table.nbytes > _INLINE_BYTES:
                self._note(record, state="FAILED", error="[INLINE_LIMIT] The result is too large.", sql_state="54000")
                return
            if table.num_columns:
                (self._directory / f"{record['id']}.arrow").write_bytes(_ipc(table))
            self._note(
                record,
                state="SUCCEEDED",
                rows=table.num_rows,
                truncated=table.num_rows < done.rows.num_rows,
                chunks=math.ceil(table.num_rows / _ROWS_PER_CHUNK),
                columns=[_column(index, one) for index, one in enumerate(table.schema)],
            )

    async def _stop(self, statement_id: str, *, wait: bool = True) -> None:
        running = self._running.get(statement_id)
        if running is None:
            return
        record = self._emulator.get(_OBJECTS, statement_id) or {}
        if record["state"] == "PENDING":
            running.task.cancel()
        running.session.interrupt()
        if wait:
            await asyncio.wait({running.task})

    def _note(self, record: Body, **changes: Any) -> None:
        record.update(changes)
        self._emulator.put(_OBJECTS, record["id"], record)

    def _known(self, request: Request) -> Body:
        record = self._emulator.get(_OBJECTS, request.path_params["id"])
        if record is None:
            raise RequestRefusedError(404, "The statement was not found.")
        return record

    def _answer(self, statement_id: str, request: Request) -> Body:
        record = self._emulator.get(_OBJECTS, statement_id) or {}
        status: Body = {"state": record["state"]}
        answer: Body = {"statement_id": statement_id, "status": status}
        if record["state"] == "FAILED":
            code = "INTERNAL_ERROR" if record["sql_state"].startswith("XX") else "BAD_REQUEST"
            status |= {"error": {"error_code": code, "message": record["error"]}, "sql_state": record["sql_state"]}
        if record["state"] == "SUCCEEDED":
            answer["manifest"] = self._manifest(record)
            answer["result"] = self._result(record, 0, request)
        return answer

    def _manifest(self, record: Body) -> Body:
        columns, rows = record["columns"], record["rows"]
        return {
            "format": record["format"],
            "schema": {"column_count": len(columns), "columns": columns},
            "total_chunk_count": record["chunks"],
            "total_row_count": rows,
            "truncated": record["truncated"],
            "chunks": [
                {"chunk_index": index, "row_offset": index * _ROWS_PER_CHUNK, "row_count": _length(rows, index)}
                for index in range(record["chunks"])
            ],
        }

    def _result(self, record: Body, number: int, request: Request) -> Body:
        if not record["chunks"]:
            return {}
        chunk: Body = {
            "chunk_index": number,
            "row_offset": number * _ROWS_PER_CHUNK,
            "row_count": _length(record["rows"], number),
        }
        base = f"/api/2.0/sql/statements/{record['id']}/result/chunks"
        if number + 1 < record["chunks"]:
            chunk |= {"next_chunk_index": number + 1, "next_chunk_internal_link": f"{base}/{number + 1}"}
        if record["disposition"] == "INLINE":
            return {**chunk, "data_array": _texts(self._part(record, number))}
        expires = int(time.time()) + _LINK_LIFE_S
        link = f"{root(request)}/external/{record['id']}/{number}?expires={expires}"
        when = datetime.fromtimestamp(expires, UTC).isoformat().replace("+00:00", "Z")
        return {"external_links": [{**chunk, "external_link": link, "expiration": when}]}

    def _part(self, record: Body, number: int) -> pa.Table:
        with pa.ipc.open_stream(self._directory / f"{record['id']}.arrow") as stream:
            table = stream.read_all()
        return table.slice(number * _ROWS_PER_CHUNK, _ROWS_PER_CHUNK)


def _limited(table: pa.Table, most_rows: int | None, most_bytes: int | None) -> pa.Table:
    kept = table if most_rows is None else table.slice(0, int(most_rows))
    while most_bytes is not None and kept.num_rows and kept.nbytes > int(most_bytes):
        kept = kept.slice(0, kept.num_rows // 2)
    return kept


def _length(rows: int, number: int) -> int:
    return min(_ROWS_PER_CHUNK, rows - number * _ROWS_PER_CHUNK)


def _column(index: int, field: pa.Field) -> Body:
    text = str(field.type)
    if text.startswith("decimal"):
        name = "DECIMAL"
    elif text.startswith("timestamp"):
        name = "TIMESTAMP"
    else:
        name = _TYPE_NAMES.get(text, "STRING")
    return {"name": field.name, "position": index, "type_name": name, "type_text": name}


def _ipc(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _texts(table: pa.Table) -> list[list[str | None]]:
    return [[_text(value) for value in row.values()] for row in table.to_pylist()] if table.num_columns else []


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"{value.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
    return str(value)
