"""`wedsync integrations ...`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from contracts.connection import ConnectionActionKind, ConnectionResult
from contracts.errors import InvalidInput
from contracts.integration import IntegrationConfiguration
from starters.api.views import IntegrationList, IntegrationSummary
from starters.cli.limits import limits
from starters.cli.options import DataDir, File, Json, Organization, organization_of, with_wedsync
from starters.cli.output import facts, line, note, print_json, say, table
from starters.client import WedSync
from starters.documents import read_file
from starters.failures import as_error
from starters.integrations import Integrations

app = typer.Typer(help="Connect suppliers' systems and look after the connections.", no_args_is_help=True)
app.command("limits")(limits)
Taking = Callable[..., Awaitable[tuple[ConnectionResult, tuple[str, ...]]]]
IntegrationId = Annotated[str, typer.Argument(metavar="ID", help="The integration's id.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for whoever looks later.")]


@app.command("connect")
def connect(file: File, data_dir: DataDir = None, organization: Organization = None, *, json: Json = False) -> None:
    """Connect the integration that FILE describes, or connect it again with a new credential."""
    _take(file, data_dir, organization, lambda integrations: integrations.connect, as_json=json)


@app.command("rotate")
def rotate(file: File, data_dir: DataDir = None, organization: Organization = None, *, json: Json = False) -> None:
    """Replace an integration's credential by the one in FILE, once the vendor has accepted it."""
    _take(file, data_dir, organization, lambda integrations: integrations.rotate, as_json=json)


@app.command("reconfigure")
def reconfigure(file: File, data_dir: DataDir = None, organization: Organization = None, *, json: Json = False) -> None:
    """Give an integration the settings, mappings and schedules in FILE; its credential stays."""
    configuration = read_file(file, IntegrationConfiguration, organization)

    async def act(wedsync: WedSync) -> ConnectionResult:
        return await wedsync.integrations.reconfigure(configuration)

    _show(with_wedsync(data_dir, act), as_json=json)


@app.command("authorize")
def authorize(
    file: File,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the address and do not wait for consent.")] = False,
    json: Json = False,
) -> None:
    """Print where to grant access to the account in FILE by OAuth, and wait until it is connected."""
    configuration = read_file(file, IntegrationConfiguration, organization)
    beside = file.absolute().parent

    async def act(wedsync: WedSync) -> ConnectionResult | None:
        consent = await wedsync.authorizations.begin(configuration, beside=beside)
        if no_wait:
            print_json(consent) if json else line(consent.url)
            return None
        note(f"Grant access within ten minutes at:\n{consent.url}")
        return await wedsync.integrations.until_connected(configuration, consent.expires_at)

    connected = with_wedsync(data_dir, act)
    if connected is not None:
        _show(connected, as_json=json)


@app.command("migrate")
def migrate(
    integration_id: IntegrationId,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="The successor's configuration.")] = None,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    confirm: Annotated[bool, typer.Option("--confirm", help="End the old integration after a cut-over.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Give the work back to the old integration.")] = False,
    json: Json = False,
) -> None:
    """Move an integration's work to the one in FILE: backfill, verify, cut over; then --confirm or --cancel."""
    if [file is not None, confirm, cancel].count(True) != 1:
        raise InvalidInput(
            "usage", "Give FILE, --confirm or --cancel.", action="See `wedsync integrations migrate --help`."
        )
    if file is None:
        decision = ConnectionActionKind.CONFIRM_MIGRATION if confirm else ConnectionActionKind.CANCEL_MIGRATION
        _show(_act(data_dir, organization, integration_id, decision), as_json=json)
        return
    successor = read_file(file, IntegrationConfiguration, organization)
    beside = file.absolute().parent

    async def act(wedsync: WedSync) -> ConnectionResult:
        owner = successor.organization_id
        await wedsync.integrations.migrate(owner, integration_id, successor, beside=beside)
        note("The backfill runs; the old integration works until everything stands at the new one.")
        return await wedsync.integrations.until_moved(owner, integration_id)

    _show(with_wedsync(data_dir, act), as_json=json)


@app.command("list")
def list_all(data_dir: DataDir = None, organization: Organization = None, *, json: Json = False) -> None:
    """List an organisation's integrations."""

    async def act(wedsync: WedSync) -> IntegrationList:
        if organization is None and not await wedsync.integrations.organizations():
            return IntegrationList(integrations=[])
        stored = await wedsync.integrations.of(await organization_of(wedsync, organization))
        return IntegrationList(integrations=[IntegrationSummary.of(one) for one in stored])

    found = with_wedsync(data_dir, act)
    if json:
        print_json(found)
        return
    columns = ("integration", "platform", "state", "health", "last sync", "status")
    rows = [
        (one.integration_id, one.platform, one.state, one.health, one.last_sync_at, one.last_sync_status)
        for one in found.integrations
    ]
    table("Integrations", columns, rows)


