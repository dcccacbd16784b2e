"""The search for canaries finds one in every disguise, or its silence would prove nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.canaries import canary, hits, hits_below

SECRET = canary("token")


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
@pytest.mark.parametrize(
    "disguise",
    [
        str.encode,
        lambda text: json.dumps({"token": text}).encode(),
        lambda text: base64.b64encode(text.encode()),
        lambda text: base64.urlsafe_b64encode(text.encode()),
        lambda text: text.encode().hex().encode(),
        lambda text: quote(text, safe="").encode(),
        lambda text: text[::-1].encode(),
        lambda text: text[8:32].encode(),
    ],
)
def test_a_canary_is_found_in_any_disguise_at_any_alignment(disguise: Callable[[str], bytes], before: str) -> None:
    data = b"noise" + disguise(f"{before}{SECRET}{before}") + b"noise"
    assert hits(data, [SECRET, canary("other")]) == ["token"]


def test_files_are_searched_and_those_of_others_left_out(tmp_path: Path) -> None:
    for name in ("logs", "vendors"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.log").write_text(SECRET)
    assert hits_below(tmp_path, [SECRET], leaving_out=["vendors"]) == {"logs/one.log": ["token"]}
