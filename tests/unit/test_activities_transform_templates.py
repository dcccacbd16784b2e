"""Templates: plain placeholders for tenants, and nothing a sandbox should refuse."""

from __future__ import annotations

import pytest

from activities.transform.templates import check, named, render
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


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__class__'] }}",
        "{{ notification|attr('__class__') }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ lipsum.__globals__['os'] }}",
        "{{ namespace(a=1) }}",
        "{{ ().__class__.__base__ }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ '{0.__class__}' | format(1) }}",
        "{{ config }}",
        "{{ request.application }}",
        "{{ notification.names | map(attribute='__class__') | list }}",
        "{{ notification.names | groupby('__class__') }}",
        "{% import 'os' as os %}",
        "{% extends 'base' %}",
        "{% from 'x' import y %}",
        "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}",
        "{% set x = ''.join %}{{ x(['a']) }}",
        "{% for c in ().__class__.__bases__ %}{{ c }}{% endfor %}",
        "{%- debug -%}",
        "{{ notification['__init__'] }}",
    ],
)
def test_f63_an_injected_template_reaches_nothing(template: str):
    with pytest.raises(InvalidInput, match="m1"):
        render(template, FACTS, name="m1")


@pytest.mark.parametrize("text", ["{{ 7*7 }}", "{{ ''.__class__ }}", "{% for a in b %}", "{# #}", "${7*7}", "#{7*7}"])
def test_f63_what_looks_like_a_template_in_a_fact_stays_words(text: str):
    facts = {"notification": {"title": text}}
    assert render("{{ notification.title }}", facts, name="m1") == text


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        "{% set x = 'aaaaaaaaaa' %}" + "{% set x = x ~ x %}" * 60 + "{{ x | length }}",
        "{{ 'aaaaaaaaaa' | replace('a', 'bbbbbbbbbb') " + "| replace('b', 'bbbbbbbbbb') " * 20 + "}}",
        "{% for a in range(9000) %}{% if a %}{{ 'xxxx' }}{% endif %}{% endfor %}",
    ],
)
def test_f69_a_template_that_loops_or_grows_stops_within_its_budget(template: str):
    with pytest.raises(InvalidInput) as caught:
        render(template, FACTS, name="m1")
    assert caught.value.detail.code == "budget_exceeded"


def test_f63_a_fact_becomes_no_markup_in_html():
    html = render("<b>{{ notification.title }}</b>", {"notification": {"title": "<script>"}}, name="m1", html=True)
    assert html == "<b>&lt;script&gt;</b>"


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("{{ notification.title", "template_refused"),
        ("{% macro m() %}{% endmacro %}", "template_refused"),
        ("{{ notification.__class__ }}", "template_refused"),
        ("{{ guest.name }}", "template_variable_unknown"),
    ],
)
def test_a_template_that_could_never_be_rendered_is_refused_when_it_is_saved(template: str, code: str):
    with pytest.raises(InvalidInput) as caught:
        check(template, name="reminder")
    assert caught.value.detail.code == code


@pytest.mark.parametrize("template", ["wedding_confirmation", "satisfaction_survey", "final_details"])
def test_the_librarys_own_templates_pass_the_check(template: str):
    check(named(f"{template}_template", "text"), name=template)