@app.command("show")
def show(
    integration_id: IntegrationId, data_dir: DataDir = None, organization: Organization = None, *, json: Json = False
) -> None:
    """Show an integration."""

    async def act(wedsync: WedSync) -> ConnectionResult:
        return await wedsync.integrations.show(await organization_of(wedsync, organization), integration_id)

    _show(with_wedsync(data_dir, act), as_json=json)


@app.command("hook")
def hook(
    integration_id: IntegrationId, data_dir: DataDir = None, organization: Organization = None, *, json: Json = False
) -> None:
    """Show the address that the vendor is to send its webhooks to."""

    async def act(wedsync: WedSync) -> str:
        org = await organization_of(wedsync, organization)
        return await wedsync.hook_url(org, integration_id)

    url = with_wedsync(data_dir, act)
    if json:
        print_json({"integrationId": integration_id, "url": url})
    else:
        say(url)


@app.command("test")
def probe(
    integration_id: IntegrationId, data_dir: DataDir = None, organization: Organization = None, *, json: Json = False
) -> None:
    """Ask the vendor whether the connection works; exit 1 when it does not."""
    result = _act(data_dir, organization, integration_id, ConnectionActionKind.TEST)
    if result.probe is not None and not result.probe.ok and result.probe.error is not None:
        raise as_error(result.probe.error)
    _show(result, as_json=json)


@app.command("provision")
def provision(
    integration_id: IntegrationId, data_dir: DataDir = None, organization: Organization = None, *, json: Json = False
) -> None:
    """Create at the vendor what syncs and deliveries need and is missing there."""
    _show(_act(data_dir, organization, integration_id, ConnectionActionKind.PROVISION), as_json=json)


@app.command("pause")
def pause(
    integration_id: IntegrationId,
    reason: Reason = "",
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    json: Json = False,
) -> None:
    """Let an integration take no work until it is resumed."""
    _show(_act(data_dir, organization, integration_id, ConnectionActionKind.PAUSE, reason), as_json=json)


@app.command("resume")
def resume(
    integration_id: IntegrationId,
    reason: Reason = "",
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    json: Json = False,
) -> None:
    """Let a paused integration work again."""
    _show(_act(data_dir, organization, integration_id, ConnectionActionKind.RESUME, reason), as_json=json)


@app.command("disconnect")
def disconnect(
    integration_id: IntegrationId,
    reason: Reason = "",
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    json: Json = False,
) -> None:
    """End an integration and destroy its credential."""
    _show(_act(data_dir, organization, integration_id, ConnectionActionKind.DISCONNECT, reason), as_json=json)


def _take(
    file: Path,
    data_dir: Path | None,
    organization: str | None,
    verb: Callable[[Integrations], Taking],
    *,
    as_json: bool,
) -> None:
    """Hand a configuration with its credential over, and show what became of it."""
    configuration = read_file(file, IntegrationConfiguration, organization)
    beside = file.absolute().parent

    async def act(wedsync: WedSync) -> ConnectionResult:
        result, warnings = await verb(wedsync.integrations)(configuration, beside=beside)
        for warning in warnings:
            note(warning)
        return result

    _show(with_wedsync(data_dir, act), as_json=as_json)


def _act(
    data_dir: Path | None, organization: str | None, integration_id: str, kind: ConnectionActionKind, reason: str = ""
) -> ConnectionResult:
    async def act(wedsync: WedSync) -> ConnectionResult:
        return await wedsync.integrations.act(
            await organization_of(wedsync, organization), integration_id, kind, reason
        )

    return with_wedsync(data_dir, act)


def _show(result: ConnectionResult, *, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    probe = result.probe
    facts(
        f"Integration {result.integration_id}",
        {
            "platform": result.platform,
            "state": result.state,
            "account": probe.account if probe else None,
            "answered in": f"{probe.latency_ms:.0f} ms" if probe and probe.ok else None,
            "features": probe.features if probe else None,
            "made": result.provisioned.created if result.provisioned else None,
            "scopes": probe.scopes if probe else None,
            "token until": result.credential_expires_at,
            "connected": result.connected_at,
            "TLS": result.tls_exception or None,
            "migration": _migration(result),
            "error": result.error.sentence() if result.error else None,
        },
    )


def _migration(result: ConnectionResult) -> str | None:
    moved = result.migration
    if moved is None:
        return None
    return f"to {moved.successor_id}: {moved.phase.value}, {moved.verified} of {moved.records} records verified"
