"""Every credential store keeps the same promises: the sealed SQL store, HashiCorp Vault, AWS Secrets Manager."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import uvicorn
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from activities.ports.secrets import SecretStore
from activities.security.envelope import MasterKey
from activities.storage.aws_credentials import AwsAccess, AwsSecretStore
from activities.storage.credentials import SealedSecretStore
from activities.storage.database import Database, metadata
from activities.storage.vault_credentials import VaultAccess, VaultSecretStore
from contracts.errors import AuthExpired, Permanent, Transient
from tests.support.specs import OpenApi, specs_dir
from tests.support.vault import ROLE_ID, SECRET_ID, Vault

ORG, OTHER, CRM = "lumen", "somebody-else", "crm"
VALUES = {"accessToken": "canary-secret"}
TEMPLATES = (
    "/auth/{approle_mount_path}/login",
    "/{kv_v2_mount_path}/data/{path}",
    "/{kv_v2_mount_path}/destroy/{path}",
    "/{kv_v2_mount_path}/metadata/{path}",
    "/{transit_mount_path}/decrypt/{name}",
    "/{transit_mount_path}/encrypt/{name}",
)


@pytest.fixture
def vault() -> Iterator[tuple[Vault, VaultAccess]]:
    held = Vault()
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(held.app(), log_level="error", access_log=False, timeout_keep_alive=600))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield held, VaultAccess(f"http://127.0.0.1:{listener.getsockname()[1]}", ROLE_ID, SecretStr(SECRET_ID))
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto: str, monkeypatch: pytest.MonkeyPatch) -> AwsAccess:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "sandbox")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sandbox")
    httpx.post(f"{moto}/moto-api/reset").raise_for_status()
    return AwsAccess("eu-west-1", moto)


@pytest.fixture(params=["sealed", "vault", "aws", "real vault"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SecretStore]:
    if request.param == "vault":
        yield VaultSecretStore(request.getfixturevalue("vault")[1])
        return
    if request.param == "aws":
        yield AwsSecretStore(request.getfixturevalue("aws"))
        return
    if request.param == "real vault":
        names = ("VAULT_ADDR", "WEDSYNC_VAULT_ROLE_ID", "WEDSYNC_VAULT_SECRET_ID")
        address, role_id, secret_id = (os.environ.get(name, "") for name in names)
        if not (address and role_id and secret_id):
            pytest.skip(f"There is no Vault here; name one in {', '.join(names)}.")
        made: SecretStore = VaultSecretStore(VaultAccess(address, role_id, SecretStr(secret_id)))
        yield made
        for organization in (ORG, OTHER):
            await made.destroy(organization, CRM)
        return
    database = Database(f"sqlite:///{tmp_path}/store.db")
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield SealedSecretStore(database, MasterKey(bytes(32)))
    await database.aclose()


def plain(values: object) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in values.items()}  # type: ignore[attr-defined]


async def test_what_was_put_is_what_is_read(store: SecretStore) -> None:
    ref = await store.put(ORG, CRM, VALUES)
    found = await store.get(ref)
    assert (ref.version, plain(found)) == (1, VALUES)
    assert "canary" not in repr(found)


async def test_an_older_version_is_read_until_it_is_dropped(store: SecretStore) -> None:
    first, second = await store.put(ORG, CRM, VALUES), await store.put(ORG, CRM, {"accessToken": "newer"})
    assert plain(await store.get(first)) == VALUES
    for _ in range(2):
        await store.drop(first)
    with pytest.raises(AuthExpired):
        await store.get(first)
    assert plain(await store.get(second)) == {"accessToken": "newer"}


async def test_after_the_newest_was_dropped_another_takes_its_place(store: SecretStore) -> None:
    first, refused = await store.put(ORG, CRM, VALUES), await store.put(ORG, CRM, {"accessToken": "refused"})
    await store.drop(refused)
    third = await store.put(ORG, CRM, {"accessToken": "accepted"})
    assert plain(await store.get(third)) == {"accessToken": "accepted"}
    assert plain(await store.get(first)) == VALUES


async def test_a_write_on_an_outdated_version_is_refused(store: SecretStore) -> None:
    first = await store.put(ORG, CRM, VALUES, after=0)
    await store.put(ORG, CRM, {"accessToken": "newer"}, after=first.version)
    with pytest.raises(Transient) as caught:
        await store.put(ORG, CRM, {"accessToken": "late"}, after=first.version)
    assert caught.value.detail.code == "credential_superseded"


async def test_of_writes_at_the_same_moment_one_wins(store: SecretStore) -> None:
    await store.put(ORG, CRM, VALUES)
    writes = [store.put(ORG, CRM, {"accessToken": f"{number}"}, after=1) for number in range(8)]
    done = await asyncio.gather(*writes, return_exceptions=True)
    assert sum(not isinstance(one, BaseException) for one in done) == 1
    assert {one.detail.code for one in done if isinstance(one, Transient)} == {"credential_superseded"}


async def test_a_destroyed_credential_is_gone_in_every_version(store: SecretStore) -> None:
    refs = [await store.put(ORG, CRM, VALUES) for _ in range(2)]
    assert [await store.destroy(ORG, CRM) for _ in range(2)] == [2, 0]
    for ref in refs:
        with pytest.raises(AuthExpired):
            await store.get(ref)


async def test_an_organisation_has_its_own_credentials(store: SecretStore) -> None:
    mine = await store.put(ORG, CRM, VALUES)
    with pytest.raises(AuthExpired):
        await store.get(mine.model_copy(update={"organization_id": OTHER}))
    assert await store.destroy(OTHER, CRM) == 0
    assert plain(await store.get(mine)) == VALUES


async def test_vault_holds_nothing_that_can_be_read_or_moved(vault: tuple[Vault, VaultAccess]) -> None:
    held, access = vault
    store = VaultSecretStore(access)
    mine = await store.put(ORG, CRM, VALUES)
    assert "canary" not in str(held.secrets)
    held.secrets[f"wedsync/{OTHER}/{CRM}"] = held.secrets[f"wedsync/{ORG}/{CRM}"]
    with pytest.raises(Permanent) as caught:
        await store.get(mine.model_copy(update={"organization_id": OTHER}))
    assert caught.value.detail.code == "sealed_data_unreadable"


async def test_a_sealed_vault_is_waited_for(vault: tuple[Vault, VaultAccess]) -> None:
    held, access = vault
    store = VaultSecretStore(access)
    ref = await store.put(ORG, CRM, VALUES)
    held.sealed = True
    with pytest.raises(Transient) as caught:
        await store.get(ref)
    assert caught.value.detail.code == "secret_store_unavailable"
    held.sealed = False
    assert plain(await store.get(ref)) == VALUES


async def test_a_vault_that_is_not_there_is_waited_for(vault: tuple[Vault, VaultAccess]) -> None:
    with pytest.raises(Transient):
        await VaultSecretStore(replace(vault[1], address="http://127.0.0.1:9")).put(ORG, CRM, VALUES)


async def test_a_revoked_token_is_replaced_at_the_next_attempt(vault: tuple[Vault, VaultAccess]) -> None:
    held, access = vault
    store = VaultSecretStore(access)
    ref = await store.put(ORG, CRM, VALUES)
    held.tokens.clear()
    with pytest.raises(Transient):
        await store.get(ref)
    assert plain(await store.get(ref)) == VALUES
    assert held.logins == 2


async def test_a_wrong_role_is_the_operators_to_mend(vault: tuple[Vault, VaultAccess]) -> None:
    wrong = replace(vault[1], secret_id=SecretStr("canary-wrong"))
    with pytest.raises(Permanent) as caught:
        await VaultSecretStore(wrong).put(ORG, CRM, VALUES)
    assert (caught.value.detail.code, caught.value.detail.owner) == ("secret_store_refused", "operator")
    assert "canary" not in str(caught.value) + repr(wrong)


async def test_an_aws_that_is_not_there_is_waited_for(aws: AwsAccess) -> None:
    with pytest.raises(Transient) as caught:
        await AwsSecretStore(replace(aws, endpoint="http://127.0.0.1:9")).put(ORG, CRM, VALUES)
    assert caught.value.detail.code == "secret_store_unavailable"


async def test_a_process_without_an_identity_at_aws_is_the_operators_to_mend(
    aws: AwsAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(Permanent) as caught:
        await AwsSecretStore(aws).put(ORG, CRM, VALUES)
    assert (caught.value.detail.code, caught.value.detail.owner) == ("secret_store_refused", "operator")


async def test_a_credential_that_was_moved_at_aws_does_not_open(aws: AwsAccess) -> None:
    store = AwsSecretStore(aws)
    mine, theirs = await store.put(ORG, CRM, VALUES), await store.put(OTHER, CRM, {"accessToken": "theirs"})
    client = store._opened()
    moved = client.get_secret_value(SecretId=f"wedsync/{ORG}/{CRM}")["SecretString"]
    client.put_secret_value(SecretId=f"wedsync/{OTHER}/{CRM}", SecretString=moved, VersionStages=["v1"])
    with pytest.raises(Permanent) as caught:
        await store.get(theirs)
    assert caught.value.detail.code == "sealed_data_unreadable"
    assert plain(await store.get(mine)) == VALUES


async def test_every_request_is_one_that_vaults_description_allows(
    vault: tuple[Vault, VaultAccess], tmp_path: Path
) -> None:
    described = json.loads(gzip.decompress((specs_dir("vault") / "openapi.json.gz").read_bytes()))
    # Mounts are named by parameters: without the other engines' paths a request can be of one kind only.
    described["paths"] = {template: described["paths"][template] for template in TEMPLATES}
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(described))
    held, access = vault
    store = VaultSecretStore(access)
    first, second = await store.put(ORG, CRM, VALUES), await store.put(ORG, CRM, VALUES)
    await store.get(second)
    await store.drop(first)
    await store.destroy(ORG, CRM)
    # The description has one segment where Vault takes a path of many.
    flat = [replace(one, path=re.sub(r"^(/secret/\w+)/.*", r"\1/path", one.path)) for one in held.requests]
    assert {one.path for one in flat} >= {"/secret/data/path", "/secret/metadata/path", "/secret/destroy/path"}
    problems = {problem for one in flat for problem in OpenApi(document).problems(one)}
    # Vault's documentation of KV version 2 has this parameter, its description leaves it out.
    assert problems == {"the query parameter version is not described"}


async def test_the_newest_version_is_what_the_next_write_has_to_follow(store: SecretStore) -> None:
    assert await store.newest(ORG, CRM) is None
    await store.put(ORG, CRM, VALUES)
    second = await store.put(ORG, CRM, {"accessToken": "newer"})
    newest = await store.newest(ORG, CRM)
    assert newest == second
    assert (await store.put(ORG, CRM, VALUES, after=newest.version)).version == 3
    assert await store.newest(OTHER, CRM) is None
