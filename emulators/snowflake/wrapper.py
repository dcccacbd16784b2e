"""ASGI middleware that makes fakesnow's server speak to the current Snowflake driver and injects faults."""

import asyncio
import gzip
import json
import re
import socket
from collections import OrderedDict
from typing import Any
from urllib.parse import parse_qs

from engine import Engine
from faults import Fault, Faults
from ledger import Effect, Ledger
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from statements import read

USER = "sandbox"
PASSWORD = "sandbox"
_LOGIN = "/session/v1/login-request"
_QUERY = "/queries/v1/query-request"
_UPLOAD = "/fs_bucket/"
_REMEMBERED_ANSWERS = 1000
_WILDCARD = re.compile(r"[*?]")

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class Compatibility:
    """Buffers each request, applies faults, lets fakesnow answer, completes the answer and records both."""

    def __init__(self, inner: ASGIApp, engine: Engine, ledger: Ledger, faults: Faults) -> None:
        self._inner = inner
        self._engine = engine
        self._ledger = ledger
        self._faults = faults
        self._answers: OrderedDict[str, asyncio.Future[Answer]] = OrderedDict()
        self._sessions = 0
        self._limits: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        body = await _body(scope, receive)
        sql = _statement(scope["path"], body)
        operation = read(sql).kind if sql is not None else None
        if wait := self._faults.limited_for():
            await self._answer(scope, send, operation, _failure(429, "000429", "Too many requests", wait))
            return
        fault = self._faults.take(scope["method"], scope["path"], sql)
        if fault is not None and await self._act(fault, scope, receive, send, operation):
            return
        answer = await self._once(scope, body)
        if fault is not None and fault.kind == "drop_after_effect":
            self._cut(scope, send, operation)
            return
        await self._answer(scope, send, operation, answer)

    async def _act(self, fault: Fault, scope: Scope, receive: Receive, send: Send, operation: str | None) -> bool:
        """Apply what a fault does before the effect; True when the request has been dealt with."""
        if fault.kind == "status":
            await self._answer(
                scope, send, operation, _failure(fault.status, f"{fault.status:06d}", "Service unavailable")
            )
        elif fault.kind == "rate_limit":
            self._faults.open_window(fault.retry_after)
            answer = _failure(429, "000429", "Too many requests", fault.retry_after)
            await self._answer(scope, send, operation, answer)
        elif fault.kind == "reset":
            self._cut(scope, send, operation)
        elif fault.kind == "hang":
            self._ledger.request(scope["method"], scope["path"], 0, operation)
            while (await receive())["type"] != "http.disconnect":
                pass
        else:
            if fault.kind == "latency":
                await asyncio.sleep(fault.delay)
            return False
        return True

    async def _once(self, scope: Scope, body: bytes) -> Answer:
        """Answer; a query request repeated with the same requestId gets the first answer and runs nothing."""
        query = parse_qs(scope["query_string"].decode())
        request_id = query.get("requestId", [""])[0] or query.get("request_id", [""])[0]
        if scope["path"] != _QUERY or not request_id:
            return await self._serve(scope, body)
        key = request_id + _token(scope)
        if (known := self._answers.get(key)) is not None:
            return await asyncio.shield(known)
        future = asyncio.ensure_future(self._serve(scope, body))
        self._answers[key] = future
        if len(self._answers) > _REMEMBERED_ANSWERS:
            self._answers.popitem(last=False)
        answer = await asyncio.shield(future)
        if answer[0] != 200:
            self._answers.pop(key, None)
        return answer

    async def _serve(self, scope: Scope, body: bytes) -> Answer:
        path = scope["path"]
        if path == _LOGIN and (refused := _refused(body)):
            return refused
        called = asyncio.ensure_future(_call(self._inner, scope, body))
        limit = self._limits.get(_token(scope)) if path == _QUERY else None
        await asyncio.wait({called}, timeout=limit)
        if not called.done():
            self._engine.interrupt(_token(scope))
            await called
            return _failure(200, "000630", f"Statement reached its timeout of {limit:.0f} second(s) and was canceled.")
        status, headers, content = called.result()
        if path == "/session" and b"delete=true" in scope["query_string"]:
            self._engine.close_session(_token(scope))
            self._limits.pop(_token(scope), None)
        if path.startswith(_UPLOAD) and status == 200:
            name = path.removeprefix(_UPLOAD)
            self._ledger.effects([Effect("put", "file", name, {"rows": None, "bytes": len(body)})])
        if path not in {_LOGIN, _QUERY}:
            return status, headers, content
        answer = json.loads(content)
        if path == _LOGIN:
            self._complete_login(answer, json.loads(body)["data"].get("SESSION_PARAMETERS") or {})
        elif isinstance(answer.get("data"), dict) and "stageInfo" in answer["data"]:
            if _WILDCARD.search(answer["data"]["src_locations"][0]):
                # One signed URL serves one file: the driver would write every file over the one before.
                text = "Unsupported feature in this stand-in: PUT with a wildcard; send one PUT per file"
                return _failure(200, "000002", text)
            _complete_upload(answer["data"])
        return status, *_json(answer)

    def _complete_login(self, answer: dict[str, Any], parameters: dict[str, Any]) -> None:
        data = answer["data"]
        # Zero is the longest there is: Snowflake, Parameters, STATEMENT_TIMEOUT_IN_SECONDS.
        if seconds := float(parameters.get("STATEMENT_TIMEOUT_IN_SECONDS") or 0):
            self._limits[data["token"]] = seconds
        self._sessions += 1
        data.update(
            masterToken="m-" + data["token"],
            validityInSeconds=3600,
            masterValidityInSeconds=14400,
            sessionId=self._sessions,
        )
        data["sessionInfo"].setdefault("warehouseName", "COMPUTE_WH")
        data["sessionInfo"].setdefault("roleName", "SYSADMIN")
        answer.update(code=None, message=None)

    async def _answer(self, scope: Scope, send: Send, operation: str | None, answer: Answer) -> None:
        status, headers, content = answer
        self._ledger.request(scope["method"], scope["path"], status, operation)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _cut(self, scope: Scope, send: Send, operation: str | None) -> None:
        self._ledger.request(scope["method"], scope["path"], 0, operation)
        # uvicorn's `send` is a bound method of the object that owns the connection.
        transport: asyncio.Transport = send.__self__.transport  # type: ignore[attr-defined]
        if connection := transport.get_extra_info("socket"):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        transport.abort()


