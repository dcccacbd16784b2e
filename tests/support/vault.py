"""A small Vault over HTTP: KV version 2, Transit and AppRole, written from Vault's API description.

`/v1/secret/...`: HTTP API, Secrets engines, KV version 2. `/v1/transit/...`: Transit; keys are derived, type
aes256-gcm96. `/v1/auth/approle/login`: Auth methods, AppRole. A sealed Vault answers 503 to all of it (HTTP API,
Vault errors). That a wrong ciphertext and a lost check-and-set answer 400 is documented, their words are not.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.specs import SentRequest

ROLE_ID, SECRET_ID = "sandbox-role", "sandbox-secret-id"
_NONCE = 12
Handler = Callable[[Request, dict[str, Any]], Awaitable[Response]]


class Vault:
    """What one Vault holds; `sealed` makes it refuse, `tokens` may be emptied to revoke them."""

    def __init__(self) -> None:
        self.sealed = False
        self.tokens: set[str] = set()
        self.logins = 0
        self.secrets: dict[str, dict[int, dict[str, Any] | None]] = {}
        self.requests: list[SentRequest] = []
        self._key = os.urandom(32)

    def app(self) -> Starlette:
        """Return the HTTP application."""
        routes = (
            ("/v1/secret/data/{path:path}", self._read, ["GET"]),
            ("/v1/secret/data/{path:path}", self._write, ["POST", "PUT"]),
            ("/v1/secret/metadata/{path:path}", self._metadata, ["GET"]),
            ("/v1/secret/metadata/{path:path}", self._forget, ["DELETE"]),
            ("/v1/secret/destroy/{path:path}", self._destroy, ["POST", "PUT"]),
            ("/v1/transit/encrypt/{name}", self._encrypt, ["POST", "PUT"]),
            ("/v1/transit/decrypt/{name}", self._decrypt, ["POST", "PUT"]),
        )
        login = Route("/v1/auth/approle/login", self._guarded(self._login, token=False), methods=["POST"])
        return Starlette(
            routes=[login, *(Route(path, self._guarded(one), methods=methods) for path, one, methods in routes)]
        )

    def _guarded(self, handler: Handler, *, token: bool = True) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            body = await request.body()
            given = json.loads(body) if body else None
            query = {name: request.query_params.getlist(name) for name in request.query_params}
            self.requests.append(SentRequest(request.method, request.url.path.removeprefix("/v1"), query, given))
            if self.sealed:
                return _errors(503, "Vault is sealed")
            if token and request.headers.get("X-Vault-Token") not in self.tokens:
                return _errors(403, "permission denied")
            return await handler(request, given or {})

        return answer

    async def _login(self, _request: Request, given: dict[str, Any]) -> Response:
        if (given.get("role_id"), given.get("secret_id")) != (ROLE_ID, SECRET_ID):
            return _errors(400, "invalid role or secret ID")
        self.logins += 1
        token = f"hvs.{uuid4().hex}"
        self.tokens.add(token)
        return JSONResponse({"auth": {"client_token": token, "lease_duration": 1200, "renewable": True}})

    async def _write(self, request: Request, given: dict[str, Any]) -> Response:
        versions = self.secrets.setdefault(request.path_params["path"], {})
        newest = max(versions, default=0)
        if given.get("options", {}).get("cas", newest) != newest:
            return _errors(400, "check-and-set parameter did not match the current version")
        versions[newest + 1] = given["data"]
        return JSONResponse({"data": _described(newest + 1, destroyed=False)})

    async def _read(self, request: Request, _given: dict[str, Any]) -> Response:
        versions = self.secrets.get(request.path_params["path"], {})
        number = int(request.query_params.get("version", 0)) or max(versions, default=0)
        if number not in versions:
            return _errors(404)
        held = versions[number]
        content = {"data": {"data": held, "metadata": _described(number, destroyed=held is None)}}
        return JSONResponse(content, 404 if held is None else 200)

    async def _metadata(self, request: Request, _given: dict[str, Any]) -> Response:
        versions = self.secrets.get(request.path_params["path"])
        if versions is None:
            return _errors(404)
        described = {str(number): _described(number, destroyed=held is None) for number, held in versions.items()}
        return JSONResponse({"data": {"current_version": max(versions), "versions": described}})

    async def _forget(self, request: Request, _given: dict[str, Any]) -> Response:
        self.secrets.pop(request.path_params["path"], None)
        return Response(status_code=204)

    async def _destroy(self, request: Request, given: dict[str, Any]) -> Response:
        versions = self.secrets.get(request.path_params["path"], {})
        versions |= {int(number): None for number in given["versions"] if int(number) in versions}
        return Response(status_code=204)

    async def _encrypt(self, request: Request, given: dict[str, Any]) -> Response:
        nonce = os.urandom(_NONCE)
        sealed = self._cipher(request, given).encrypt(nonce, base64.b64decode(given["plaintext"]), _bound(given))
        return JSONResponse({"data": {"ciphertext": f"vault:v1:{_text(nonce + sealed)}", "key_version": 1}})

    async def _decrypt(self, request: Request, given: dict[str, Any]) -> Response:
        sealed = base64.b64decode(given["ciphertext"].removeprefix("vault:v1:"))
        try:
            plain = self._cipher(request, given).decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound(given))
        except InvalidTag:
            return _errors(400, "cipher: message authentication failed")
        return JSONResponse({"data": {"plaintext": _text(plain)}})

    def _cipher(self, request: Request, given: dict[str, Any]) -> AESGCM:
        derived = self._key + request.path_params["name"].encode() + base64.b64decode(given["context"])
        return AESGCM(hashlib.sha256(derived).digest())


def _described(number: int, *, destroyed: bool) -> dict[str, Any]:
    return {
        "version": number,
        "created_time": datetime.now(UTC).isoformat(),
        "deletion_time": "",
        "destroyed": destroyed,
    }


def _bound(given: dict[str, Any]) -> bytes:
    return base64.b64decode(given.get("associated_data", ""))


def _errors(status: int, *words: str) -> Response:
    return JSONResponse({"errors": list(words)}, status)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
