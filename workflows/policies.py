"""Every time-out and retry policy, named by intent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TypedDict, TypeVar

from temporalio.common import Priority, RetryPolicy

from contracts.base import Contract
from contracts.errors import NON_RETRYABLE
from contracts.names import fairness_key
from contracts.sync import SyncPriority

A = TypeVar("A", bound=Contract)
"""What an activity answers."""


class ActivityOptions(TypedDict):
    """The keyword arguments of `workflow.execute_activity` that a policy decides."""

    start_to_close_timeout: timedelta
    schedule_to_close_timeout: timedelta
    heartbeat_timeout: timedelta | None
    retry_policy: RetryPolicy


@dataclass(frozen=True)
class Policy:
    """How long an attempt may take, how long all attempts may take, and how retries are spaced."""

    attempt: timedelta
    total: timedelta
    heartbeat: timedelta | None = None
    first_retry: timedelta = timedelta(milliseconds=500)
    longest_retry: timedelta = timedelta(minutes=1)

    def options(self) -> ActivityOptions:
        """Return the policy as keyword arguments of `workflow.execute_activity`."""
        return ActivityOptions(
            start_to_close_timeout=self.attempt,
            schedule_to_close_timeout=self.total,
            heartbeat_timeout=self.heartbeat,
            retry_policy=RetryPolicy(
                initial_interval=self.first_retry,
                backoff_coefficient=2,
                maximum_interval=self.longest_retry,
                non_retryable_error_types=[str(kind) for kind in NON_RETRYABLE],
            ),
        )


INTERACTIVE = Policy(attempt=timedelta(seconds=30), total=timedelta(hours=12))
"""One vendor call that somebody waits for; survives an outage of hours, and the queue after it."""

RECALL = Policy(attempt=timedelta(seconds=30), total=timedelta(hours=2))
"""A look at a vendor, or taking something back, that ends in time for somebody to do it by hand."""

_SILENCE = timedelta(seconds=8)
"""After so long without a beat, of which there is one every two seconds (`activities.heartbeat`), a worker is dead."""

BULK = Policy(attempt=timedelta(minutes=30), total=timedelta(hours=12), heartbeat=_SILENCE)
"""Much data, in a step that may be taken twice at once; resumes from its heartbeat."""

MESSAGES = Policy(attempt=timedelta(minutes=30), total=timedelta(hours=12), heartbeat=timedelta(seconds=45))
"""Many messages: a worker that is only slow to be heard may be sending yet, so its successor waits longer."""

QUESTION = Policy(attempt=timedelta(minutes=12), total=timedelta(hours=1), heartbeat=_SILENCE)
"""A question to a warehouse, which ends it by itself after ten minutes at most."""

SYNC = Policy(attempt=timedelta(minutes=30), total=timedelta(days=7), heartbeat=_SILENCE)
"""As BULK, for a step that ends itself after twelve hours without progress and may go on for a week with it."""

READING = Policy(attempt=timedelta(minutes=10), total=timedelta(hours=12), heartbeat=timedelta(seconds=60))
"""A vendor's lists, page by page, for a decision that can wait for them."""

PROBE = Policy(attempt=timedelta(seconds=20), total=timedelta(seconds=50), first_retry=timedelta(seconds=1))
"""A health check: a few attempts, then the answer is that there is none, in less time than a door waits for it."""

ROUND = Policy(attempt=timedelta(minutes=4), total=timedelta(minutes=4), heartbeat=timedelta(seconds=30))
"""A batch of health checks, each with a time limit of its own; a round that is late makes room for the next."""

SETUP = Policy(attempt=timedelta(minutes=2), total=timedelta(minutes=5))
"""Provisioning at a vendor while somebody waits for the connection."""

TOKEN = Policy(
    attempt=timedelta(seconds=60),
    total=timedelta(minutes=5),
    heartbeat=timedelta(seconds=10),
    first_retry=timedelta(seconds=1),
    longest_retry=timedelta(seconds=30),
)
"""A token's renewal, which every call of the connection waits for."""

