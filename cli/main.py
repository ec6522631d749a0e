"""The command line: `sideline --help`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.embedded.processes import ServiceError
from cli.installation import database as installation_database
from cli.installation import with_secret_keys
from domain import audit, bodies, database, people, teams, tokens
from domain.errors import DomainError, Invalid, NotFound
from domain.identity import ALL_SCOPES
from domain.models import User
from domain.secrets import make_key
from domain.settings import Settings, load_settings

Result = TypeVar("Result")

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Sideline: an open sales-coaching backend.")
token_app = typer.Typer(no_args_is_help=True, help="Bearer tokens.")
app.add_typer(token_app, name="token")
audit_app = typer.Typer(no_args_is_help=True, help="The audit log.")
app.add_typer(audit_app, name="audit")
person_app = typer.Typer(no_args_is_help=True, help="All data of a person.")
app.add_typer(person_app, name="person")
messages = Console(stderr=True)

TeamOption = Annotated[str | None, typer.Option("--team", help="The team's name, where more than one fits.")]


class Format(StrEnum):
    """Formats of files."""

    NDJSON = "ndjson"
    CSV = "csv"


def _say(text: str) -> None:
    messages.print(text, highlight=False, style="dim")


def _with_database(work: Callable[[], Awaitable[Result]]) -> Result:
    """Run something against the installation's database, migrated."""
    settings = load_settings()
    with installation_database(settings, _say) as url:

        async def connected() -> Result:
            await database.migrate(url)
            await database.connect(url, pool_size=4)
            bodies.use_keys(with_secret_keys(settings).secret_box())
            try:
                return await work()
            finally:
                await database.disconnect()

        return asyncio.run(connected())


async def _user(email: str, team: str | None) -> User:
    async with database.acquire(database.ALL_TEAMS) as connection:
        found = await people.find_users(connection, email)
        if team is not None:
            team_id = await teams.find_team(connection, team)
            found = [user for user in found if user.team_id == team_id]
    if not found:
        raise NotFound(f"Nobody has the email address {email}; see `sideline doctor`, or seed the demo team.")
    if len(found) > 1:
        raise Invalid(f"{email} is on {len(found)} teams: say which with --team.")
    return found[0]


async def _team(team: str | None) -> UUID:
    async with database.acquire(database.ALL_TEAMS) as connection:
        return await teams.find_team(connection, team)


@app.command()
def up(
    demo: Annotated[bool, typer.Option(help="Seed the demo team and offer its people.")] = True,
) -> None:
    """Start everything: PostgreSQL, Redis, migrations, demo team, API and worker. Ctrl-C stops it all."""
    from cli.up import Supervisor

    raise typer.Exit(Supervisor(load_settings(), Console(), demo=demo).run())


@app.command()
def api() -> None:
    """Serve the API alone, on the configured PostgreSQL and Redis."""
    from api.server import serve

    settings = load_settings()
    settings.require_database_url()
    settings.require_redis_url()
    serve(settings, access_log=True)


@app.command()
def worker() -> None:
    """Run a worker, on the configured PostgreSQL and Redis."""
    settings = load_settings()
    settings.require_database_url()
    settings.require_redis_url()
    os.execv(sys.executable, [sys.executable, "-m", "workers"])


