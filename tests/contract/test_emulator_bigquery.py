"""The BigQuery stand-in, driven by Google's own client over TCP."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import BadRequest, Conflict, GoogleAPICallError, NotFound, Unauthorized
from google.cloud import bigquery
from google.oauth2 import service_account

from tests.support.bigquery_project import BigQueryProcess, service_account_key

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQueryProcess]:
    started = BigQueryProcess(tmp_path_factory.mktemp("bigquery"))
    yield started
    started.stop()


@pytest.fixture
def project(process: BigQueryProcess) -> BigQueryProcess:
    process.control.reset()
    return process


def client_of(project: BigQueryProcess, key: dict[str, str] | None = None) -> bigquery.Client:
    info = key or service_account_key()
    credentials = service_account.Credentials.from_service_account_info(
        info, scopes=["bigquery"], always_use_jwt_access=True
    )
    return bigquery.Client("wedsync", credentials, client_options={"api_endpoint": project.url})


@pytest.fixture
def client(project: BigQueryProcess) -> bigquery.Client:
    made = client_of(project)
    ask(made, "CREATE SCHEMA raw")
    ask(made, "CREATE TABLE raw.suppliers (id STRING NOT NULL, name STRING, fee NUMERIC(12, 2))")
    return made


def ask(client: bigquery.Client, sql: str, **given: Any) -> list[tuple[Any, ...]]:
    job = client.query(sql, retry=None, job_retry=None, **given)
    return [tuple(row.values()) for row in job.result(retry=None, job_retry=None)]


def load(client: bigquery.Client, job_id: str, **columns: list[Any]) -> bigquery.LoadJob:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    config = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_APPEND")
    sink.seek(0)
    job = client.load_table_from_file(sink, "wedsync.raw.suppliers", job_id=job_id, num_retries=0, job_config=config)
    job.result()
    return job


def test_a_load_keeps_the_id_its_client_gave_it(client, project):
    assert load(client, "load-1", id=["s1", "s2"], name=["A", "B"], fee=[None, None]).output_rows == 2
    assert client.get_job("load-1", retry=None).output_rows == 2
    assert project.control.effects("bigquery")[-1]["objectId"] == "load-1"


def test_a_job_id_is_taken_once(client):
    load(client, "load-1", id=["s1"], name=["A"], fee=[None])
    with pytest.raises(Conflict) as caught:
        load(client, "load-1", id=["s1"], name=["A"], fee=[None])
    assert caught.value.errors[0]["reason"] == "duplicate"
    ask(client, "DELETE FROM raw.suppliers WHERE id = 'none'", job_id="query-1")
    with pytest.raises(Conflict):
        client.query("DELETE FROM raw.suppliers WHERE TRUE", job_id="query-1", retry=None, job_retry=None)
    assert ask(client, "SELECT COUNT(*) FROM raw.suppliers") == [(1,)]


def test_a_script_with_a_transaction_is_one_job_that_takes_effect_whole_or_not_at_all(client):
    ask(client, "BEGIN TRANSACTION; INSERT INTO raw.suppliers (id) VALUES ('s1'); COMMIT TRANSACTION")
    with pytest.raises(BadRequest):
        ask(client, "BEGIN TRANSACTION; DELETE FROM raw.suppliers WHERE TRUE; SELECT ERROR('no'); COMMIT TRANSACTION")
    assert ask(client, "SELECT id FROM raw.suppliers") == [("s1",)]


def test_a_dropped_answer_leaves_a_job_to_find(client, project):
    project.control.fault("bigquery", "drop_after_effect", method="POST", path="jobs", count=1)
    with pytest.raises(Exception):  # noqa: B017, PT011 - the library under the client names its own
        client.query("INSERT INTO raw.suppliers (id) VALUES ('s1')", job_id="query-1", retry=None, job_retry=None)
    assert client.get_job("query-1", retry=None).state == "DONE"


def test_errors_bear_their_reason(client):
    with pytest.raises(NotFound):
        ask(client, "SELECT * FROM raw.missing")
    with pytest.raises(BadRequest) as caught:
        ask(client, "SELEC 1")
    assert caught.value.errors[0]["reason"] == "invalidQuery"


def test_a_fault_bears_the_vendors_error(client, project):
    project.control.fault("bigquery", "status", status=503, count=1)
    with pytest.raises(GoogleAPICallError) as caught:
        client.query("SELECT 1", retry=None, job_retry=None)
    assert caught.value.errors[0]["reason"] == "backendError"


def test_a_stranger_gets_no_answer(project):
    stranger = client_of(project, {**service_account_key(), "client_email": "stranger@example.org"})
    with pytest.raises(Unauthorized):
        ask(stranger, "SELECT 1")


def test_rows_and_jobs_survive_a_restart(client, project, tmp_path):
    load(client, "load-1", id=["s1"], name=["A"], fee=[None])
    project.stop()
    project.start()
    again = client_of(project)
    assert ask(again, "SELECT id FROM raw.suppliers") == [("s1",)]
    assert again.get_job("load-1", retry=None).state == "DONE"
