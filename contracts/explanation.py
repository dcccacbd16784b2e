"""Why somebody did or did not get a message, told from beginning to end."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from contracts.base import Contract, OpaqueId, ShortText, Text
from contracts.decisions import Decision


class ExplainedRun(Contract):
    """One run that dealt with the message, and its chain of decisions in order."""

    run_id: ShortText
    kind: ShortText
    """The first part of the workflow's id, such as `route-notification` or `wedding-timeline`."""
    status: ShortText
    decisions: Annotated[list[Decision], Field(max_length=20_000)] = []


class Explanation(Contract):
    """What became of a notification, or of a wedding's steps; recipients are opaque."""

    organization_id: OpaqueId
    subject_id: OpaqueId
    sentence: Text
    """The answer in one sentence."""
    runs: Annotated[list[ExplainedRun], Field(max_length=200)] = []