STORE = Policy(attempt=timedelta(seconds=20), total=timedelta(hours=1))
"""Our own store."""

REWRAP = Policy(attempt=timedelta(minutes=10), total=timedelta(hours=12), heartbeat=_SILENCE)
"""Many short transactions in our own store; resumes from its heartbeat."""

LOCAL = Policy(attempt=timedelta(seconds=10), total=timedelta(minutes=10))
"""Planning inside the worker that runs the workflow."""

AUTOMATION_TIMEOUT = timedelta(days=3 * 366)
"""How long an automation may run: weddings are planned years ahead."""

MOST_ACTIONS_OF_A_RUN = 500
"""After so many, an automation goes on in a new run, whose history is short again.

Workflows decide by it, so it is changed as they are.
"""

EMERGENCY = Policy(
    attempt=timedelta(seconds=10),
    total=timedelta(hours=1),
    first_retry=timedelta(seconds=1),
    longest_retry=timedelta(seconds=15),
)
"""A vendor call of an emergency, taken again and again while others stand in for it."""

EMERGENCY_PLAN = Policy(
    attempt=timedelta(seconds=5),
    total=timedelta(days=1),
    first_retry=timedelta(milliseconds=200),
    longest_retry=timedelta(seconds=2),
)
"""Planning whom to alert: nothing happens before it."""

FAILS_OVER_AFTER = timedelta(seconds=3)
"""How long a target of an emergency has to answer before the next one is tried."""

RUN_TIMEOUT = timedelta(days=30)
"""Long enough for a tenant to connect an account again; a run that waits for that holds nothing."""

PULL = Policy(attempt=timedelta(seconds=30), total=timedelta(minutes=5), first_retry=timedelta(seconds=1))
"""A wedding read at its source; one that is away is asked again in a later round."""

GAP_GRACE = timedelta(minutes=5)
"""How long missing events may take to arrive by themselves before the source is asked for them."""

GAP_LONGEST = timedelta(hours=12)
"""The longest pause between two rounds in which the source is asked: the pauses double from the grace on.

Workflows decide by both, so they are changed as workflows are.
"""

_PRIORITY_KEYS = {SyncPriority.CRITICAL: 1, SyncPriority.HIGH: 2, SyncPriority.NORMAL: 3, SyncPriority.LOW: 4}


def priority(word: SyncPriority, fairness_key: str) -> Priority:
    """Return the queue priority of a request's word, fair among `fairness_key`s (at most 64 bytes)."""
    return Priority(priority_key=_PRIORITY_KEYS[word], fairness_key=fairness_key[:64])


HOUSEKEEPING = priority(SyncPriority.NORMAL, "housekeeping")
"""The installation's own work, which is no organisation's."""


def connection_priority(word: SyncPriority, organization_id: str, integration_id: str) -> Priority:
    """Return the priority in a system's queue, which is fair among connections and limits each of them."""
    return priority(word, fairness_key(organization_id, integration_id))


def once(policy: Policy) -> ActivityOptions:
    """Return the options of a single attempt, whose failure is known at once."""
    options = policy.options()
    options["retry_policy"] = RetryPolicy(maximum_attempts=1)
    return options


class LocalActivityOptions(TypedDict):
    """The keyword arguments of `workflow.execute_local_activity` that a policy decides."""

    start_to_close_timeout: timedelta
    schedule_to_close_timeout: timedelta
    retry_policy: RetryPolicy


def local_options(policy: Policy) -> LocalActivityOptions:
    """Return the policy for a local activity, which has no heartbeat."""
    options = policy.options()
    return LocalActivityOptions(
        start_to_close_timeout=options["start_to_close_timeout"],
        schedule_to_close_timeout=options["schedule_to_close_timeout"],
        retry_policy=options["retry_policy"],
    )
