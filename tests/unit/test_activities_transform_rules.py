"""Conditions in CEL: what they may read and what they may not do."""

from __future__ import annotations

import pytest

from activities.transform.rules import holds
from contracts.errors import InvalidInput

FACTS = {"notification": {"priority": "high", "metadata": {"guests": 120}, "client": "Amelia Hart"}, "wedding": {}}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("true", True),
        ("notification.priority in ['high', 'critical']", True),
        ("notification.metadata.guests > 200", False),
        ("has(wedding.venueName) && wedding.venueName == 'Barn'", False),
        ("notification.priority.startsWith('hi')", True),
    ],
)
def test_a_condition_is_true_or_false_of_the_facts(condition: str, expected: object):
    assert holds(condition, FACTS, name="rule r1") is expected


@pytest.mark.parametrize(
    "condition",
    [
        *("notification.", "wedding.venueName == 'Barn'", "wedding.a && !([])"),
        *("1 + 1", "'a' > 1", "x" * 3_000, "", "open('/etc')"),
    ],
)
def test_an_unusable_condition_is_one_sentence_that_names_the_rule_and_no_value(condition: str):
    with pytest.raises(InvalidInput) as caught:
        holds(condition, FACTS, name="the routing rule r1")
    assert "the routing rule r1" in str(caught.value)
    assert "Amelia" not in str(caught.value)


LIST = "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]"


@pytest.mark.parametrize(
    "condition",
    [
        "{list}.map(a, {list}.map(b, {list}.map(c, {list}.map(d, a * b * c * d)))).size() > 0",
        "['" + "a" * 900 + "']" + ".map(a, a + a)" * 60 + ".size() > 0",
        "{list}.all(a, {list}.exists(b, {list}.exists_one(c, a + b + c == 0) || true))",
    ],
)
def test_f69_a_condition_that_loops_or_grows_stops_within_its_budget(condition: str):
    with pytest.raises(InvalidInput) as caught:
        holds(condition.replace("{list}", LIST), FACTS, name="rule r1")
    assert caught.value.detail.code == "budget_exceeded"


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*x", "([a-z]+)+$"])
def test_f68_a_catastrophic_pattern_over_a_megabyte_takes_linear_time(pattern: str):
    # One that backtracks would not come to an end.
    text = "a" * ((1 << 20) - 1) + "!"
    assert holds(f"notification.text.matches('{pattern}')", {"notification": {"text": text}}, name="r") is False
