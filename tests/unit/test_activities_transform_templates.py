"""Templates: plain placeholders for tenants, and nothing a sandbox should refuse."""

from __future__ import annotations

import pytest

from activities.transform.templates import named, render
from contracts.errors import InvalidInput

FACTS = {"notification": {"title": "Ceremony moved", "names": ["Anna", "Ben"]}, "wedding": {}}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("*{{ notification.title }}*", "*Ceremony moved*"),
        ("{{ notification.names | join(' and ') }}", "Anna and Ben"),
        ("{% if wedding.venueName is defined %}at {{ wedding.venueName }}{% endif %}", ""),
        ("{{ 7 * 6 }}", "42"),
        ("<b> & 'quotes'", "<b> & 'quotes'"),
    ],
)
def test_a_template_is_filled_as_plain_text(template: str, text: str):
    assert render(template, FACTS, name="m1") == text


@pytest.mark.parametrize(
    "template",
    [
        "{{ notification.client }}",
        "{{ notification.__class__.__mro__ }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 9 ** 9999999 }}",
        "{{ '%099999999d' % 1 }}",
        "{% for a in range(99999) %}{{ a }}{% endfor %}",
        "{% for a in range(999999999) %}x{% endfor %}",
        "{{ notification.names.append('x') }}",
        "{% include '/etc/passwd' %}",
        "{{ open('/etc/passwd') }}",
        "{{ unclosed",
    ],
)
def test_a_template_that_reaches_for_more_is_refused_by_name(template: str):
    with pytest.raises(InvalidInput, match="m1"):
        render(template, FACTS, name="m1")


@pytest.mark.parametrize("name", ["unknown", "../secrets", "", "wedding_confirmation_template.text"])
def test_a_template_the_library_lacks_is_refused(name: str):
    with pytest.raises(InvalidInput, match="no template named"):
        named(name, "text")


@pytest.mark.parametrize("template", ["wedding_confirmation", "satisfaction_survey", "final_details"])
@pytest.mark.parametrize("part", ["subject", "text"])
def test_the_briefs_templates_read_well_when_the_wedding_is_bare(template: str, part: str):
    wedding = {"weddingDate": None, "ceremonyTime": None, "clientName": "", "venueName": ""}
    text = render(named(f"{template}_template", part), {"wedding": wedding}, name=template)
    assert text.strip()
    assert "None" not in text
