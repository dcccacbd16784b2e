"""The emulated Tableau, driven by Tableau's own client library over TCP."""

from __future__ import annotations

import base64
import zipfile
from collections.abc import Callable, Iterator
from datetime import time
from pathlib import Path
from random import Random
from typing import Any

import pantab
import pyarrow as pa
import pytest
import tableauserverclient as TSC  # noqa: N812
from tableauhyperapi import (
    Connection,
    CreateMode,
    HyperProcess,
    Inserter,
    SqlType,
    TableDefinition,
    TableName,
    Telemetry,
)

from tests.support.emulators import Emulators

_EXTRACT = TableName("Extract", "Extract")


def _client(emulators: Emulators) -> TSC.Server:
    return TSC.Server(emulators.base_url("tableau"), use_server_version=True)


@pytest.fixture
def server(emulators: Emulators) -> Iterator[TSC.Server]:
    client = _client(emulators)
    with client.auth.sign_in(TSC.PersonalAccessTokenAuth("sandbox-pat", "sandbox-tableau-secret", "lumen")):
        yield client


@pytest.fixture(scope="module")
def engine() -> Iterator[HyperProcess]:
    with HyperProcess(Telemetry.DO_NOT_SEND_USAGE_DATA_TO_TABLEAU, parameters={"log_config": ""}) as process:
        yield process


@pytest.fixture
def extract(tmp_path: Path, engine: HyperProcess) -> Callable[..., Path]:
    def write(name: str = "weddings", table: TableName = _EXTRACT, **columns: list[Any]) -> Path:
        path = tmp_path / f"{name}.hyper"
        kinds = {str: SqlType.text(), int: SqlType.big_int(), float: SqlType.double()}
        described = [TableDefinition.Column(column, kinds[type(values[0])]) for column, values in columns.items()]
        with Connection(engine.endpoint, path, CreateMode.CREATE_AND_REPLACE) as connection:
            connection.catalog.create_schema_if_not_exists(table.schema_name)
            connection.catalog.create_table(TableDefinition(table, described))
            with Inserter(connection, table) as inserter:
                inserter.add_rows(list(zip(*columns.values(), strict=True)))
                inserter.execute()
        return path

    return write


def _project(server: TSC.Server, name: str = "WedSync") -> str:
    return next(project.id for project in TSC.Pager(server.projects) if project.name == name)


def _publish(
    server: TSC.Server, file: Path, mode: str = "Overwrite", name: str = "Wedding Revenue", **more: Any
) -> Any:
    return server.datasources.publish(TSC.DatasourceItem(_project(server), name=name), file, mode, **more)


def _held(emulators: Emulators) -> dict[str, Any]:
    (source,) = emulators.objects("tableau", "datasources")
    return source


def _kinds(emulators: Emulators) -> list[str]:
    return [effect["kind"] for effect in emulators.effects("tableau")]


def test_a_sign_in_speaks_the_version_that_the_server_reports(server: TSC.Server) -> None:
    assert server.version == "3.27"


@pytest.mark.parametrize(
    "credentials",
    [("sandbox-pat", "wrong", "lumen"), ("nobody", "sandbox-tableau-secret", "lumen"), ("sandbox-pat", "", "other")],
)
def test_wrong_credentials_are_refused_with_the_vendors_code(
    emulators: Emulators, credentials: tuple[str, str, str]
) -> None:
    with pytest.raises(TSC.FailedSignInError) as refusal:
        _client(emulators).auth.sign_in(TSC.PersonalAccessTokenAuth(*credentials))
    assert refusal.value.code == "401001"


def test_an_expired_session_is_refused_until_the_next_sign_in(emulators: Emulators, server: TSC.Server) -> None:
    emulators.fault("tableau", "expire_token", count=1)
    for _ in range(2):
        with pytest.raises(TSC.FailedSignInError) as refusal:
            server.projects.get()
        assert refusal.value.code == "401002"
    server.auth.sign_in(TSC.PersonalAccessTokenAuth("sandbox-pat", "sandbox-tableau-secret", "lumen"))
    assert {project.name for project in TSC.Pager(server.projects)} == {"default", "WedSync"}


def test_a_second_sign_in_ends_the_first_session(emulators: Emulators) -> None:
    first, second = _client(emulators), _client(emulators)
    for client in (first, second):
        client.auth.sign_in(TSC.PersonalAccessTokenAuth("sandbox-pat", "sandbox-tableau-secret", "lumen"))
    assert second.projects.get()[0]
    with pytest.raises(TSC.FailedSignInError) as refusal:
        first.projects.get()
    assert refusal.value.code == "401002"


