"""Lifting secrets out of an integration file, so that only a reference travels on."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from activities.connectors.registry import connector_class
from activities.ports.manifest import Manifest
from activities.ports.outbound import PUBLIC_ONLY, OutboundRules
from activities.transport.outbound import vet
from contracts.errors import InvalidInput
from contracts.integration import (
    IntegrationConfiguration,
    SecretFromEnv,
    SecretFromFile,
    SecretSource,
    require_tls_decision,
)

_LONGEST_SECRET = 8_000


@dataclass(frozen=True)
class Lifted:
    """A configuration without secrets, the secrets, and what the operator should know about them."""

    configuration: IntegrationConfiguration
    values: Mapping[str, str] | None = field(repr=False)
    """None when the configuration brought no credential."""
    warnings: tuple[str, ...] = ()


def lift(
    configuration: IntegrationConfiguration, *, beside: Path | None, outbound: OutboundRules = PUBLIC_ONLY
) -> Lifted:
    """Take the credential out of a configuration and check it against manifest and outbound policy.

    Args:
        configuration: as the tenant wrote it.
        beside: the directory that `{"file": ...}` is relative to; None refuses `env` and `file`,
            because a remote caller must not read this machine's environment and files.
        outbound: what the installation lets connectors reach.

    Raises:
        InvalidInput: unknown platform, missing or unknown credential names or settings, a secret that is not there,
            an address that the outbound policy does not allow, or TLS 1.2 without a decision.
    """
    manifest = connector_class(configuration.platform).manifest
    config = configuration.connection_config
    if config.credential_ref is not None:
        raise InvalidInput(
            "credential_ref_refused",
            "connectionConfig.credentialRef is set by WedSync and not by the caller.",
            action="Remove it; give the credential itself in connectionConfig.credential.",
            system=manifest.system,
        )
    _check_settings(manifest, set(config.settings))
    require_tls_decision(configuration)
    if address := manifest.address_of(config.base_url, config.settings):
        vet(address, manifest, outbound)
    if config.credential is None:
        return Lifted(configuration, None)
    _check_names(manifest, set(config.credential))
    warnings: list[str] = []
    values = {name: _resolve(name, source, beside, warnings) for name, source in config.credential.items()}
    return Lifted(without_credential(configuration), values, tuple(warnings))


def without_credential(configuration: IntegrationConfiguration) -> IntegrationConfiguration:
    """Return the configuration with no secret in it."""
    config = configuration.connection_config.model_copy(update={"credential": None})
    return configuration.model_copy(update={"connection_config": config})


def require_credential(configuration: IntegrationConfiguration) -> None:
    """Refuse a first connection without the names its connector needs.

    Raises:
        InvalidInput: the platform needs a credential.
    """
    manifest = connector_class(configuration.platform).manifest
    if manifest.credential_fields:
        _check_names(manifest, set())


def _check_names(manifest: Manifest, given: set[str]) -> None:
    required, optional = set(manifest.credential_fields), set(manifest.optional_credential_fields)
    # What can be renewed needs no access token to begin with.
    renewable = manifest.oauth is not None and not given.isdisjoint({"refreshToken", "clientSecret"})
    _check("connectionConfig.credential", manifest, given, set() if renewable else required, required | optional)


def _check_settings(manifest: Manifest, given: set[str]) -> None:
    known = {*manifest.required_settings, *manifest.optional_settings}
    _check("connectionConfig", manifest, given, set(manifest.required_settings), known)


def _check(where: str, manifest: Manifest, given: set[str], required: set[str], known: set[str]) -> None:
    problems = []
    if missing := sorted(required - given):
        problems.append(f"lacks {', '.join(missing)}")
    if unknown := sorted(given - known):
        problems.append(f"has unknown names: {', '.join(unknown)}")
    if not problems:
        return
    wanted = ", ".join(sorted(known)) or "nothing"
    raise InvalidInput(
        "connection_config_invalid",
        f"{where} for {manifest.title} {' and '.join(problems)}.",
        action=f"It may name {wanted}; see {manifest.documentation_url}.",
        system=manifest.system,
    )


def _resolve(name: str, source: SecretSource, beside: Path | None, warnings: list[str]) -> str:
    if isinstance(source, str):
        return _present(name, source, "it is empty")
    if beside is None:
        raise InvalidInput(
            "secret_source_refused",
            f"The credential {name} names an environment variable or a file, which only the command line reads.",
            action="Send its value, or connect with `wedsync integrations connect FILE`.",
        )
    if isinstance(source, SecretFromEnv):
        return _present(name, os.environ.get(source.env, ""), f"the environment variable {source.env} is not set")
    return _from_file(name, source, beside, warnings)


def _from_file(name: str, source: SecretFromFile, beside: Path, warnings: list[str]) -> str:
    path = beside / source.file
    try:
        text = path.read_text()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "secret_missing",
            f"The credential {name} cannot be read from the file it names.",
            action="Check that the file lies where the configuration says and that you may read it.",
        ) from error
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        warnings.append(f"The file of the credential {name} is readable by others; `chmod 600` it.")
    return _present(name, text.strip(), "its file is empty")


def _present(name: str, value: str, absence: str) -> str:
    if not value:
        raise InvalidInput(
            "secret_missing",
            f"The credential {name} has no value: {absence}.",
            action="Give it and connect again.",
        )
    if len(value) > _LONGEST_SECRET:
        raise InvalidInput(
            "secret_too_long",
            f"The credential {name} is longer than {_LONGEST_SECRET} characters.",
            action="Check that the file holds only the secret.",
        )
    return value