@app.command("secret-key")
def secret_key() -> None:
    """Print a fresh key for SIDELINE_SECRET_KEYS, which encrypts stored secrets."""
    print(make_key())


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date."""
    with installation_database(load_settings(), _say) as url:
        asyncio.run(database.migrate(url, lambda name: print(f"applied {name}"), _say))
        print("The schema is up to date.")


@app.command()
def seed() -> None:
    """Make the demo team, or bring its history up to the start of today."""
    from domain.demo import seed_demo

    columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed} of {task.total}"), TimeElapsedColumn())
    with Progress(*columns, console=messages) as progress:
        task = progress.add_task("Demo team", total=None)
        outcome = _with_database(
            lambda: seed_demo(on_progress=lambda done, total: progress.update(task, completed=done, total=total))
        )
    print(f"{outcome.accepted} activities were new or had gone on, over {outcome.days} days")


@app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="NDJSON or CSV; gzip is seen by itself.")],
    source: Annotated[str, typer.Option(help="The system that the records come from.")] = "file",
    format: Annotated[Format | None, typer.Option(help="By default by the file's name.")] = None,
    mapping: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A mapping file for other CSV.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Say what would happen, and change nothing.")] = False,
    team: TeamOption = None,
) -> None:
    """Take a file of activities in. Refused records are kept with the reason; the rest is taken in."""
    from cli.files import take_file_in

    chosen = format.value if format else "csv" if ".csv" in file.suffixes else "ndjson"

    async def work() -> Any:
        return await take_file_in(
            await _team(team), source, file, chosen, mapping=mapping, dry_run=dry_run, console=messages
        )

    outcome = _with_database(work)
    print(f"accepted {outcome.accepted}, unchanged {outcome.unchanged}, rejected {outcome.rejected}")
    raise typer.Exit(1 if outcome.rejected else 0)


@app.command()
def export(
    user: Annotated[str, typer.Option(help="Export what this user may see (their email address).")],
    connection: Annotated[
        str, typer.Argument(help="Which connection, as GET /export has it; `sideline import` takes activityRecords in.")
    ] = "activityRecords",
    format: Annotated[Format, typer.Option()] = Format.NDJSON,
    fields: Annotated[str | None, typer.Option(help="Which fields, separated by commas; the usual ones.")] = None,
    argument: Annotated[
        list[str] | None, typer.Option(help='An argument of the connection, such as \'range={"named": "TODAY"}\'.')
    ] = None,
    team: TeamOption = None,
) -> None:
    """Write a connection to standard output, as a user may see it."""
    from cli.exports import write_connection

    async def work() -> None:
        found = await _user(user, team)
        chosen = None if fields is None else [field.strip() for field in fields.split(",")]
        await write_connection(found, connection, format.value, chosen, argument or (), sys.stdout.buffer.write)

    _with_database(work)


@app.command()
def doctor() -> None:
    """Say what is wrong with this set-up and how to mend it."""
    from cli.doctor import examine

    bad = 0
    for finding in examine(load_settings()):
        mark = "[green]ok[/green]  " if finding.good else "[red]bad[/red] "
        console = Console()
        console.print(f"{mark} {finding.what}: {finding.detail}", highlight=False)
        if not finding.good:
            bad += 1
            console.print(f"      {finding.mend}", highlight=False)
    raise typer.Exit(1 if bad else 0)


@app.command("example-crm")
def example_crm(
    csv_dir: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="The folder of the CSV files.")],
) -> None:
    """Take the CRM example into a team of its own; the last line is its admin's token."""
    from cli import example_crm as example

    print(_with_database(lambda: example.run(csv_dir)))


