"""The outbound policy: one grammar, one judgement of addresses, at the door as in the worker."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.access import Access
from activities.connectors.registry import CONNECTORS, connector_class
from activities.ports.outbound import PUBLIC_ONLY, OutboundRules
from activities.transport.addresses import may_reach
from activities.transport.outbound import dial_blocking, judged_addresses, parse, refused, vet
from contracts.errors import ErrorKind, InvalidInput, Owner, Permanent, WedSyncError
from contracts.integration import IntegrationConfiguration
from starters.credentials import lift
from tests.support.loopback import IN_DEVELOPMENT
from workers.settings import Settings

ON_PREMISE = OutboundRules(allowed_networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")))
EVERYTHING = OutboundRules(allowed_networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))

NOT_ALLOWED = [
    # another scheme than https
    "http://tableau.acme.example", "ftp://tableau.acme.example", "file:///etc/passwd", "file://localhost/etc/passwd",
    "gopher://tableau.acme.example:70/_GET", "unix:///var/run/docker.sock", "http+unix://%2Fvar%2Frun%2Fdocker.sock",
    "data:text/plain,hello", "javascript:alert(1)", "ldap://tableau.acme.example", "dict://tableau.acme.example:11211",
    "jar:https://tableau.acme.example!/", "//tableau.acme.example", "tableau.acme.example",
    "https:tableau.acme.example",
    "https:/tableau.acme.example", "smtp://tableau.acme.example", "ws://tableau.acme.example",
    # this machine and the private networks, in every spelling of them
    "https://127.0.0.1", "https://127.0.0.2", "https://127.1", "https://127.0.1", "https://2130706433",
    "https://0x7f000001", "https://0x7f.0.0.1", "https://0x7f.1", "https://017700000001", "https://0177.0.0.1",
    "https://0177.0.0.01", "https://00000127.0.0.1", "https://127.0.0.1.", "https://localhost", "https://localhost.",
    "https://LOCALHOST", "https://0.0.0.0", "https://0", "https://10.0.0.7", "https://172.16.3.4",
    "https://192.168.1.1", "https://100.64.0.1", "https://169.254.169.254", "https://169.254.169.254/latest/meta-data",
    "https://2852039166", "https://0xa9fea9fe", "https://198.18.0.1", "https://224.0.0.1", "https://255.255.255.255",
    "https://168.63.129.16", "https://100.100.100.200",
    "https://[::1]", "https://[0:0:0:0:0:0:0:1]", "https://[::]", "https://[::ffff:127.0.0.1]",
    "https://[::ffff:7f00:1]", "https://[::7f00:1]", "https://[64:ff9b::7f00:1]", "https://[2002:7f00:1::]",
    "https://[2001:0:7f00:1::1]", "https://[fe80::1]", "https://[fe80::1%25eth0]", "https://[fc00::1]",
    "https://[fd00:ec2::254]", "https://[ff02::1]", "https://[::ffff:a9fe:a9fe]",
    # names that mean something else than they seem to
    "https://user@tableau.acme.example", "https://user:pass@tableau.acme.example",
    "https://tableau.acme.example@127.0.0.1", "https://127.0.0.1\\@tableau.acme.example",
    "https://tableau.acme.example#@127.0.0.1", "https://tableau.acme.example?@127.0.0.1",
    "https://tableau.acme.example.", "https://tableau..acme.example", "https://.acme.example", "https://-acme.example",
    "https://acme-.example", "https://intranet", "https://metadata", "https://acme.0x7f", "https://acme.1",
    "https://ⓣableau.acme.example", "https://tableau。acme.example", "https://tableau\uff0eacme.example",
    "https://\uff11\uff12\uff17.0.0.1",
    "https://tableau.acme.example%00.evil.example", "https://tableau%2eacme.example", "https://tableau.acme.example\n",
    "https://tableau.acme.example\t", " https://tableau.acme.example", "https://tableau.acme .example",
    "https://tableau.acme.example/\r\nHost: evil.example", "https://", "https:///", "https://:443", "https://[",
    "https://[]", "https://[127.0.0.1]", "https://" + "a" * 64 + ".example",
    # ports and paths
    "https://tableau.acme.example:22", "https://tableau.acme.example:80", "https://tableau.acme.example:6379",
    "https://tableau.acme.example:0", "https://tableau.acme.example:", "https://tableau.acme.example:0443",
    "https://tableau.acme.example:+443", "https://tableau.acme.example:65536", "https://tableau.acme.example:443:443",
    "https://tableau.acme.example:99999999999", "https://tableau.acme.example/?next=1", "https://tableau.acme.example/#x",
    "https://tableau.acme.example/../admin", "https://tableau.acme.example//evil.example",
    "https://tableau.acme.example/a\\b",
]  # fmt: skip
ALLOWED = {
    "https://tableau.acme.example": "https://tableau.acme.example",
    "https://Tableau.ACME.example/": "https://tableau.acme.example",
    "HTTPS://tableau.acme.example:443": "https://tableau.acme.example",
    "https://tableau.acme.example:8443/api": "https://tableau.acme.example:8443/api",
    "https://xn--bcher-kva.example": "https://xn--bcher-kva.example",
    "https://93.184.216.34": "https://93.184.216.34",
    "https://[2606:4700:4700::1111]": "https://[2606:4700:4700::1111]",
}
FREE = connector_class("tableau").manifest
VENDOR = connector_class("hubspot").manifest


def configuration(base_url: str | None, platform: str = "tableau", **rest: Any) -> IntegrationConfiguration:
    settings = rest.pop("settings", {"siteName": "lumen"} if platform == "tableau" else {})
    config = settings | ({} if base_url is None else {"baseUrl": base_url})
    given = {"integrationId": "one", "organizationId": "lumen", "platform": platform, "connectionConfig": config}
    return IntegrationConfiguration.model_validate(given | rest)


async def nowhere(_platform: str) -> None:
    return None


async def opening(given: IntegrationConfiguration, rules: OutboundRules = PUBLIC_ONLY) -> WedSyncError:
    """The error of opening a connector in the worker; the policy speaks before any credential is asked for."""
    access = Access(cast("Any", None), cast("Any", None), nowhere, rules)
    with pytest.raises(WedSyncError) as caught:
        await access.aside(given)
    return caught.value


def assert_refused(error: WedSyncError, url: str) -> None:
    detail = error.detail
    assert (detail.kind, detail.code, detail.owner) == (ErrorKind.INVALID_INPUT, "url_not_allowed", Owner.TENANT)
    assert detail.action
    assert "pass" not in detail.model_dump_json()
    assert url not in str(error)


def test_f61_more_than_sixty_forms_are_tried() -> None:
    assert len(set(NOT_ALLOWED)) > 100


@pytest.mark.parametrize("url", NOT_ALLOWED)
def test_f61_the_door_refuses(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        lift(configuration(url), beside=None)
    assert_refused(caught.value, url)


@pytest.mark.parametrize("url", NOT_ALLOWED)
async def test_f61_the_worker_refuses(url: str) -> None:
    assert_refused(await opening(configuration(url)), url)


@pytest.mark.parametrize(("url", "canonical"), ALLOWED.items())
async def test_a_public_https_address_is_allowed_in_its_canonical_form(url: str, canonical: str) -> None:
    assert lift(configuration(url), beside=None).configuration.connection_config.base_url == url
    assert (await opening(configuration(url))).detail.code == "credential_missing"
    assert vet(url, FREE, PUBLIC_ONLY).url == canonical


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("api.hubapi.com", True),
        ("api-eu1.hubapi.com", True),
        ("hubapi.com", False),
        ("api.hubapi.com.evil.example", False),
        ("evilhubapi.com", False),
        ("hubapi.com.evil.example", False),
        ("93.184.216.34", False),
    ],
)
def test_f61_a_vendor_s_connection_stays_with_the_vendor(host: str, *, allowed: bool) -> None:
    if allowed:
        assert vet(f"https://{host}", VENDOR, PUBLIC_ONLY).host == host
        return
    with pytest.raises(InvalidInput) as caught:
        vet(f"https://{host}", VENDOR, PUBLIC_ONLY)
    assert caught.value.detail.evidence == {"reason": "host_not_vendors"}


@pytest.mark.parametrize(
    "account",
    ["lumen.evil.example/", "127.0.0.1:8080/x?", "evil.example#", "a@evil.example/", "..", "", "evil.example\\"],
)
async def test_f61_a_snowflake_account_cannot_leave_snowflake(account: str) -> None:
    settings = {"account": account, "warehouse": "W", "database": "D"}
    given = configuration(None, "snowflake", settings=settings)
    with pytest.raises(InvalidInput) as caught:
        lift(given, beside=None)
    assert caught.value.detail.code == "url_not_allowed"
    assert (await opening(given)).detail.code == "url_not_allowed"


@pytest.mark.parametrize("account", ["xy12345", "xy12345.eu-central-1", "lumen-studios", "lumen-main_account"])
def test_a_snowflake_account_needs_no_base_url(account: str) -> None:
    settings = {"account": account, "warehouse": "W", "database": "D"}
    assert lift(configuration(None, "snowflake", settings=settings), beside=None)


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "127.0.0.1", "port": 25},
        {"host": "localhost", "port": 587},
        {"host": "10.1.2.3", "port": 587},
        {"host": "mail.acme.example", "port": 22},
        {"host": "user@mail.acme.example", "port": 587},
        {"host": "mail.acme.example:25/", "port": 587},
        {"host": "2130706433", "port": 587},
    ],
)
def test_f61_a_mail_server_is_judged_by_its_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        lift(configuration(None, "email", settings=settings | {"fromAddress": "a@lumen.example"}), beside=None)
    assert caught.value.detail.code == "url_not_allowed"


@pytest.mark.parametrize("system", sorted(CONNECTORS))
def test_every_manifest_s_own_address_passes_its_own_policy(system: str) -> None:
    manifest = connector_class(system).manifest
    if manifest.default_base_url:
        assert vet(manifest.default_base_url, manifest, PUBLIC_ONLY).url == manifest.default_base_url
    assert manifest.default_base_url or manifest.address


@pytest.mark.parametrize("url", ["http://127.0.0.1:8090/hubspot", "http://localhost:8090", "https://[::1]:8443"])
def test_development_opens_loopback_at_any_port(url: str) -> None:
    assert vet(url, VENDOR, IN_DEVELOPMENT).url == url


@pytest.mark.parametrize(
    "url", ["http://api.hubapi.com", "http://10.0.0.7", "https://169.254.169.254", "https://10.0.0.7"]
)
def test_development_opens_nothing_but_loopback(url: str) -> None:
    with pytest.raises(InvalidInput):
        vet(url, FREE, IN_DEVELOPMENT)


def test_the_operator_opens_a_private_range() -> None:
    assert vet("https://10.0.0.7", FREE, ON_PREMISE).host == "10.0.0.7"
    assert judged_addresses("x.example", 443, _leading_to(ON_PREMISE, "10.0.0.7", "93.184.216.34"))


def test_an_open_range_is_no_licence_for_plain_http() -> None:
    with pytest.raises(InvalidInput):
        vet("http://10.0.0.7", FREE, ON_PREMISE)


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1", "fd00:ec2::254", "100.100.100.200", "::ffff:169.254.169.254", "127.0.0.1"]
)
def test_a_wide_range_opens_neither_metadata_nor_loopback(address: str) -> None:
    assert not may_reach(address, EVERYTHING)


def test_metadata_opens_when_it_is_named() -> None:
    named = OutboundRules(allowed_networks=(ip_network("169.254.169.254/32"),))
    assert may_reach("169.254.169.254", named)
    assert not may_reach("169.254.169.253", named)


@pytest.mark.parametrize("addresses", [["93.184.216.34", "10.0.0.1"], ["::1", "93.184.216.34"], ["not an address"]])
def test_one_closed_address_of_a_name_closes_the_name(addresses: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        judged_addresses("rebinding.example", 443, _leading_to(PUBLIC_ONLY, *addresses))
    assert_refused(caught.value, "rebinding.example")


def test_a_name_without_an_address_is_not_reached() -> None:
    with pytest.raises(socket.gaierror):
        judged_addresses("nobody.example", 443, _leading_to(PUBLIC_ONLY))


def test_the_next_address_is_tried_when_the_first_one_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        rules = _leading_to(IN_DEVELOPMENT, "127.0.0.3", "127.0.0.1")
        with dial_blocking("two.example", listening.getsockname()[1], rules, 5) as connected:
            assert connected.getpeername()[0] == "127.0.0.1"


@given(st.text(max_size=60))
def test_f61_no_text_leads_to_this_machine(text: str) -> None:
    _nothing_here(text)
    _nothing_here(f"https://{text}")


@given(st.ip_addresses(v=4), st.sampled_from(["decimal", "hex", "octal", "short", "mapped", "nat64", "6to4"]))
def test_f61_an_address_is_judged_the_same_however_it_is_spelt(address: Any, form: str) -> None:
    number = int(address)
    spelt = {
        "decimal": str(number),
        "hex": hex(number),
        "octal": f"0{number:o}",
        "short": f"{number >> 24}.{number & 0xFFFFFF}",
        "mapped": f"[{IPv6Address((0xFFFF << 32) | number)}]",
        "nat64": f"[{IPv6Address(int(IPv6Address('64:ff9b::')) | number)}]",
        "6to4": f"[{IPv6Address((0x2002 << 112) | (number << 80))}]",
    }[form]
    assert _vetted(f"https://{spelt}") is None or may_reach(str(address), PUBLIC_ONLY)


@given(st.ip_addresses())
def test_an_address_that_may_be_reached_is_global(address: Any) -> None:
    if may_reach(str(address), PUBLIC_ONLY):
        inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        translated = address in ip_network("64:ff9b::/96") if address.version == 6 else False
        assert translated or (inner or address).is_global


@given(st.one_of(st.ip_addresses(network=one) for one in ("10.0.0.0/8", "192.168.0.0/16", "fc00::/7", "fe80::/10")))
def test_no_private_address_is_reached(address: IPv4Address | IPv6Address) -> None:
    assert not may_reach(str(address), PUBLIC_ONLY)


@given(st.from_regex(r"https://[a-z0-9.-]{1,40}(:[0-9]{1,5})?(/[a-z/.]{0,20})?", fullmatch=True))
def test_what_is_accepted_means_the_same_to_the_libraries(url: str) -> None:
    try:
        target = parse(url)
    except InvalidInput:
        return
    assert (urlsplit(target.url).hostname, httpx.URL(target.url).host) == (target.host, target.host)
    assert parse(target.url) == target


def test_a_refusal_never_repeats_the_address() -> None:
    assert refused("x", "it is closed").detail.evidence == {"reason": "x"}


@pytest.mark.parametrize(
    ("given_settings", "expected"),
    [
        ({}, PUBLIC_ONLY),
        ({"emulators_url": "http://127.0.0.1:8090"}, IN_DEVELOPMENT),
        ({"emulators_url": "http://127.0.0.1:8090", "allow_loopback": False}, PUBLIC_ONLY),
        ({"allow_loopback": True}, IN_DEVELOPMENT),
        ({"outbound_allow": " 10.0.0.0/8, fd00::/8 "}, ON_PREMISE),
    ],
)
def test_the_settings_say_what_is_open(tmp_path: Path, given_settings: dict[str, Any], expected: OutboundRules) -> None:
    assert Settings(data_dir=tmp_path, **given_settings).outbound_rules() == expected


@pytest.mark.parametrize(
    ("given_settings", "code"),
    [
        ({"profile": "production", "allow_loopback": True}, "loopback_in_production"),
        ({"outbound_allow": "10.0.0.1/8"}, "outbound_settings_invalid"),
        ({"outbound_allow": "our network"}, "outbound_settings_invalid"),
        ({"outbound_ca_file": "/nowhere/ca.pem"}, "outbound_settings_invalid"),
    ],
)
def test_settings_that_cannot_be_meant_stop_the_start(
    tmp_path: Path, given_settings: dict[str, Any], code: str
) -> None:
    with pytest.raises(Permanent) as caught:
        Settings(data_dir=tmp_path, **given_settings)
    assert (caught.value.detail.code, caught.value.detail.owner) == (code, Owner.OPERATOR)


def _leading_to(rules: OutboundRules, *addresses: str) -> OutboundRules:
    return OutboundRules(rules.allowed_networks, rules.development, None, lambda _host, _port: addresses)


def _vetted(url: str) -> str | None:
    """The host of a URL that the policy lets through; any other error than its own fails the test."""
    try:
        return vet(url, FREE, PUBLIC_ONLY).host
    except InvalidInput:
        return None


def _nothing_here(url: str) -> None:
    host = _vetted(url)
    if host is None:
        return
    try:
        assert not ip_address(host).is_private
    except ValueError:
        assert host != "localhost"
