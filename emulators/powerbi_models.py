"""The push models of an emulated Power BI workspace, their rows, and the queries that count rows."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from typing import Any
from uuid import uuid4

from emulators.bearer_edge import Answer, Body, Call
from emulators.powerbi_limits import PushLimits
from emulators.powerbi_workspace import GROUP, Workspace, refusal

_MOST_COLUMNS, _MOST_ROWS, _LONGEST_TEXT = 75, 10_000, 4_000
_ROW_COUNT = re.compile(r"EVALUATE ROW\(\"(?P<name>\w+)\", COUNTROWS\((?P<table>'(?:[^']|'')+')\)\)")
_BY_COLUMN = re.compile(
    r"EVALUATE SUMMARIZECOLUMNS\((?P<table>'(?:[^']|'')+')\[(?P<column>(?:[^\]]|\]\])+)\], \"(?P<name>\w+)\", "
    r"COUNTROWS\((?P=table)\)\)"
)


class Models:
    """The models that rows are pushed into."""

    def __init__(self, workspace: Workspace) -> None:
        """Serve one workspace."""
        self._workspace = workspace
        self._limits = PushLimits()
        workspace.emulator.on_reset.append(self._limits.clear)

    def read_group(self, call: Call) -> Answer:
        """GET of the workspace."""
        self._workspace.group(call)
        return 200, {"id": GROUP, "name": "Weddings", "isReadOnly": False, "isOnDedicatedCapacity": True}

    def list_models(self, call: Call) -> Answer:
        """GET of all models."""
        self._workspace.group(call)
        return 200, {"value": [_shown(model) for model in self._workspace.emulator.list("models")]}

    def create_model(self, call: Call) -> Answer:
        """POST of a push model."""
        self._workspace.group(call)
        body = call.body if isinstance(call.body, dict) else {}
        tables, policy = body.get("tables"), call.query("defaultRetentionPolicy", "None")
        if not body.get("name") or body.get("defaultMode") != "Push" or not isinstance(tables, list) or not tables:
            raise refusal(400, "InvalidRequest", "A push model has a name, the mode Push and tables.")
        model: Body = {
            "id": str(uuid4()),
            "name": body["name"],
            "addRowsAPIEnabled": True,
            "isRefreshable": False,
            "defaultRetentionPolicy": policy,
            "tables": {table["name"]: _columns(table) for table in tables},
        }
        self._workspace.emulator.put("models", model["id"], model)
        self._workspace.emulator.effect("model.created", "models", model["id"], _shown(model))
        return 201, _shown(model)

    def shape_table(self, call: Call) -> Answer:
        """PUT of a table's columns."""
        model, name = self._table(call)
        columns = _columns(call.body)
        if columns != model["tables"][name]:
            changed = {**model, "tables": {**model["tables"], name: columns}}
            self._workspace.emulator.put("models", model["id"], changed)
            self._workspace.emulator.effect("table.updated", "models", model["id"], {"table": name})
        return 200, {"name": name}

    def add_rows(self, call: Call) -> Answer:
        """POST of rows."""
        model, name = self._table(call)
        rows = call.body.get("rows") if isinstance(call.body, dict) else None
        if not isinstance(rows, list) or len(rows) > _MOST_ROWS:
            raise refusal(400, "RequestedRowsExceedLimit", f"At most {_MOST_ROWS} rows are taken by one request.")
        columns = model["tables"][name]
        if not all(_fits(row, columns) for row in rows):
            raise refusal(400, "InvalidRow", "A row does not fit the columns of its table.")
        wait_s = self._limits.admit(model["id"], len(rows), self._workspace.held(model["id"], name))
        if wait_s:
            raise refusal(429, headers={"Retry-After": str(wait_s)})
        self._workspace.hold(model["id"], name, rows)
        self._workspace.emulator.effect("rows.added", "models", model["id"], {"table": name, "rows": len(rows)})
        return 200, None

    def delete_rows(self, call: Call) -> Answer:
        """DELETE of every row of a table."""
        model, name = self._table(call)
        if held := self._workspace.held(model["id"], name):
            self._workspace.hold(model["id"], name, [], replace=True)
            self._workspace.emulator.effect("rows.deleted", "models", model["id"], {"table": name, "rows": held})
        return 200, None

    def query(self, call: Call) -> Answer:
        """POST of a query that counts rows."""
        model = self._workspace.model(call)
        queries = call.body.get("queries") if isinstance(call.body, dict) else None
        text = queries[0].get("query", "") if isinstance(queries, list) and len(queries) == 1 else ""
        found = _BY_COLUMN.fullmatch(text) or _ROW_COUNT.fullmatch(text)
        table = found["table"][1:-1].replace("''", "'") if found else ""
        if found is None or table not in model["tables"]:
            raise refusal(400, "DatasetExecuteQueriesError", "The query could not be answered.")
        number = f"[{found['name']}]"
        rows: list[Body] = [{number: self._workspace.held(model["id"], table) or None}]
        if "column" in found.groupdict():
            column = found["column"].replace("]]", "]")
            pushed = self._workspace.pushes(model["id"], table)
            counted = Counter(row.get(column) for push in pushed for row in push["rows"])
            rows = [{f"{table}[{column}]": value, number: count} for value, count in counted.items()]
        return 200, {"results": [{"tables": [{"rows": rows}]}]}

    def _pushed(self, call: Call) -> Body:
        model = self._workspace.model(call)
        if not model["addRowsAPIEnabled"]:
            raise refusal(400, "InvalidRequest", "The model is no push model.")
        return model

    def _table(self, call: Call) -> tuple[Body, str]:
        model, name = self._pushed(call), call.path("table")
        if name not in model["tables"]:
            raise refusal(404)
        return model, name


def _shown(model: Body) -> Body:
    names = ("id", "name", "addRowsAPIEnabled", "isRefreshable", "defaultRetentionPolicy")
    return {name: model[name] for name in names if name in model}


def _columns(table: Any) -> dict[str, str]:
    columns = table.get("columns") if isinstance(table, dict) else None
    if not isinstance(columns, list) or not 0 < len(columns) <= _MOST_COLUMNS:
        raise refusal(400, "InvalidRequest", f"A table has 1 to {_MOST_COLUMNS} columns.")
    return {column["name"]: column["dataType"] for column in columns}


def _fits(row: Any, columns: dict[str, str]) -> bool:
    return isinstance(row, dict) and all(
        name in columns and _typed(value, columns[name]) for name, value in row.items()
    )


def _typed(value: Any, kind: str) -> bool:
    if value is None:
        return True
    if kind == "String":
        return isinstance(value, str) and len(value) <= _LONGEST_TEXT
    if kind == "DateTime":
        try:
            return bool(datetime.fromisoformat(value))
        except (TypeError, ValueError):
            return False
    if kind == "Boolean":
        return isinstance(value, bool)
    return isinstance(value, int if kind == "Int64" else int | float) and not isinstance(value, bool)
