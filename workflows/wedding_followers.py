"""Which of a wedding's systems are owed its newest facts: pure decisions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from contracts.facts import Facts, FactStamp, Follower, Writing
from contracts.wedding import WeddingState

_CLOCKS_DIFFER = timedelta(minutes=1)
_MAX_WRITINGS = 5


def of(state: WeddingState) -> list[Follower]:
    """Return the wedding's followers; one that is new carries what the wedding is now."""
    known = {one.system_id: one for one in state.followers}
    held = Facts(**{name: getattr(state.wedding, name) for name in Facts.model_fields})
    names = dict.fromkeys(target.system_id for target in state.wedding.systems)
    return [known.get(name, Follower(system_id=name, held=held)) for name in names]


def named(state: WeddingState, origin: str | None) -> str | None:
    """Return the follower that an origin names by its own id or by its integration's."""
    ids = [one.system_id for one in state.wedding.systems]
    own = (one.system_id for one in state.wedding.systems if one.integration_id == origin)
    return origin if origin in ids else next(own, origin)


def echoes(
    state: WeddingState, origin: str | None, said: Mapping[str, object], occurred: datetime, *, is_read: bool = False
) -> bool:
    """Whether a follower only tells back what was written to it at that time.

    What was read there is an echo also if it is what the follower is known to carry, or, while nobody knows, what was
    ever written to it: it may have been changed there for another reason since.
    """
    written = {name: value for name, value in said.items() if name in Facts.model_fields}
    if origin is None or not written or len(written) < len(said):
        return False
    [follower] = [one for one in state.followers if one.system_id == origin] or [Follower(system_id=origin)]
    same = [one for one in follower.writings if _says(one.facts, written)]
    if is_read and (same if follower.held is None else _says(follower.held, written)):
        return True
    return any(one.began_at - _CLOCKS_DIFFER <= occurred <= (one.ended_at or occurred) + _CLOCKS_DIFFER for one in same)


def _says(facts: Facts, said: Mapping[str, object]) -> bool:
    return all(getattr(facts, name) == value for name, value in said.items())


def follow(state: WeddingState, before: Facts, after: Facts, stamp: FactStamp, *, lost: bool) -> WeddingState:
    """Owe the changed facts to every follower but the one they come from.

    That one is owed them too where it lost against a newer word, or where a writing of older facts may have come
    after its own change.
    """
    followers = []
    for one in state.followers:
        is_origin = one.system_id == stamp.origin
        if is_origin and not lost and not _written_since(one, stamp.occurred_at):
            held = None if one.held is None else one.held.model_copy(update=_changes(before, after))
            followers.append(one.model_copy(update={"held": held}))
        elif is_origin:
            followers.append(_owed(one.model_copy(update={"held": None})))
        else:
            followers.append(_owed(one) if before != after else one)
    return state.model_copy(update={"followers": followers})


def set_right(state: WeddingState, system_id: str | None) -> WeddingState:
    """Owe the present facts to a follower that carries others."""
    followers = [
        _owed(one.model_copy(update={"held": None})) if one.system_id == system_id else one for one in state.followers
    ]
    return state.model_copy(update={"followers": followers})


def began(follower: Follower, facts: Facts, now: datetime) -> Follower:
    """Return the follower while facts are written to it: until that has ended, nobody knows what it carries."""
    writings = [*follower.writings, Writing(facts=facts, began_at=now)][-_MAX_WRITINGS:]
    return follower.model_copy(update={"held": None, "writings": writings})


def ended(follower: Follower, changes: Mapping[str, object], now: datetime) -> Follower:
    """Return the follower after its latest writing."""
    last = follower.writings[-1].model_copy(update={"ended_at": now})
    return follower.model_copy(update={**changes, "writings": [*follower.writings[:-1], last]})


def _owed(follower: Follower) -> Follower:
    return follower.model_copy(update={"wanted": follower.wanted + 1, "error": None})


def _written_since(follower: Follower, occurred: datetime) -> bool:
    return follower.behind or any(
        one.ended_at is None or one.ended_at + _CLOCKS_DIFFER >= occurred for one in follower.writings
    )


def _changes(before: Facts, after: Facts) -> dict[str, object]:
    return {name: value for name, value in after if getattr(before, name) != value}
