"""Credentials in AWS Secrets Manager: one secret per integration, a version per label."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import NAMESPACE_URL, uuid5

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from pydantic import SecretStr

from activities.ports.secrets import destroyed, place_of, superseded
from activities.transport.offload import offload
from contracts.errors import Owner, Permanent, Transient
from contracts.integration import CredentialRef

T = TypeVar("T")

_TIMEOUT_S = 10
_DROPPED_AT_MOST = 20
_CURRENT = "AWSCURRENT"
_EXISTS, _MISSING = "ResourceExistsException", "ResourceNotFoundException"
_PASSING = frozenset(
    {"InternalServiceError", "InvalidRequestException", "ThrottlingException", "TooManyRequestsException"}
)
_SERVER_FAULT = 500


@dataclass(frozen=True)
class AwsAccess:
    """Where the secrets are; who this process is, AWS's own chain of providers decides.

    Args:
        region: such as `eu-west-1`.
        endpoint: another address than the region's, such as a VPC endpoint.
        kms_key_id: the customer-managed key that seals them; the account's default when empty.
    """

    region: str
    endpoint: str | None = None
    kms_key_id: str = ""


class AwsSecretStore:
    """A version is the secret `wedsync/<organisation>/<integration>` under the label `v<version>`.

    The id of a version follows from its number, so that of two writers of one number the second is refused. A version
    that was dropped has no label any more and cannot be asked for; AWS removes its content at a time of its choosing.

    Source: AWS Secrets Manager API reference, CreateSecret, PutSecretValue, GetSecretValue, UpdateSecretVersionStage.
    """

    def __init__(self, access: AwsAccess) -> None:
        self._access = access
        self._lock = threading.Lock()
        self._client: Any = None

    async def put(
        self, organization_id: str, integration_id: str, values: Mapping[str, str], *, after: int | None = None
    ) -> CredentialRef:
        """Store the values as the next version and return its reference.

        Raises:
            Transient: `after` is not the newest version, another write was faster, or AWS does not answer.
            Permanent: AWS does not let this process do it.
        """
        return await self._with_client(self._put, organization_id, integration_id, dict(values), after)

    async def get(self, ref: CredentialRef) -> Mapping[str, SecretStr]:
        """Return the values of a version.

        Raises:
            AuthExpired: the version was dropped or destroyed.
            Transient: AWS does not answer.
            Permanent: AWS does not let this process do it, or the version is another's.
        """
        return await self._with_client(self._get, ref)

    async def newest(self, organization_id: str, integration_id: str) -> CredentialRef | None:
        """Return the newest version that has its label, None when there is none."""
        versions = await self._with_client(_versions, _name(organization_id, integration_id))
        return _ref(organization_id, integration_id, max(versions)) if versions else None

    async def drop(self, ref: CredentialRef) -> None:
        """Take the version's label away."""
        await self._with_client(self._drop, ref)

    async def destroy(self, organization_id: str, integration_id: str) -> int:
        """Delete the secret without a time for recovery, and return how many versions had a label."""
        return await self._with_client(self._destroy, _name(organization_id, integration_id))

    def _put(
        self, client: Any, organization_id: str, integration_id: str, values: dict[str, str], after: int | None
    ) -> CredentialRef:
        name = _name(organization_id, integration_id)
        newest = max(_versions(client, name), default=0) if after is None else after
        for version in range(newest + 1, newest + _DROPPED_AT_MOST):
            ref = _ref(organization_id, integration_id, version)
            try:
                self._write(client, name, ref, values)
            except ClientError as error:
                if _code(error) not in {_EXISTS, _MISSING}:
                    raise
                # A number that exists without its label was dropped: AWS still knows it, and the next one is free.
                lost = _code(error) == _MISSING or (version == 1 and after == 0)
                if lost or version in _versions(client, name):
                    raise superseded(integration_id) from None
            else:
                return ref
        raise superseded(integration_id)

    def _write(self, client: Any, name: str, ref: CredentialRef, values: dict[str, str]) -> None:
        given = {
            "ClientRequestToken": _version_id(ref),
            "SecretString": json.dumps({"place": place_of(ref), "values": values}, sort_keys=True),
        }
        if ref.version > 1:
            client.put_secret_value(SecretId=name, VersionStages=[_label(ref)], **given)
            _make_current(client, name, ref)
            return
        sealed_by = {"KmsKeyId": self._access.kms_key_id} if self._access.kms_key_id else {}
        client.create_secret(Name=name, **sealed_by, **given)
        client.update_secret_version_stage(SecretId=name, VersionStage=_label(ref), MoveToVersionId=_version_id(ref))

    def _get(self, client: Any, ref: CredentialRef) -> Mapping[str, SecretStr]:
        name = _name(ref.organization_id, ref.integration_id)
        try:
            found = client.get_secret_value(SecretId=name, VersionStage=_label(ref))
        except ClientError as error:
            if _code(error) == _MISSING:
                raise destroyed(ref) from None
            raise
        held = json.loads(found["SecretString"])
        if held["place"] != place_of(ref):
            raise Permanent(
                "sealed_data_unreadable",
                "A credential in AWS Secrets Manager is another integration's: it was moved.",
                owner=Owner.OPERATOR,
                action="Look who changed it in CloudTrail, and connect the integration again.",
            )
        return {key: SecretStr(value) for key, value in held["values"].items()}

    def _drop(self, client: Any, ref: CredentialRef) -> None:
        name = _name(ref.organization_id, ref.integration_id)
        if ref.version in _versions(client, name):
            client.update_secret_version_stage(
                SecretId=name, VersionStage=_label(ref), RemoveFromVersionId=_version_id(ref)
            )

    def _destroy(self, client: Any, name: str) -> int:
        versions = _versions(client, name)
        if versions:
            client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
        return len(versions)

    async def _with_client(self, call: Callable[..., T], *given: object) -> T:
        return await offload(self._call, call, *given)

    def _call(self, call: Callable[..., T], *given: object) -> T:
        try:
            return call(self._opened(), *given)
        except NoCredentialsError:
            raise _refused() from None
        except BotoCoreError:
            raise _away() from None
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            raise (_away() if status >= _SERVER_FAULT or _code(error) in _PASSING else _refused()) from None

    def _opened(self) -> Any:
        with self._lock:
            if self._client is None:
                once = Config(connect_timeout=_TIMEOUT_S, read_timeout=_TIMEOUT_S, retries={"total_max_attempts": 1})
                self._client = boto3.Session().client(
                    "secretsmanager",
                    region_name=self._access.region,
                    endpoint_url=self._access.endpoint,
                    config=once,
                )
            return self._client


