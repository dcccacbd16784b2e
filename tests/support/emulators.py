"""A client of the emulators' control API."""

from __future__ import annotations

from typing import Any

import httpx
import pytest


class Emulators:
    """What the emulated vendors hold and were asked, and the faults they act out.

    Args:
        client: a client whose base URL is the root of the emulators.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def base_url(self, system: str) -> str:
        """Return the URL a connector of `system` uses as its base URL."""
        return str(self.details(system)["baseUrl"])

    def details(self, system: str) -> dict[str, Any]:
        """Return all that the index says about a system, such as further ports; skip the test when it is not served."""
        systems = self._get("")["systems"]
        if system not in systems:
            pytest.skip(f"There is no emulator of {system} here.")
        return systems[system]

    def effects(self, system: str, since: int = 0) -> list[dict[str, Any]]:
        """Return the ledger of applied effects after the sequence number `since`."""
        return self._get(f"/{system}/effects", since=since)

    def messages(self, text: str) -> int:
        """Return how many messages with `text` somewhere in them the chat has posted."""
        return sum(text in str(item["body"]) for item in self.effects("slack") if item["kind"] == "message.posted")

    def requests(self, system: str, since: int = 0) -> list[dict[str, Any]]:
        """Return the requests seen after the sequence number `since`, with their statuses."""
        return self._get(f"/{system}/requests", since=since)

    def objects(self, system: str, object_type: str) -> list[dict[str, Any]]:
        """Return the vendor's current objects of a type, in the vendor's own shape."""
        return self._get(f"/{system}/objects/{object_type}")

    def hang(self, statement: str) -> None:
        """Leave the warehouse's next statement that matches unasked and unanswered until its client is gone."""
        rule = {"kind": "hang", "match": {"sql": statement}, "count": 1}
        self._client.post("/_emulators/snowflake/faults", json=rule).raise_for_status()

    def fault(self, system: str, kind: str, *, method: str | None = None, path: str | None = None, **rule: Any) -> int:
        """Install a fault and return its id.

        Args:
            system: the vendor.
            kind: such as `status`, `reset` or `drop_after_effect`.
            method: HTTP method it applies to, any when absent.
            path: regular expression searched in the path, any when absent.
            rule: further fields of the rule in wire names: status, retryAfter, count, delayS, probability, seed.
        """
        match = {name: value for name, value in (("method", method), ("path", path and f"/{path}/")) if value}
        answer = self._client.post(f"/_emulators/{system}/faults", json={"kind": kind, "match": match, **rule})
        answer.raise_for_status()
        return int(answer.json()["id"])

    def grant(self, system: str, **given: Any) -> dict[str, Any]:
        """Return a grant of a system's authorisation server: `accessToken`, `refreshToken`, `expiresIn`."""
        answer = self._client.post(f"/_emulators/{system}/oauth/grants", json=given)
        answer.raise_for_status()
        granted: dict[str, Any] = answer.json()
        return granted

    def control(self, system: str, path: str, given: dict[str, Any]) -> dict[str, Any]:
        """Send one of a system's own control requests and return its answer."""
        answer = self._client.post(f"/_emulators/{system}/{path}", json=given).raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def clear_faults(self, system: str) -> None:
        """Remove every fault of a system, and an open rate-limit window with them."""
        self._client.delete(f"/_emulators/{system}/faults").raise_for_status()

    def reset(self, *systems: str) -> None:
        """Put these systems, or every one, back to their first state: no effects, no requests, no faults."""
        for path in [f"{system}/reset" for system in systems] or ["reset"]:
            self._client.post(f"/_emulators/{path}").raise_for_status()

    def abort_abandoned(self, system: str) -> int:
        """Abort the transactions of sessions that are silent, as the vendor does after a while; returns how many."""
        answer = self._client.post(f"/_emulators/{system}/abandoned").raise_for_status()
        return int(answer.json()["aborted"])

    def snapshot(self, system: str) -> None:
        """Have a system remember what it holds now."""
        self._client.post(f"/_emulators/{system}/snapshot").raise_for_status()

    def restore(self, system: str) -> bool:
        """Put a system back to its snapshot, without effects, requests and faults; False when there is none."""
        answer = self._client.post(f"/_emulators/{system}/restore")
        if answer.status_code == httpx.codes.CONFLICT:
            return False
        answer.raise_for_status()
        return True

    def _get(self, path: str, **params: int) -> Any:
        answer = self._client.get(f"/_emulators{path}", params=params)
        answer.raise_for_status()
        return answer.json()
