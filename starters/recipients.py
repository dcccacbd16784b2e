"""What organisations and their recipients want of messages: preferences, policies, templates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from activities.security.envelope import DerivingKey
from activities.security.keyring import MasterKeys
from activities.storage.database import Database
from activities.storage.preferences import PreferenceStore
from activities.storage.root_keys import StoredRootKeys
from activities.storage.templates import TemplateStore
from activities.transform import templates
from activities.transform.contacts import contact_of
from contracts.errors import InvalidInput
from contracts.identity import StoredTemplate, TemplateList, TemplateWords
from contracts.preferences import KnownPreferences, NotificationPolicy, PreferenceChange
from starters.failures import translated
from workers.settings import Settings


class Recipients:
    """Reads and changes preferences, policies and templates.

    Args:
        database: the store.
        keys: what its rows are sealed with.
        eldest: the installation's first root key, from which contacts are made.
    """

    def __init__(self, database: Database, keys: MasterKeys, eldest: Callable[[], DerivingKey]) -> None:
        self._preferences = PreferenceStore(database, keys)
        self._templates = TemplateStore(database, keys)
        self._eldest = eldest

    async def contact(self, organization_id: str, address: str) -> str:
        """Return what stands for an address or number in an organisation."""
        eldest = await asyncio.to_thread(self._eldest)
        return contact_of(eldest.derive("contacts"), organization_id, address)

    async def show(self, organization_id: str, contact: str) -> KnownPreferences:
        """Return a recipient's preferences, empty for one who never said anything."""
        with translated():
            wishes = await self._preferences.wishes(organization_id, [contact])
        return KnownPreferences(organization_id=organization_id, contact=contact, preferences=wishes.of(contact))

    async def set(self, change: PreferenceChange) -> KnownPreferences:
        """Replace a recipient's preferences. Idempotent: yes.

        Raises:
            InvalidInput: neither an address nor a contact is given, or both.
        """
        if (change.address is None) == (change.contact is None):
            raise InvalidInput(
                "recipient_needed", "One of address and contact is needed.", action="Give the one or the other."
            )
        owner = change.organization_id
        with translated():
            contact = change.contact or await self.contact(owner, change.address or "")
            await self._preferences.put(owner, contact, change.preferences)
        return KnownPreferences(organization_id=owner, contact=contact, preferences=change.preferences)

    async def policy(self, organization_id: str) -> NotificationPolicy:
        """Return an organisation's policy, the house's own where it set none."""
        with translated():
            return (await self._preferences.wishes(organization_id)).policy

    async def set_policy(self, policy: NotificationPolicy) -> NotificationPolicy:
        """Replace an organisation's policy. Idempotent: yes."""
        with translated():
            await self._preferences.put_policy(policy)
        return policy

    async def templates(self, organization_id: str) -> TemplateList:
        """Return the newest version of each of an organisation's templates."""
        with translated():
            return TemplateList(templates=await self._templates.newest(organization_id))

    async def template(self, organization_id: str, name: str, version: int | None = None) -> StoredTemplate:
        """Return a template, its newest version when none is named.

        Raises:
            InvalidInput: there is none.
        """
        with translated():
            found = await self._templates.get(organization_id, name, version)
        if found is None:
            raise InvalidInput(
                "template_unknown",
                f"This organisation has no such template {name!r}.",
                action="List them with `wedsync templates list`.",
            )
        return found

    async def save_template(self, organization_id: str, words: TemplateWords) -> StoredTemplate:
        """Keep a template's next version; routings that run keep theirs. Idempotent: yes.

        Raises:
            InvalidInput: it could never be rendered.
        """
        for source in (words.subject, words.text, words.html):
            if source is not None:
                templates.check(source, name=words.name)
        with translated():
            return await self._templates.save(organization_id, words)


@asynccontextmanager
async def open_recipients(settings: Settings) -> AsyncIterator[Recipients]:
    """Yield the recipients of the configured store."""
    database = Database(settings.database_url)
    masters = settings.load_master_keys()
    try:
        yield Recipients(database, masters, StoredRootKeys(settings.database_url, masters).eldest)
    finally:
        await database.aclose()
