"""What Temporal keeps: sealed, bound to its workflow, and typed when it does not validate."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.converter import WorkflowSerializationContext
from temporalio.exceptions import ApplicationError

from activities.security.envelope import MasterKey
from contracts.errors import ErrorDetail, Permanent
from contracts.notification import CrossSystemRouting
from contracts.wedding import Automation
from workers.codec import ENCODING, SealingCodec
from workers.converter import ContractPayloadConverter

NAME = b"Amelia Hart"


def codec(workflow_id: str | None = None, *, key: bytes = b"k" * 32, allow_plain: bool = False) -> SealingCodec:
    plain = SealingCodec(MasterKey(key), "default", allow_plain)
    if workflow_id is None:
        return plain
    return plain.with_context(WorkflowSerializationContext(namespace="default", workflow_id=workflow_id))


def payload() -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=NAME)


async def test_a_sealed_payload_opens_in_its_own_workflow_as_it_was():
    assert await codec("wed/1").decode(await codec("wed/1").encode([payload()])) == [payload()]


async def test_nothing_of_a_payload_is_readable_once_sealed():
    [sealed] = await codec("wed/1").encode([payload()])
    assert NAME not in sealed.SerializeToString()


async def test_the_same_payload_is_sealed_differently_each_time():
    first, second = await codec("wed/1").encode([payload(), payload()])
    assert first.data != second.data


async def test_a_payload_moved_into_another_workflow_is_refused():
    sealed = await codec("wed/1").encode([payload()])
    with pytest.raises(Permanent, match="another workflow"):
        await codec("wed/2").decode(sealed)


async def test_a_payload_whose_binding_was_rewritten_does_not_open():
    [sealed] = await codec("wed/1").encode([payload()])
    sealed.metadata["bound-to"] = b"wed/2"
    with pytest.raises(Permanent, match="does not open"):
        await codec("wed/2").decode([sealed])


async def test_a_payload_sealed_under_another_master_key_does_not_open():
    sealed = await codec("wed/1").encode([payload()])
    with pytest.raises(Permanent, match="does not open"):
        await codec("wed/1", key=b"o" * 32).decode(sealed)


async def test_a_run_of_a_schedule_opens_what_the_schedule_was_given():
    sealed = await codec("monitor-health/all").encode([payload()])
    assert await codec("monitor-health/all-2027-06-12T14:00:00Z").decode(sealed) == [payload()]


async def test_a_run_of_a_schedule_opens_the_result_of_the_run_before_it():
    sealed = await codec("monitor-health/all-2027-06-12T14:00:00Z").encode([payload()])
    assert await codec("monitor-health/all-2027-06-12T14:05:00Z").decode(sealed) == [payload()]


async def test_the_codec_server_opens_a_payload_without_knowing_its_workflow():
    assert await codec().decode(await codec("wed/1").encode([payload()])) == [payload()]


async def test_a_plain_payload_is_taken_only_where_that_is_allowed():
    assert await codec("wed/1", allow_plain=True).decode([payload()]) == [payload()]
    with pytest.raises(Permanent, match="unencrypted"):
        await codec("wed/1").decode([payload()])


async def test_a_sealed_payload_says_so():
    [sealed] = await codec("wed/1").encode([payload()])
    assert sealed.metadata["encoding"] == ENCODING


def test_input_that_does_not_validate_is_a_typed_failure_naming_fields_and_no_values():
    [wrong] = ContractPayloadConverter().to_payloads([{"routingId": "Amelia Hart, 12 Rose Lane"}])
    with pytest.raises(ApplicationError) as caught:
        ContractPayloadConverter().from_payload(wrong, CrossSystemRouting)
    detail = ErrorDetail.model_validate(caught.value.details[0])
    assert caught.value.non_retryable
    assert "Amelia" not in f"{caught.value}{detail}"
    assert "sourceNotification" in f"{detail}"


def test_contracts_travel_in_camel_case_and_come_back_equal():
    automation = Automation.model_validate(
        {"name": "day after", "trigger": "anchor", "offset": "P1D", "at": "09:00", "actions": [{"type": "send_email"}]}
    )
    [wire] = ContractPayloadConverter().to_payloads([automation])
    assert b"whenPast" in wire.data
    assert ContractPayloadConverter().from_payload(wire, Automation) == automation
    assert automation.offset == timedelta(days=1)
