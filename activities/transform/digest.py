"""What a digest says."""

from __future__ import annotations

from collections.abc import Iterable

from activities.transform.judging import DIGEST_TYPE
from contracts.digests import DigestRun
from contracts.notification import CrossSystemRouting, SourceNotification

_MOST_CHARS = 3_500


def digest_routing(digest: DigestRun, routing_id: str) -> CrossSystemRouting:
    """Return the routing of a digest; every waiting message is named or counted.

    The messages are its lines, and stand under `metadata.items` for the organisation's own template.
    """
    count = digest.waiting
    lines, named = _lines(f"- {item.title}{f': {item.text}' if item.text else ''}" for item in digest.items)
    if count > named:
        lines.append(f"and {count - named} more")
    title = "One update" if count == 1 else f"{count} updates"
    weddings = {item.wedding_id for item in digest.items if item.wedding_id}
    return CrossSystemRouting(
        routing_id=routing_id,
        organization_id=digest.organization_id,
        source_notification=SourceNotification(
            notification_id=routing_id,
            type=DIGEST_TYPE,
            title=title,
            message="\n".join(lines),
            metadata={
                "dedupKey": routing_id,
                "count": count,
                "items": [{"title": item.title, "text": item.text, "type": item.type} for item in digest.items],
                "weddings": len(weddings),
            },
        ),
        target_systems=[digest.target],
    )


def _lines(given: Iterable[str]) -> tuple[list[str], int]:
    """Return the lines that fit, and how many they are."""
    lines: list[str] = []
    size = 0
    for line in given:
        size += len(line) + 1
        if size > _MOST_CHARS:
            break
        lines.append(line)
    return lines, len(lines)
