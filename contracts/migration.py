"""Inputs of the activities that move an integration's work to another one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from contracts.base import Contract, OpaqueId
from contracts.health import IntegrationKey


class PlanMigration(Contract):
    """Which integration is to take over from which."""

    key: IntegrationKey
    successor_id: OpaqueId
    scheduled_report_id: OpaqueId | None = None


class MigrationPlan(Contract):
    """The successor, and the reports that it is to hold before it takes over."""

    successor: IntegrationKey
    reports: Annotated[list[OpaqueId], Field(max_length=20)] = []
    reread: bool = False
    """Whether the successor's records can be read again one by one."""


class VerifyMigration(Contract):
    """Read what a backfill brought to the successor."""

    successor: IntegrationKey
    after: str = ""
    """The last record id that was verified."""


class VerifiedRecords(Contract):
    """How many records the vendor was asked for, and how many it holds as they were sent."""

    asked: int = 0
    standing: int = 0
