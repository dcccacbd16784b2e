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
    "condition", ["notification.", "wedding.venueName == 'Barn'", "1 + 1", "'a' > 1", "x" * 3_000, "", "open('/etc')"]
)
def test_an_unusable_condition_is_one_sentence_that_names_the_rule_and_no_value(condition: str):
    with pytest.raises(InvalidInput) as caught:
        holds(condition, FACTS, name="the routing rule r1")
    assert "the routing rule r1" in str(caught.value)
    assert "Amelia" not in str(caught.value)
