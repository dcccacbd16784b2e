"""What the `Integration` workflow refuses, each in one sentence."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.errors import RECONNECT_REQUIRED, ErrorDetail, ErrorKind, Owner
    from contracts.integration import IntegrationConfiguration
    from workflows.visibility import failure


def refuse_secrets(configuration: IntegrationConfiguration) -> None:
    """Refuse a configuration that carries a credential.

    Raises:
        ApplicationError: of type InvalidInput.
    """
    if configuration.connection_config.credential is not None:
        raise failure(
            _invalid(
                "credential_in_payload",
                "The configuration carries a credential, which must not travel through Temporal.",
                "Connect with `wedsync integrations connect FILE` or the HTTP API, then rotate the credential.",
            )
        )


def credential_of_another() -> ErrorDetail:
    """Return the refusal of a credential that is stored for another integration."""
    return _invalid(
        "credential_of_another",
        "The new credential is stored for another integration.",
        "Rotate with `wedsync integrations rotate FILE` or the HTTP API.",
    )


def configuration_of_another() -> ErrorDetail:
    """Return the refusal of a configuration that is not this integration's."""
    return _invalid(
        "configuration_of_another",
        "The configuration belongs to another integration or to another platform.",
        "Keep integrationId and platform; move to another platform with `wedsync integrations migrate ID FILE`.",
    )


def disconnected(action: str) -> ErrorDetail:
    """Return the refusal of an action on a disconnected integration."""
    return _invalid(
        "integration_disconnected", f"The integration is disconnected and cannot {action}.", "Connect it again."
    )


def reconnect_first(action: str) -> ErrorDetail:
    """Return the refusal of an action that needs a credential the vendor accepts."""
    return _invalid(
        RECONNECT_REQUIRED,
        f"The vendor refuses the integration's credential, so that it cannot {action}.",
        "Grant access again with `wedsync integrations authorize FILE`, or give a new credential with `rotate`.",
    )


def fresh_token_refused(platform: str) -> ErrorDetail:
    """Return why a connection is parked whose vendor refuses what it has just granted."""
    return ErrorDetail(
        kind=ErrorKind.AUTH_EXPIRED,
        code="fresh_token_refused",
        message=f"{platform} grants tokens and refuses each of them right after.",
        owner=Owner.TENANT,
        action="Check that the account still has the rights it was connected with, then grant access again.",
        system=platform,
    )


def _invalid(code: str, message: str, action: str) -> ErrorDetail:
    return ErrorDetail(kind=ErrorKind.INVALID_INPUT, code=code, message=message, owner=Owner.TENANT, action=action)