def _make_current(client: Any, name: str, ref: CredentialRef) -> None:
    """Move AWS's own label to the newest version, so that an older one can go once it is dropped."""
    for version_id, labels in _labels(client, name).items():
        if _CURRENT in labels and version_id != _version_id(ref):
            client.update_secret_version_stage(
                SecretId=name, VersionStage=_CURRENT, MoveToVersionId=_version_id(ref), RemoveFromVersionId=version_id
            )


def _labels(client: Any, name: str) -> dict[str, list[str]]:
    try:
        return dict(client.describe_secret(SecretId=name).get("VersionIdsToStages", {}))
    except ClientError as error:
        if _code(error) == _MISSING:
            return {}
        raise


def _versions(client: Any, name: str) -> set[int]:
    labels = {label for stages in _labels(client, name).values() for label in stages}
    return {int(label[1:]) for label in labels if label[:1] == "v" and label[1:].isdigit()}


def _ref(organization_id: str, integration_id: str, version: int) -> CredentialRef:
    return CredentialRef(organization_id=organization_id, integration_id=integration_id, version=version)


def _name(organization_id: str, integration_id: str) -> str:
    # Secret names take no colon, which our ids may hold.
    return f"wedsync/{organization_id}/{integration_id}".replace(":", "+")


def _label(ref: CredentialRef) -> str:
    return f"v{ref.version}"


def _version_id(ref: CredentialRef) -> str:
    return str(uuid5(NAMESPACE_URL, place_of(ref)))


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def _away() -> Transient:
    return Transient(
        "secret_store_unavailable",
        "AWS Secrets Manager does not answer.",
        owner=Owner.OPERATOR,
        action="If it lasts, look at the service's health; nothing was lost.",
    )


def _refused() -> Permanent:
    return Permanent(
        "secret_store_refused",
        "AWS Secrets Manager refuses this process: it has no identity there, or its policy lacks an action.",
        owner=Owner.OPERATOR,
        action="Check the role of this process and its policy for secrets below wedsync/.",
    )
