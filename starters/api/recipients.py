"""Routes of preferences, policies and templates."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from contracts.identity import StoredTemplate, TemplateList, TemplateWords
from contracts.preferences import AddressQuestion, KnownPreferences, NotificationPolicy, PreferenceChange
from starters.api.description import body
from starters.api.doors import Organization, gateway_of, read_body
from starters.documents import parse

router = APIRouter(prefix="/v1/organizations/{organizationId}", tags=["recipients"])
Contact = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="What stands for an address or number.")]
Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:\-]{0,63}$")]


@router.post("/preferences/lookup", response_model=KnownPreferences, openapi_extra=body(AddressQuestion))
async def look_preferences_up(request: Request, org: Organization) -> KnownPreferences:
    """Show the preferences of an address or number, which stands in the body, where no log keeps it."""
    asked = parse(await read_body(request), AddressQuestion, org)
    recipients = gateway_of(request).recipients
    return await recipients.show(org, await recipients.contact(org, asked.address))


@router.get("/preferences/{contact}", response_model=KnownPreferences)
async def show_preferences(request: Request, org: Organization, contact: Contact) -> KnownPreferences:
    """Show a recipient's preferences."""
    return await gateway_of(request).recipients.show(org, contact)


@router.put("/preferences", response_model=KnownPreferences, openapi_extra=body(PreferenceChange))
async def set_preferences(request: Request, org: Organization) -> KnownPreferences:
    """Replace a recipient's preferences."""
    return await gateway_of(request).recipients.set(parse(await read_body(request), PreferenceChange, org))


@router.get("/notification-policy", response_model=NotificationPolicy)
async def show_policy(request: Request, org: Organization) -> NotificationPolicy:
    """Show in whose name, when and how often the organisation writes."""
    return await gateway_of(request).recipients.policy(org)


@router.put("/notification-policy", response_model=NotificationPolicy, openapi_extra=body(NotificationPolicy))
async def set_policy(request: Request, org: Organization) -> NotificationPolicy:
    """Replace in whose name, when and how often the organisation writes."""
    return await gateway_of(request).recipients.set_policy(parse(await read_body(request), NotificationPolicy, org))


@router.get("/templates", response_model=TemplateList)
async def list_templates(request: Request, org: Organization) -> TemplateList:
    """List the newest version of each of the organisation's templates."""
    return await gateway_of(request).recipients.templates(org)


@router.get("/templates/{name}", response_model=StoredTemplate)
async def show_template(
    request: Request, org: Organization, name: Name, version: Annotated[int | None, Query(ge=1)] = None
) -> StoredTemplate:
    """Show a template."""
    return await gateway_of(request).recipients.template(org, name, version)


@router.put("/templates", response_model=StoredTemplate, openapi_extra=body(TemplateWords))
async def save_template(request: Request, org: Organization) -> StoredTemplate:
    """Keep a template's next version; routings that run keep theirs."""
    words = parse(await read_body(request), TemplateWords)
    return await gateway_of(request).recipients.save_template(org, words)
