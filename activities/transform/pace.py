"""How often one recipient is written to: what was sent, and whether another message still fits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.decisions import Stage, Verdict
from contracts.preferences import Cap, NotificationPolicy, Override

MEMORY = timedelta(days=31)
"""No window is longer."""
_MOST = 2_000


@dataclass(frozen=True)
class Sent:
    """A message that a recipient was counted for; opaque words only."""

    claim: str
    message: str
    """What it says, as `same_message` has it."""
    type: str
    wedding_id: str
    at: datetime


@dataclass(frozen=True)
class Word:
    """What one stage says."""

    stage: Stage
    code: str
    verdict: Verdict
    until: datetime | None = None
    detail: str = ""


@dataclass(frozen=True)
class Claim:
    """A message that wants to be counted.

    Args:
        sent: what it would be counted as.
        overrides: the stages it does not wait for.
        person: whether throttle and caps apply, which are for people only.
    """

    sent: Sent
    overrides: frozenset[Override] = frozenset()
    person: bool = True


@dataclass(frozen=True)
class Pace:
    """What a recipient was sent lately, oldest first."""

    sent: Sequence[Sent] = field(default=())

    def taken(self, claim: Claim, policy: NotificationPolicy) -> tuple[Pace, list[Word]]:
        """Return the pace with the message counted if it fits, and what each stage says.

        Idempotent: yes, by the claim: what is counted already stays counted once, and is told to be sent.
        """
        if any(one.claim == claim.sent.claim for one in self.sent):
            return self, [Word(Stage.DUPLICATE, "already_counted", Verdict.ALLOW)]
        words = [self._duplicate(claim, policy)]
        if claim.person:
            words += [self._throttle(claim, policy), *(self._cap(claim, cap) for cap in policy.caps)]
        if any(word.verdict in {Verdict.SKIP, Verdict.HOLD} for word in words):
            return self, words
        kept = [one for one in self.sent if one.at > claim.sent.at - MEMORY]
        return Pace(sorted([*kept, claim.sent], key=lambda one: one.at)[-_MOST:]), words

    def given_back(self, claims: Sequence[str]) -> Pace:
        """Return the pace without these messages, which never reached anybody."""
        return Pace([one for one in self.sent if one.claim not in claims])

    def _duplicate(self, claim: Claim, policy: NotificationPolicy) -> Word:
        earliest = claim.sent.at - policy.duplicates_within
        if any(one.message == claim.sent.message and one.at > earliest for one in self.sent):
            return Word(Stage.DUPLICATE, "duplicate", Verdict.SKIP, detail="the same message went out already")
        return Word(Stage.DUPLICATE, "no_duplicate", Verdict.ALLOW)

    def _throttle(self, claim: Claim, policy: NotificationPolicy) -> Word:
        last = max((one.at for one in self.sent if one.type == claim.sent.type), default=None)
        free = last + policy.throttle if last else claim.sent.at
        if free <= claim.sent.at:
            return Word(Stage.THROTTLE, "not_throttled", Verdict.ALLOW)
        if Override.THROTTLE in claim.overrides:
            return Word(Stage.THROTTLE, "throttled", Verdict.OVERRIDE)
        return Word(Stage.THROTTLE, "throttled", Verdict.HOLD, free)

    def _cap(self, claim: Claim, cap: Cap) -> Word:
        code = f"cap:{cap.messages}/{_span(cap.per)}"
        within = [
            one.at for one in self.sent if one.wedding_id == claim.sent.wedding_id and one.at > claim.sent.at - cap.per
        ]
        detail = f"{len(within)} of {cap.messages} in {_span(cap.per)}"
        if len(within) < cap.messages:
            return Word(Stage.CAP, code, Verdict.ALLOW, detail=detail)
        if Override.CAP in claim.overrides:
            return Word(Stage.CAP, code, Verdict.OVERRIDE, detail=detail)
        return Word(Stage.CAP, code, Verdict.HOLD, within[-cap.messages] + cap.per, detail)

    def dumped(self) -> str:
        """Return the pace as JSON."""
        return json.dumps([asdict(one) | {"at": one.at.isoformat()} for one in self.sent], separators=(",", ":"))

    @classmethod
    def loaded(cls, text: str) -> Pace:
        """Return the pace of `dumped`."""
        rows: list[dict[str, Any]] = json.loads(text)
        return cls([replace(Sent(**row), at=datetime.fromisoformat(row["at"]).astimezone(UTC)) for row in rows])


def _span(per: timedelta) -> str:
    hours = per // timedelta(hours=1)
    if per != timedelta(hours=hours) or not hours:
        return f"{per // timedelta(minutes=1)}m"
    return f"{hours}h" if hours % 24 else f"{hours // 24}d"
