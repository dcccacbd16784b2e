"""Recipients as opaque words: the same address is the same word, and no word leads back."""

from __future__ import annotations

import hashlib
import hmac
import json

from contracts.base import JsonObject
from contracts.names import effect_id
from contracts.notification import SourceNotification, TargetSystem


def contact_of(key: bytes, organization_id: str, address: str) -> str:
    """Return the contact id of an address or number in an organisation: 32 hex digits.

    Args:
        key: of this installation, under which nobody else can try addresses.
        organization_id: the same address is another contact in another organisation.
        address: an e-mail address in any case, or a number with any spacing and any `scheme:` before it.
    """
    return _keyed(key, "contact", organization_id, _plain(address))


def system_of(key: bytes, organization_id: str, target: TargetSystem) -> str:
    """Return what stands for a system in the place of a recipient: the places that the target names there."""
    places = [one.channel_id for one in target.channels]
    places += [f"{one.crm_contact_id}/{one.company_id}/{one.deal_id}" for one in target.contacts]
    return _keyed(key, "system", organization_id, target.integration_id, *sorted(places))


def same_message(key: bytes, organization_id: str, notification: SourceNotification) -> str:
    """Return what two notifications that say the same have in common: 32 hex digits.

    It is the sender's `dedupKey` where there is one; else type, wedding, words and facts. The notification's own id
    does not count.
    """
    context = notification.wedding_context
    wedding_id = context.wedding_id if context else ""
    given = notification.metadata.get("dedupKey")
    if given:
        return _keyed(key, "message", organization_id, notification.type, wedding_id, str(given))
    facts: JsonObject = {
        "title": notification.title,
        "message": notification.message,
        "metadata": notification.metadata,
        "actions": [[one.label, one.type, one.url] for one in notification.actions],
    }
    words = json.dumps(facts, sort_keys=True, ensure_ascii=False)
    return _keyed(key, "words", organization_id, notification.type, wedding_id, words)


def claim_of(organization_id: str, business_key: str, system_id: str, contact: str) -> str:
    """Return the id under which a recipient is counted for one message: the same however often it is planned."""
    return effect_id(organization_id, business_key, system_id, contact)


def _plain(address: str) -> str:
    text = "".join(address.split()).casefold()
    if "@" in text:
        return text.removeprefix("mailto:")
    number = text.rpartition(":")[2]
    digits = "".join(character for character in number if character.isdigit())
    return f"+{digits}" if number.startswith("+") else digits or text


def _keyed(key: bytes, *parts: str) -> str:
    return hmac.new(key, "\x1f".join(parts).encode(), hashlib.sha256).hexdigest()[:32]
