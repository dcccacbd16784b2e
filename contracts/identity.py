"""In whose name an organisation's messages come, and in which words."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from contracts.base import Contract, Instant, OpaqueId, Text

_MailAddress = Annotated[
    str, StringConstraints(pattern=r"^[^\s@<>,;:\"\\\x00-\x1f]{1,64}@[^\s@<>,;:\"\\\x00-\x1f]{1,190}$")
]
_Name = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=80)]


class SenderIdentity(Contract):
    """The supplier as its couples see it; each system takes what it knows, the rest is the integration's own."""

    from_name: _Name = ""
    from_address: _MailAddress | None = None
    reply_to: _MailAddress | None = None
    chat_name: _Name = ""
    """The name a chat shows a message under, where the vendor allows one, such as Slack's `username`."""
    chat_icon_url: Annotated[str, StringConstraints(pattern=r"^https://\S{1,500}$")] | None = None
    message_sender: Annotated[str, StringConstraints(pattern=r"^(\+[0-9]{6,15}|[A-Za-z0-9 ]{1,11})$")] | None = None
    """The number or alphanumeric sender of text messages."""


class TemplateWords(Contract):
    """An organisation's own words for one kind of message, as Jinja2 templates; what is absent is not replaced."""

    name: OpaqueId
    """The type of the notification, or the name of a template of the library."""
    subject: Text | None = None
    text: Text | None = None
    html: Text | None = None

    @model_validator(mode="after")
    def _some_words(self) -> Self:
        if self.subject is None and self.text is None and self.html is None:
            message = "a template needs a subject, a text or an html part"
            raise ValueError(message)
        return self


class StoredTemplate(Contract):
    """A template as the organisation keeps it; every save makes a version, and none is changed."""

    organization_id: OpaqueId
    version: int = Field(ge=1)
    saved_at: Instant
    words: TemplateWords


class TemplateList(Contract):
    """The newest version of each of an organisation's templates."""

    templates: Annotated[list[StoredTemplate], Field(max_length=1_000)] = []
