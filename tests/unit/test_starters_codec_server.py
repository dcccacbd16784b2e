"""The codec server opens payloads for the Web UI's page and for nobody else's."""

from __future__ import annotations

import httpx
import pytest
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads

from activities.security.envelope import MasterKey
from starters.codec_server import MAX_BODY_BYTES, build_codec_app
from workers.codec import SealingCodec

UI = "http://127.0.0.1:8233"
CODEC = SealingCodec(keys=MasterKey(b"k" * 32), namespace="default", allow_plain=True)


async def knows(token: str) -> bool:
    return token == "right"


def client(*, closed: bool = False) -> httpx.AsyncClient:
    app = build_codec_app(CODEC, origins=[UI], hosts=["127.0.0.1"], verify=knows if closed else None)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


def body(*texts: str) -> str:
    payloads = [Payload(metadata={"encoding": b"json/plain"}, data=text.encode()) for text in texts]
    return json_format.MessageToJson(Payloads(payloads=payloads))


async def test_what_is_encoded_decodes_to_itself() -> None:
    async with client() as one:
        sealed = await one.post("/encode", content=body('"secret word"', "2"))
        opened = await one.post("/decode", content=sealed.content)
    assert "secret word" not in sealed.text
    assert json_format.Parse(opened.content, Payloads()) == json_format.Parse(body('"secret word"', "2"), Payloads())


async def test_the_web_uis_page_may_read_the_answer() -> None:
    headers = {
        "origin": UI,
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-namespace,authorization,content-type",
    }
    async with client() as one:
        answer = await one.options("/decode", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == UI


async def test_another_page_may_not_read_the_answer() -> None:
    async with client() as one:
        answer = await one.post("/decode", content=body("1"), headers={"origin": "http://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


async def test_a_page_that_points_its_own_name_here_is_refused() -> None:
    async with client() as one:
        answer = await one.post("/decode", content=body("1"), headers={"host": "evil.example"})
    assert answer.status_code == 400


@pytest.mark.parametrize(("token", "status"), [("", 401), ("Bearer wrong", 401), ("Bearer right", 200)])
async def test_outside_the_embedded_profile_a_key_is_needed(token: str, status: int) -> None:
    async with client(closed=True) as one:
        answer = await one.post("/decode", content=body("1"), headers={"authorization": token})
    assert answer.status_code == status


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'{"payloads": [{"data": 5}]}', b"x" * (MAX_BODY_BYTES + 1)],
    ids=["cut", "list", "number", "too large"],
)
async def test_a_body_that_is_no_payloads_message_is_answered_with_400(content: bytes) -> None:
    async with client() as one:
        assert (await one.post("/decode", content=content)).status_code == 400


async def test_a_payload_of_another_key_is_a_refusal_and_no_crash() -> None:
    foreign = SealingCodec(keys=MasterKey(b"x" * 32), namespace="default", allow_plain=True)
    sealed = await foreign.encode([Payload(data=b"1")])
    async with client() as one:
        answer = await one.post("/decode", content=json_format.MessageToJson(Payloads(payloads=sealed)))
    assert answer.status_code == 400