def test_a_published_extract_can_be_looked_into(emulators: Emulators, server: TSC.Server, tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b"], "revenue": [1.5, 2.5]})
    pantab.frames_to_hyper({_EXTRACT: table}, tmp_path / "pantab.hyper", process_params={"log_config": ""})
    published = _publish(server, tmp_path / "pantab.hyper")
    held = _held(emulators)
    assert (held["id"], held["name"], held["project"]) == (published.id, "Wedding Revenue", "WedSync")
    assert (held["rows"], held["columns"]) == (2, ["id", "revenue"])
    assert _kinds(emulators) == ["datasource.published"]


def test_overwriting_replaces_the_rows_and_keeps_the_id(
    emulators: Emulators, server: TSC.Server, extract: Callable[..., Path]
) -> None:
    first = _publish(server, extract(id=["a", "b"]))
    second = _publish(server, extract(id=["c"]))
    assert first.id == second.id
    assert (_held(emulators)["rows"], _held(emulators)["revision"]) == (1, 2)


def test_appending_adds_the_rows(emulators: Emulators, server: TSC.Server, extract: Callable[..., Path]) -> None:
    _publish(server, extract(id=["a", "b"]))
    _publish(server, extract(id=["c"]), "Append")
    assert _held(emulators)["rows"] == 3


def test_a_name_that_is_taken_is_not_overwritten_unasked(
    emulators: Emulators, server: TSC.Server, extract: Callable[..., Path]
) -> None:
    _publish(server, extract(id=["a", "b"]), "CreateNew")
    with pytest.raises(TSC.ServerResponseError):
        _publish(server, extract(id=["c"]), "CreateNew")
    assert _held(emulators)["rows"] == 2


def test_a_file_that_is_no_extract_is_refused(emulators: Emulators, server: TSC.Server, tmp_path: Path) -> None:
    broken = tmp_path / "broken.hyper"
    broken.write_bytes(b"not a database")
    with pytest.raises(TSC.ServerResponseError) as refusal:
        _publish(server, broken)
    assert refusal.value.code == "400011"
    assert emulators.effects("tableau") == []


def test_a_large_extract_arrives_whole_in_several_blocks(
    emulators: Emulators, server: TSC.Server, extract: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSC_FILESIZE_LIMIT_MB", "1")
    monkeypatch.setenv("TSC_CHUNK_SIZE_MB", "1")
    source = Random(7)
    file = extract(id=[base64.b85encode(source.randbytes(48)).decode() for _ in range(60_000)])
    assert file.stat().st_size > 1_500_000, "the extract is too small to be sent in blocks"
    _publish(server, file, as_job=True)
    blocks = [r for r in emulators.requests("tableau") if r.get("operation") == "appendToFileUpload"]
    assert len(blocks) > 1
    assert _held(emulators)["rows"] == 60_000


def test_publishing_as_a_job_ends_with_a_successful_job(server: TSC.Server, extract: Callable[..., Path]) -> None:
    job = _publish(server, extract(id=["a"]), as_job=True)
    assert server.jobs.wait_for_job(job, timeout=10).finish_code == TSC.JobItem.FinishCode.Success


def test_data_sources_are_found_by_name(server: TSC.Server, extract: Callable[..., Path]) -> None:
    file = extract(id=["a"])
    wanted = _publish(server, file, name="Vendor, Performance & Co")
    _publish(server, file, name="Seasonality")
    assert [found.id for found in server.datasources.filter(name="Vendor, Performance & Co")] == [wanted.id]
    assert server.datasources.get_by_id(wanted.id).project_name == "WedSync"


def test_a_download_holds_the_published_rows(
    server: TSC.Server, engine: HyperProcess, extract: Callable[..., Path], tmp_path: Path
) -> None:
    published = _publish(server, extract(id=["a", "b"]))
    package = server.datasources.download(published.id, filepath=str(tmp_path / "download"))
    with zipfile.ZipFile(package) as archive:
        (name,) = [entry for entry in archive.namelist() if entry.endswith(".hyper")]
        archive.extract(name, tmp_path)
    with Connection(engine.endpoint, tmp_path / name) as connection:
        rows = connection.execute_list_query(f'SELECT "id" FROM {_EXTRACT} ORDER BY "id"')
    assert rows == [["a"], ["b"]]


_MATCH = {"op": "eq", "target-col": "id", "source-col": "id"}


@pytest.mark.parametrize(
    ("action", "ids"),
    [
        ({"action": "insert"}, ["a", "b", "b", "z"]),
        ({"action": "upsert", "condition": _MATCH}, ["a", "b", "z"]),
        ({"action": "update", "condition": _MATCH}, ["a", "b"]),
        ({"action": "delete", "condition": _MATCH}, ["a"]),
        ({"action": "replace"}, ["b", "z"]),
    ],
    ids=lambda value: value["action"] if isinstance(value, dict) else "",
)
def test_an_incremental_update_changes_the_rows_it_names(
    emulators: Emulators, server: TSC.Server, extract: Callable[..., Path], action: dict[str, Any], ids: list[str]
) -> None:
    published = _publish(server, extract(id=["a", "b"], score=[1, 2]))
    payload = extract("payload", TableName("public", "changes"), id=["b", "z"], score=[9, 8])
    actions = [{"source-table": "changes", "target-table": "Extract", **action}]
    job = server.datasources.update_hyper_data(published.id, request_id="r-1", actions=actions, payload=payload)
    assert server.jobs.wait_for_job(job, timeout=10).finish_code == TSC.JobItem.FinishCode.Success
    assert _held(emulators)["rows"] == len(ids)
    assert _kinds(emulators) == ["datasource.published", "datasource.updated"]


def test_an_update_with_a_request_id_seen_before_is_not_executed_again(
    emulators: Emulators, server: TSC.Server, extract: Callable[..., Path]
) -> None:
    published = _publish(server, extract(id=["a"]))
    payload = extract("payload", TableName("public", "changes"), id=["b"])
    actions = [{"action": "insert", "source-table": "changes", "target-table": "Extract"}]
    jobs = [
        server.datasources.update_hyper_data(published.id, request_id="r-1", actions=actions, payload=payload).id
        for _ in range(2)
    ]
    assert jobs[0] == jobs[1]
    assert _held(emulators)["rows"] == 2
    assert [effect["idempotencyKey"] for effect in emulators.effects("tableau")] == [None, "r-1"]


def test_an_update_of_an_unknown_table_fails_its_job_and_changes_nothing(
    emulators: Emulators, server: TSC.Server, extract: Callable[..., Path]
) -> None:
    published = _publish(server, extract(id=["a"]))
    payload = extract("payload", TableName("public", "changes"), id=["b"])
    actions = [{"action": "insert", "source-table": "changes", "target-table": "Missing"}]
    job = server.datasources.update_hyper_data(published.id, request_id="r-1", actions=actions, payload=payload)
    with pytest.raises(TSC.server.endpoint.exceptions.JobFailedException):
        server.jobs.wait_for_job(job, timeout=10)
    assert _held(emulators)["rows"] == 1


def test_a_refresh_is_a_job_that_ends_well(
    emulators: Emulators, server: TSC.Server, extract: Callable[..., Path]
) -> None:
    published = _publish(server, extract(id=["a"]))
    job = server.datasources.refresh(published)
    assert server.jobs.wait_for_job(job, timeout=10).finish_code == TSC.JobItem.FinishCode.Success
    assert _kinds(emulators)[-1] == "extract.refreshed"


def test_a_refresh_task_carries_its_schedule(
    emulators: Emulators, server: TSC.Server, extract: Callable[..., Path]
) -> None:
    published = _publish(server, extract(id=["a"]))
    schedule = TSC.ScheduleItem(None, None, None, None, TSC.DailyInterval(time(6, 0), 24))
    target = TSC.Target(published.id, "datasource")
    server.tasks.create(TSC.TaskItem(None, "FullRefresh", None, schedule_item=schedule, target=target))
    (task,), _ = server.tasks.get()
    assert (task.target.id, task.schedule_item.interval_item.start_time) == (published.id, time(6, 0))
    server.tasks.run(task)
    server.tasks.delete(task.id)
    assert server.tasks.get()[0] == []
    assert _kinds(emulators)[1:] == ["task.created", "extract.refreshed", "task.deleted"]


def test_a_shared_schedule_can_be_created_once(emulators: Emulators, server: TSC.Server) -> None:
    daily = TSC.ScheduleItem(
        "Mornings",
        50,
        TSC.ScheduleItem.Type.Extract,
        TSC.ScheduleItem.ExecutionOrder.Parallel,
        TSC.DailyInterval(time(7)),
    )
    server.schedules.create(daily)
    with pytest.raises(TSC.ServerResponseError):
        server.schedules.create(daily)
    assert [schedule.name for schedule in TSC.Pager(server.schedules)] == ["Mornings"]
    assert _kinds(emulators) == ["schedule.created"]


def test_a_project_name_is_created_once(emulators: Emulators, server: TSC.Server) -> None:
    server.projects.create(TSC.ProjectItem("Reports"))
    with pytest.raises(TSC.ServerResponseError) as refusal:
        server.projects.create(TSC.ProjectItem("Reports"))
    assert refusal.value.code == "409006"
    assert _kinds(emulators) == ["project.created"]


def test_a_publish_whose_answer_is_lost_has_still_happened(
    emulators: Emulators, server: TSC.Server, extract: Callable[..., Path]
) -> None:
    emulators.fault("tableau", "drop_after_effect", method="POST", path="datasources$", count=1)
    with pytest.raises(Exception, match=r"(?i)connection|reset|aborted"):
        _publish(server, extract(id=["a"]))
    assert _held(emulators)["rows"] == 1
