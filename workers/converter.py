"""Payload conversion that turns input which does not validate into a typed failure at once."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import CompositePayloadConverter, DefaultPayloadConverter, JSONPlainPayloadConverter

from activities.boundary import as_application_error, invalid_input


class ContractJSONConverter(PydanticJSONPlainPayloadConverter):
    """JSON through pydantic; without this a workflow task with bad input would be tried for ever."""

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
