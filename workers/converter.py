"""Payload conversion that turns what does not validate, or fit, into a typed failure at once."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import CompositePayloadConverter, DefaultPayloadConverter, JSONPlainPayloadConverter

from activities.boundary import as_application_error, invalid_input
from contracts.errors import InvalidInput

MAX_PAYLOAD_BYTES = 8 << 20


class ContractJSONConverter(PydanticJSONPlainPayloadConverter):
    """JSON through pydantic; without this a workflow task with bad values would be tried for ever."""

    def to_payload(self, value: Any) -> Payload | None:
        """Return the value as JSON.

        Raises:
            ApplicationError: of type InvalidInput, it is larger than 8 MiB.
        """
        payload = super().to_payload(value)
        if payload is not None and len(payload.data) > MAX_PAYLOAD_BYTES:
            raise as_application_error(_too_large(len(payload.data)))
        return payload

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        """Return the validated value.

        Raises:
            ApplicationError: of type InvalidInput, naming fields and never their values.
        """
        try:
            return super().from_payload(payload, type_hint)
        except ValidationError as error:
            raise as_application_error(invalid_input(error)) from None


class ContractPayloadConverter(CompositePayloadConverter):
    """The converter of every client, worker and replayer."""

    def __init__(self) -> None:
        """Take Temporal's converters with our JSON in the place of the plain one."""
        super().__init__(
            *(
                ContractJSONConverter() if isinstance(converter, JSONPlainPayloadConverter) else converter
                for converter in DefaultPayloadConverter.default_encoding_payload_converters
            )
        )


def _too_large(size: int) -> InvalidInput:
    return InvalidInput(
        "payload_too_large",
        f"A value has {size:,} bytes, and a run carries {MAX_PAYLOAD_BYTES:,} at most.",
        action="Send bulk data by reference: as a file, a report or in parts.",
    )
