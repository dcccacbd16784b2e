"""The scenario of an enterprise platform whose suppliers each write in their own name."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from contracts.identity import SenderIdentity, TemplateWords
from contracts.integration import IntegrationConfiguration
from contracts.notification import CrossSystemRouting, RoutingResult
from contracts.preferences import NotificationPolicy
from starters.demo.stage import Check, Stage, example
from starters.recipients import open_recipients

_KIND = "tasting_invitation"


@dataclass(frozen=True)
class _Supplier:
    """A supplier of the platform, and one of its couples."""

    organization_id: str
    name: str
    address: str
    channel: str
    greeting: str
    couple: str


_SUPPLIERS = (
    _Supplier(
        "oak-barn", "Oak Barn Weddings", "hello@oakbarn.example", "C0WEDDINGS", "Dear both", "amelia@hart.example"
    ),
    _Supplier("sea-view", "Sea View Events", "team@seaview.example", "C0BOOKINGS", "Ahoy", "noor@lind.example"),
)


async def white_label(stage: Stage) -> list[Check]:
    """Two suppliers of one platform invite their couples by the same code, each in its own name and words."""
    since = await stage.vendors.last_effect("slack")
    known = {mail["id"] for mail in await stage.vendors.objects("smtp", "messages")}
    for supplier in _SUPPLIERS:
        await _set_up(stage, supplier)
    results = await asyncio.gather(*(_invite(stage, supplier) for supplier in _SUPPLIERS))
    mails = [mail for mail in await stage.vendors.objects("smtp", "messages") if mail["id"] not in known]
    posts = await stage.vendors.posts(since)
    checks = [Check("both delivered", ["success", "success"], [str(one.overall_status) for one in results])]
    for supplier, other in (_SUPPLIERS, _SUPPLIERS[::-1]):
        checks += await _of(stage, supplier, other, mails, posts)
    return checks


async def _of(
    stage: Stage, supplier: _Supplier, other: _Supplier, mails: list[dict[str, Any]], posts: list[dict[str, Any]]
) -> list[Check]:
    mine = [mail for mail in mails if mail["to"] == [supplier.couple]]
    shown = [post for post in posts if post.get("username") == supplier.name]
    told = await stage.wedsync.notifications.explain(supplier.organization_id, f"invitation-{supplier.organization_id}")
    traces = str(mine) + str(shown)
    return [
        Check(
            f"{supplier.name}: the couple's mail",
            [(f"{supplier.name} <{supplier.address}>", supplier.address, f"{supplier.name} invites you")],
            [(mail["headers"]["From"], mail["headers"]["Reply-To"], mail["subject"]) for mail in mine],
        ),
        Check(f"{supplier.name}: its own words", expected=True, found=supplier.greeting in str(mine)),
        Check(f"{supplier.name}: messages in its chat under its name", 1, len(shown)),
        Check(
            f"{supplier.name}: traces of {other.name}",
            0,
            sum(word in traces for word in (other.name, other.address, other.greeting, other.couple)),
        ),
        Check(f"{supplier.name}: acknowledged, by the explanation", expected=True, found="2 deliver" in told.sentence),
    ]


async def _set_up(stage: Stage, supplier: _Supplier) -> None:
    owner = supplier.organization_id
    slack = {**example("integration-slack"), "organizationId": owner}
    mail = {
        "integrationId": "platform-mail",
        "organizationId": owner,
        "platform": "email",
        "connectionConfig": {
            "fromAddress": "no-reply@platform.example",
            "encryption": "none",
            **await stage.vendors.mail_server(),
        },
    }
    for document in (slack, mail):
        await stage.wedsync.integrations.connect(IntegrationConfiguration.model_validate(document))
    identity = SenderIdentity(
        from_name=supplier.name,
        from_address=supplier.address,
        reply_to=supplier.address,
        chat_name=supplier.name,
    )
    words = TemplateWords(
        name=_KIND,
        subject="{{ sender.fromName }} invites you",
        text=supplier.greeting + ",\n\n{{ notification.message }}\n\n{{ sender.fromName }}",
    )
    async with open_recipients(stage.settings) as recipients:
        await recipients.set_policy(NotificationPolicy(organization_id=owner, identity=identity))
        await recipients.save_template(owner, words)


async def _invite(stage: Stage, supplier: _Supplier) -> RoutingResult:
    routing = CrossSystemRouting.model_validate(
        {
            "routingId": f"invitation-{supplier.organization_id}",
            "organizationId": supplier.organization_id,
            "sourceNotification": {
                "notificationId": f"invitation-{supplier.organization_id}",
                "type": _KIND,
                "title": "Your tasting",
                "message": "Your tasting is on Friday at noon.",
            },
            "targetSystems": [
                {
                    "systemId": "couple",
                    "systemType": "email",
                    "integrationId": "platform-mail",
                    "recipients": [supplier.couple],
                },
                {
                    "systemId": "team",
                    "systemType": "slack",
                    "integrationId": "slack-main",
                    "channels": [{"channelId": supplier.channel, "messageStyle": "compact"}],
                },
            ],
        }
    )
    return await (await stage.wedsync.start_notification(routing)).result()