@token_app.command("create")
def token_create(
    email: Annotated[str, typer.Argument(help="Whose token.")],
    name: Annotated[str, typer.Option(help="What it is for.")] = "Command line",
    scope: Annotated[list[str] | None, typer.Option(help="READ, WRITE, IMPORT or SCIM; all by default.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="When it ends; never by default.")] = None,
    team: TeamOption = None,
) -> None:
    """Make a token and print it, this once."""

    async def work() -> str:
        user = await _user(email, team)
        expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
        async with database.transaction(database.ALL_TEAMS) as connection:
            created = await tokens.create_token(
                connection, user.team_id, user.id, name=name, scopes=scope or ALL_SCOPES, expires_at=expires_at
            )
        return created.text

    print(_with_database(work))


@token_app.command("list")
def token_list(email: Annotated[str, typer.Argument(help="Whose tokens.")], team: TeamOption = None) -> None:
    """List a user's tokens."""

    async def work() -> Any:
        user = await _user(email, team)
        async with database.acquire(database.ALL_TEAMS) as connection:
            return await tokens.list_tokens(connection, user.team_id, user.id)

    table = Table(box=None)
    for title in ("id", "name", "scopes", "made", "ends", "last used", "state"):
        table.add_column(title)
    now = datetime.now(UTC)
    for token in _with_database(work):
        state = (
            "revoked" if token.revoked_at else "expired" if token.expires_at and token.expires_at <= now else "alive"
        )
        times = [
            f"{at:%Y-%m-%d %H:%M}" if at else "" for at in (token.created_at, token.expires_at, token.last_used_at)
        ]
        table.add_row(str(token.id), token.name, " ".join(token.scopes), *times, state)
    Console(width=160).print(table)


@token_app.command("revoke")
def token_revoke(
    token_id: Annotated[UUID, typer.Argument(help="From `sideline token list`.")],
    email: Annotated[str, typer.Option("--user", help="Whose token it is.")],
    team: TeamOption = None,
) -> None:
    """End a token, from its next use on."""

    async def work() -> bool:
        user = await _user(email, team)
        async with database.transaction(database.ALL_TEAMS) as connection:
            return await tokens.revoke_token(connection, user.team_id, token_id)

    print("revoked" if _with_database(work) else "it was revoked already")


@person_app.command("export")
def person_export(email: Annotated[str, typer.Argument(help="Whose data.")], team: TeamOption = None) -> None:
    """Write all data of a person to standard output, one JSON object a line; see domain/personal_data.py."""
    from domain.personal_data import begin_export_for_operator

    async def work() -> None:
        user = await _user(email, team)
        export = await begin_export_for_operator(user.team_id, user.id)
        async for lines in export.lines():
            sys.stdout.write(lines.decode())

    _with_database(work)


@person_app.command("erase")
def person_erase(
    email: Annotated[str, typer.Argument(help="Whose data.")],
    team: TeamOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a person's data on request, for good; ends their access. Their numbers stay as counts."""
    from cli.people import erase

    if not yes:
        typer.confirm(f"Erase all data of {email} for good? Their numbers stay as counts.", abort=True, err=True)

    async def work() -> str:
        return await erase(await _user(email, team))

    print(_with_database(work))


@app.command("rotate-keys")
def rotate_keys(
    data: Annotated[bool, typer.Option(help="Give each team a new data key too, and seal its bodies anew.")] = False,
) -> None:
    """Seal all stored secrets with the newest of SIDELINE_SECRET_KEYS; older ones can be taken out then."""

    async def work() -> tuple[int, int]:
        resealed = 0
        async with database.transaction(database.ALL_TEAMS) as connection:
            teams_here = [row["id"] for row in await connection.fetch("SELECT id FROM teams ORDER BY id")]
        for team_id in teams_here if data else ():
            await database.in_transaction(team_id, partial(bodies.rotate_data_key, team_id=team_id))
            while lot := await database.in_transaction(team_id, partial(bodies.seal_again, team_id=team_id)):
                resealed += lot
            await database.in_transaction(team_id, partial(bodies.forget_keys, team_id=team_id))
        return await database.in_transaction(database.ALL_TEAMS, bodies.reseal_secrets), resealed

    keys, resealed = _with_database(work)
    print(f"{keys} keys and secrets are sealed with the newest key; {resealed} bodies were sealed anew")


@audit_app.command("verify")
def audit_verify(team: TeamOption = None) -> None:
    """Walk the audit log's chain of hashes; of every team, or of one."""

    async def work() -> list[tuple[str, audit.Verification]]:
        async with database.transaction(database.ALL_TEAMS) as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            rows = await connection.fetch(
                "SELECT id, name FROM teams WHERE $1::text IS NULL OR name = $1 ORDER BY name, id", team
            )
            if not rows:
                raise NotFound(f"There is no team {team!r}." if team else "There is no team yet.")
            return [(row["name"], await audit.verify(connection, row["id"])) for row in rows]

    broken = False
    for name, found in _with_database(work):
        if found.reason is None:
            erased = f", {found.erased} of them without their details" if found.erased else ""
            print(f"{name}: {found.entries} entries hold together{erased}; the last hash is {found.head}")
        else:
            broken = True
            print(f"{name}: BROKEN at entry {found.broken_at}: {found.reason}")
    if broken:
        raise typer.Exit(1)


def _quiet(settings: Settings) -> None:
    logging.getLogger("tortoise").setLevel(logging.WARNING)
    os.environ.setdefault("SIDELINE_HOME", str(settings.home))


def main() -> None:
    """Run the command line; errors of ours are told in a sentence."""
    try:
        _quiet(load_settings())
        app()
    except (DomainError, ServiceError) as error:
        messages.print(f"[red]{error}[/red]", highlight=False)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
