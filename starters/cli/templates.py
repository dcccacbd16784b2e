"""`wedsync templates`: an organisation's own words."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts.identity import StoredTemplate, TemplateList, TemplateWords
from starters.cli.options import DataDir, File, Json
from starters.cli.output import facts, print_json, table
from starters.cli.preferences import Owner, with_recipients
from starters.documents import read_file
from starters.recipients import Recipients

app = typer.Typer(help="An organisation's own words for its messages.", no_args_is_help=True)


@app.command("list")
def list_(organization: Owner, data_dir: DataDir = None, *, json: Json = False) -> None:
    """List an organisation's templates."""

    async def act(recipients: Recipients) -> TemplateList:
        return await recipients.templates(organization)

    found = with_recipients(data_dir, act)
    if json:
        print_json(found)
        return
    rows = [(one.words.name, one.version, one.saved_at, one.words.subject) for one in found.templates]
    table(f"Templates of {organization}", ("name", "version", "saved", "subject"), rows)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The template's name.")],
    organization: Owner,
    version: Annotated[int | None, typer.Option("--version", help="An earlier version.")] = None,
    data_dir: DataDir = None,
    *,
    json: Json = False,
) -> None:
    """Show a template."""

    async def act(recipients: Recipients) -> StoredTemplate:
        return await recipients.template(organization, name, version)

    _show(with_recipients(data_dir, act), as_json=json)


@app.command("save")
def save(file: File, organization: Owner, data_dir: DataDir = None, *, json: Json = False) -> None:
    """Keep the template in FILE as its next version; routings that run keep theirs."""
    words = read_file(file, TemplateWords)

    async def act(recipients: Recipients) -> StoredTemplate:
        return await recipients.save_template(organization, words)

    _show(with_recipients(data_dir, act), as_json=json)


def _show(found: StoredTemplate, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        facts(f"Template {found.words.name}, version {found.version}", found.words.model_dump(exclude={"name"}))
