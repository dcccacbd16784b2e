"""Reading back, from the stand-ins, what the vendors now hold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx

_KEYS = {"tave": {"X-API-KEY": "sandbox-tave-key"}}
"""What opens a vendor's own API."""


class Vendors:
    """The emulators' control API.

    Args:
        url: where the emulators listen.
    """

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=f"{url}/_emulators", trust_env=False, timeout=60)

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()

    async def effects(self, system: str, since: int = 0) -> Counter[str]:
        """Return how often each kind of effect was applied after ledger entry `since`."""
        return Counter(str(item["kind"]) for item in await self._get(f"/{system}/effects", since=since))

    async def last_effect(self, system: str) -> int:
        """Return the number of the newest ledger entry, 0 when there is none."""
        return max((int(item["seq"]) for item in await self._get(f"/{system}/effects")), default=0)

    async def posts(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the messages that the chat posted after ledger entry `since`."""
        effects = await self._get("/slack/effects", since=since)
        return [item["body"] for item in effects if item["kind"] == "message.posted"]

    async def calls(self, system: str, path_part: str) -> int:
        """Return how many requests to paths that contain `path_part` were answered."""
        return sum(path_part in item["path"] for item in await self._get(f"/{system}/requests"))

    async def mail_server(self) -> dict[str, Any]:
        """Return host and port of the mail sink."""
        systems = (await self._client.get("", follow_redirects=True)).raise_for_status().json()["systems"]
        return {name: systems["smtp"][name] for name in ("host", "port")}

    async def objects(self, system: str, object_type: str) -> list[dict[str, Any]]:
        """Return the current objects of a type."""
        found: list[dict[str, Any]] = await self._get(f"/{system}/objects/{object_type}", limit=100_000)
        return found

    async def holding(self, system: str, object_type: str, text: str) -> int:
        """Return how many current objects of a type have `text` somewhere in them."""
        return sum(text in str(one) for one in await self.objects(system, object_type))

    async def create(self, system: str, path: str, body: Mapping[str, object]) -> str:
        """Create an object through a vendor's own API, as the vendor's users do, and return its id."""
        systems = (await self._client.get("", follow_redirects=True)).raise_for_status().json()["systems"]
        url = f"{systems[system]['baseUrl']}/{path}"
        answer = await self._client.post(url, json=body, headers=_KEYS[system])
        return str(answer.raise_for_status().json()["id"])

    async def table_rows(self) -> dict[str, int]:
        """Return the warehouse's rows by `SCHEMA.TABLE`."""
        found: dict[str, int] = await self._get("/snowflake/counts")
        return found

    async def addresses(self, system: str) -> dict[str, Any]:
        """Return where a stand-in is; one that is a process of its own is started for it."""
        found: dict[str, Any] = await self._get(f"/{system}")
        return found

    async def table(self, path: str) -> list[dict[str, Any]]:
        """Return the rows of a warehouse's table, column names in upper case."""
        rows = await self._get(path, limit=1_000_000)
        return [{name.upper(): value for name, value in row.items()} for row in rows]

    async def weddings(self, organization_id: str, rows: int) -> None:
        """Set how many weddings the emulated WedSync reports hold for an organisation."""
        body = {"organizationId": organization_id, "reportId": "weddings", "rows": rows, "dirtyRatio": 0, "seed": 7}
        (await self._client.post("/wedsync/scenario", json=body)).raise_for_status()

    async def report(self, organization_id: str, report_id: str) -> list[dict[str, Any]]:
        """Return the records of a report that the emulated WedSync holds for an organisation."""
        path = f"/wedsync/v1/organizations/{organization_id}/reports/{report_id}/records"
        answer = (await self._client.get(path, params={"format": "ndjson"})).raise_for_status()
        return [json.loads(line) for line in answer.text.splitlines()]

    async def warehouse(self, model: str, table: str, rows: int) -> None:
        """Say how many rows a BI model finds in its warehouse at the next refresh."""
        body = {"model": model, "table": table, "rows": rows, "looks": 2}
        (await self._client.post("/powerbi/warehouse", json=body)).raise_for_status()

    async def fault(self, system: str, *, path: str, **rule: object) -> None:
        """Have a vendor act out a fault where a path matches a regular expression."""
        (await self._client.post(f"/{system}/faults", json={"match": {"path": path}, **rule})).raise_for_status()

    async def no_faults(self, system: str) -> None:
        """End every fault of a vendor."""
        (await self._client.delete(f"/{system}/faults")).raise_for_status()

    async def oauth_rules(self, system: str, **rules: object) -> None:
        """Change the rules of a vendor's authorisation server, such as how long its tokens live."""
        (await self._client.put(f"/{system}/oauth", json=rules)).raise_for_status()

    async def revoke(self, system: str) -> None:
        """End every grant, as an account's administrator does."""
        (await self._client.post(f"/{system}/oauth/revoke", json={})).raise_for_status()

    async def token_requests(self, system: str) -> Counter[str]:
        """Return how often tokens were asked for, by grant type, and how often a spent one was used as `reuse`."""
        found = await self._get(f"/{system}/oauth/counts")
        return Counter({**found["requests"], "reuse": found["reuseEvents"]})

    @staticmethod
    async def consent(url: str) -> None:
        """Grant access at the address of a consent page, as a person does in a browser."""
        async with httpx.AsyncClient(trust_env=False, timeout=60, follow_redirects=True) as browser:
            (await browser.get(url, params={**dict(httpx.URL(url).params), "approve": "1"})).raise_for_status()

    async def _get(self, path: str, **params: int) -> Any:
        return (await self._client.get(path, params=params)).raise_for_status().json()
