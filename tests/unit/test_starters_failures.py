"""Temporal's refusals, as the errors people read."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.service import RPCError, RPCStatusCode

from contracts.errors import ErrorKind
from starters.failures import detail_of


def refusal(*details: Any) -> RPCError:
    status = GrpcStatus(code=RPCStatusCode.NOT_FOUND.value, details=details)
    return RPCError("not found", RPCStatusCode.NOT_FOUND, status.SerializeToString())


def test_a_namespace_that_is_not_there_yet_can_be_waited_for() -> None:
    failure = Any()
    failure.Pack(NamespaceNotFoundFailure(namespace="default"))
    detail = detail_of(refusal(failure))
    assert (detail.kind, detail.code) == (ErrorKind.TRANSIENT, "namespace_missing")


def test_a_run_that_is_not_there_is_the_callers_to_correct() -> None:
    detail = detail_of(refusal())
    assert (detail.kind, detail.code) == (ErrorKind.INVALID_INPUT, "run_not_found")
