"""Which credential store the settings choose, and which settings are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from activities.security.envelope import MasterKey
from activities.storage.aws_credentials import AwsSecretStore
from activities.storage.credentials import SealedSecretStore
from activities.storage.database import Database
from activities.storage.vault_credentials import VaultSecretStore
from contracts.errors import Permanent
from workers.secret_store import open_secret_store
from workers.settings import Profile, SecretStoreKind, Settings

VAULT: dict[str, Any] = {
    "secret_store": SecretStoreKind.VAULT,
    "vault_address": "https://vault.example:8200",
    "vault_role_id": "role",
    "vault_secret_id": SecretStr("canary-secret-id"),
}


def opened(tmp_path: Path, **settings: Any) -> object:
    given = Settings(data_dir=tmp_path, master_key=SecretStr("A" * 43 + "="), **settings)
    return open_secret_store(given, Database(f"sqlite:///{tmp_path}/store.db"), MasterKey(bytes(32)))


def test_credentials_are_sealed_in_the_sql_store_when_nothing_is_set(tmp_path: Path) -> None:
    assert isinstance(opened(tmp_path), SealedSecretStore)


def test_vault_is_a_setting(tmp_path: Path) -> None:
    assert isinstance(opened(tmp_path, **VAULT, profile=Profile.PRODUCTION), VaultSecretStore)


def test_aws_is_a_setting(tmp_path: Path) -> None:
    given = {"secret_store": SecretStoreKind.AWS, "aws_region": "eu-west-1", "profile": Profile.PRODUCTION}
    assert isinstance(opened(tmp_path, **given), AwsSecretStore)


@pytest.mark.parametrize(
    "change", [{"aws_region": ""}, {"aws_endpoint": "http://proxy.example", "profile": Profile.PRODUCTION}]
)
def test_an_unsafe_aws_is_refused_before_anything_starts(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(Permanent) as caught:
        opened(tmp_path, **{"secret_store": SecretStoreKind.AWS, "aws_region": "eu-west-1", **change})
    assert caught.value.detail.code == "secret_store_misconfigured"


@pytest.mark.parametrize(
    "change",
    [
        {"vault_address": ""},
        {"vault_role_id": ""},
        {"vault_secret_id": None},
        {"vault_address": "http://vault.example:8200", "profile": Profile.PRODUCTION},
    ],
    ids=["no address", "no role", "no secret", "not https in production"],
)
def test_an_unsafe_vault_is_refused_before_anything_starts(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(Permanent) as caught:
        opened(tmp_path, **{**VAULT, **change})
    assert caught.value.detail.code == "secret_store_misconfigured"
    assert "canary" not in str(caught.value)