async def _body(scope: Scope, receive: Receive) -> bytes:
    chunks: list[bytes] = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            break
    content = b"".join(chunks)
    is_vendor_json = scope["path"] in {_LOGIN, _QUERY}
    return gzip.decompress(content) if is_vendor_json and content[:2] == b"\x1f\x8b" else content


def _statement(path: str, body: bytes) -> str | None:
    return str(json.loads(body).get("sqlText", "")) if path == _QUERY and body else None


def _token(scope: Scope) -> str:
    value = dict(scope["headers"]).get(b"authorization", b"").decode()
    return value[17:-1]


def _refused(body: bytes) -> Answer | None:
    data = json.loads(body)["data"]
    name, password = data.get("LOGIN_NAME") or "", data.get("PASSWORD")
    if name.lower() == USER and password == PASSWORD:
        return None
    refusal = {"nextAction": "RETRY_LOGIN", "authnMethod": "USERNAME_PASSWORD", "signInOptions": {}}
    text = "Incorrect username or password was specified."
    return 200, *_json({"data": refusal, "code": "390100", "message": text, "success": False, "headers": None})


def _complete_upload(data: dict[str, Any]) -> None:
    data["overwrite"] = True
    data["stageInfo"].update(region="us-central1", isClientSideEncrypted=False, storageAccount=None, endPoint=None)


def _json(answer: dict[str, Any]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    content = json.dumps(answer).encode()
    return [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())], content


def _failure(status: int, code: str, text: str, retry_after: float | None = None) -> Answer:
    headers, content = _json({"data": None, "code": code, "message": text, "success": False, "headers": None})
    if retry_after is not None:
        headers.append((b"retry-after", str(max(1, round(retry_after))).encode()))
    return status, headers, content


async def _call(app: ASGIApp, scope: Scope, body: bytes) -> Answer:
    headers = [pair for pair in scope["headers"] if pair[0] not in {b"content-encoding", b"content-length"}]
    inner = {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}
    start: dict[str, Any] = {}
    chunks: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            chunks.append(message.get("body", b""))

    try:
        await app(inner, receive, send)
    except Exception:
        # A crash inside fakesnow is Snowflake's HTTP 500; the process must go on serving the others.
        return _failure(500, "261000", "Internal error of the stand-in")
    return int(start["status"]), list(start["headers"]), b"".join(chunks)
