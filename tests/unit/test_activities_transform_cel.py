"""Conditions as plain Python say what the interpreter says, or leave it to the interpreter."""

from __future__ import annotations

from functools import cache
from typing import Any

import celpy
import pytest
from celpy.adapter import json_to_cel
from celpy.celtypes import BoolType
from celpy.evaluation import CELEvalError
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.transform.cel import plain
from activities.transform.cel_values import Unsure
from activities.transform.records import Rules
from contracts.integration import TransformationRule

LEFT = "left to the interpreter"
FIELDS = ("status", "guests", "price", "paid", "note", "client", "tags", "int", "size")
TEXTS = ["", "draft", "confirmed", "12", "-3.5", "1e3", " 7", "nan", "0x10", "1_000", "é\U0001f470", "a'b\"c\\d"]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 12, 2**53 + 1, 2**63 - 1, -(2**63)]),
    st.sampled_from([0.0, -0.0, 1.0, 12.5, -3.5, 1e300]),
    st.sampled_from(TEXTS),
    st.sampled_from([[], ["draft"], [1, 2], [1, "draft"]]),
    st.sampled_from([{}, {"city": "Ghent"}, {"city": None}, {"guests": 3}]),
)
RECORDS = st.dictionaries(st.sampled_from(FIELDS), VALUES)
LITERALS = st.sampled_from(
    ["0", "1", "-1", "12", "12.5", "-3.5", "0.0", "true", "false", "null", "'draft'", '"12"', "'é\\u00e9'", "''", "7u"]
)


def _deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    binary = ["&&", "||", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "in"]
    return st.one_of(
        st.tuples(inner, st.sampled_from(binary), inner).map(lambda three: f"({three[0]} {three[1]} {three[2]})"),
        st.tuples(st.sampled_from(["!", "-"]), inner).map(lambda two: f"{two[0]}({two[1]})"),
        st.tuples(inner, inner, inner).map(lambda three: f"({three[0]} ? {three[1]} : {three[2]})"),
        st.tuples(st.sampled_from(["size", "double", "int", "string", "type"]), inner).map(
            lambda two: f"{two[0]}({two[1]})"
        ),
        st.tuples(inner, st.sampled_from(["startsWith", "endsWith", "contains"]), inner).map(
            lambda three: f"({three[0]}).{three[1]}({three[2]})"
        ),
        st.sampled_from(["has(client.city)", "has(status.city)", "client.city", "client.city.street", "note.size()"]),
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"),
    )


CONDITIONS = st.recursive(st.one_of(st.sampled_from(FIELDS), LITERALS), _deeper, max_leaves=8)


@cache
def _environment() -> Any:
    return celpy.Environment()


@pytest.fixture(scope="module", autouse=True)
def _recursion():
    """Let celpy raise the limit of recursion before hypothesis looks at it."""
    _environment()


def interpreted(condition: str, record: dict[str, Any]) -> bool | None:
    program = _environment().program(_environment().compile(condition))
    try:
        answer = program.evaluate({name: json_to_cel(value) for name, value in record.items()})
    except (CELEvalError, IndexError):
        return None
    return bool(answer) if isinstance(answer, BoolType) else None


def in_python(condition: str, record: dict[str, Any]) -> Any:
    decide = plain(_environment().compile(condition))
    if decide is None:
        return LEFT
    try:
        found = decide(record)
    except Unsure:
        return LEFT
    return found if isinstance(found, bool) else None


@settings(max_examples=1_500, deadline=None)
@given(CONDITIONS, RECORDS)
def test_what_is_said_at_all_is_what_the_interpreter_says(condition: str, record: dict[str, Any]):
    said = in_python(condition, record)
    assert said in (LEFT, interpreted(condition, record))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("guests > 100", True),
        ("double(price) > 5000.0", True),
        ("status == 'confirmed' && guests >= 80", True),
        ("status in ['draft', 'cancelled']", False),
        ("!(status.startsWith('con') || paid)", False),
        ("size(status) > 3 ? guests > 500 : paid", False),
        ("has(client.city) && client.city.endsWith('nt')", True),
        ("has(client.street)", False),
        ("guests * 2 + 1 == 241", True),
        ("missing == 1 || guests > 0", True),
        ("missing == 1", None),
    ],
)
def test_the_conditions_that_tenants_write_need_no_interpreter(condition: str, *, expected: bool | None):
    record = {"guests": 120, "price": "6000.50", "status": "confirmed", "paid": True, "client": {"city": "Ghent"}}
    assert in_python(condition, record) is expected


@pytest.mark.parametrize(
    "condition", ["tags.exists(t, t == 'x')", "guests > 1u", "timestamp(status) < timestamp(note)", "{'a': 1}.a == 1"]
)
def test_what_has_no_plain_form_is_left_to_the_interpreter(condition: str):
    assert in_python(condition, {"guests": 2}) == LEFT


def test_a_rule_decides_the_same_with_and_without_the_interpreter():
    rule = TransformationRule(rule_id="r", condition="guests > 100 || tags.exists(t, t == 'vip')", reason="too small")
    rules = Rules([rule])
    objections = [
        rules.objection({"guests": guests, "tags": tags}) for guests, tags in ((150, []), (5, ["vip"]), (5, []))
    ]
    assert objections == ["", "", "rule r: too small"]
