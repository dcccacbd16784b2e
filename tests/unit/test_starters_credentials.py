"""Secrets leave an integration file for the credential store and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contracts.errors import InvalidInput
from contracts.integration import IntegrationConfiguration
from starters.credentials import lift

SECRET = "canary-7f3a91"


def configuration(credential: dict[str, Any] | None, **settings: Any) -> IntegrationConfiguration:
    config: dict[str, Any] = dict(settings)
    if credential is not None:
        config["credential"] = credential
    return IntegrationConfiguration.model_validate(
        {"integrationId": "tave-main", "organizationId": "org", "platform": "tave", "connectionConfig": config}
    )


def test_a_plain_secret_is_lifted_and_does_not_stay_in_the_configuration() -> None:
    lifted = lift(configuration({"apiKey": SECRET}, studioId="studio-1"), beside=None)
    assert lifted.values == {"apiKey": SECRET}
    assert SECRET not in lifted.configuration.model_dump_json()
    assert SECRET not in repr(lifted)
    assert lifted.configuration.connection_config.settings == {"studioId": "studio-1"}


def test_a_secret_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TAVE_KEY", SECRET)
    assert lift(configuration({"apiKey": {"env": "TAVE_KEY"}}), beside=tmp_path).values == {"apiKey": SECRET}


def test_a_secret_is_read_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(SECRET + "\n")
    file.chmod(0o600)
    lifted = lift(configuration({"apiKey": {"file": "key"}}), beside=tmp_path)
    assert lifted.values == {"apiKey": SECRET}
    assert lifted.warnings == ()


def test_a_secret_file_that_others_may_read_is_named_in_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(SECRET)
    file.chmod(0o644)
    warnings = lift(configuration({"apiKey": {"file": "key"}}), beside=tmp_path).warnings
    assert len(warnings) == 1
    assert SECRET not in warnings[0]


@pytest.mark.parametrize("source", [{"env": "HOME"}, {"file": "/etc/hostname"}])
def test_a_remote_caller_cannot_have_this_machines_environment_or_files_read(source: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        lift(configuration({"apiKey": source}), beside=None)
    assert caught.value.detail.code == "secret_source_refused"


@pytest.mark.parametrize(
    ("credential", "settings", "named"),
    [
        ({}, {}, "apiKey"),
        ({"apiKey": SECRET, "token": SECRET}, {}, "token"),
        ({"apiKey": SECRET}, {"studio": SECRET}, "studio"),
    ],
)
def test_missing_and_unknown_names_are_named_and_their_values_are_not(
    credential: dict[str, str], settings: dict[str, str], named: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        lift(configuration(credential, **settings), beside=None)
    assert named in caught.value.detail.message
    assert SECRET not in caught.value.detail.model_dump_json()


def test_a_caller_cannot_point_at_a_stored_credential() -> None:
    ref = {"organizationId": "other", "integrationId": "theirs", "version": 1}
    with pytest.raises(InvalidInput) as caught:
        lift(configuration(None, credentialRef=ref), beside=None)
    assert caught.value.detail.code == "credential_ref_refused"


def test_an_unset_variable_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TAVE_KEY", raising=False)
    with pytest.raises(InvalidInput, match="TAVE_KEY"):
        lift(configuration({"apiKey": {"env": "TAVE_KEY"}}), beside=tmp_path)
