"""`sideline example-crm`: the CRM example as a team of its own."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from uuid import UUID

from cli.files import read_file
from domain import mapping, teams
from domain.database import ALL_TEAMS, Connection, acquire, in_transaction
from domain.errors import Invalid
from domain.imports import ImportOptions, take_file_in
from domain.mapping import ActivityMapping, PeopleRule
from domain.tokens import create_token
from domain.uploads import csv_rows

MAPPING = Path(__file__).resolve().parent.parent / "examples" / "maven-crm.toml"
TEAM_NAME = "Maven CRM"
ADMIN_EMAIL = "admin@maven.test"
SOURCE = "maven-crm"


def _file(csv_dir: Path, name: str | None) -> Path:
    if name is None or not (csv_dir / name).is_file():
        raise Invalid(f"{csv_dir} holds no {name}.", path=("CSV_DIR",))
    return csv_dir / name


async def _people(connection: Connection, rule: PeopleRule, file: Path) -> tuple[UUID, UUID]:
    team_id: UUID | None = await connection.fetchval("SELECT id FROM teams WHERE name = $1", TEAM_NAME)
    if team_id is None:
        team_id = await teams.create_team(connection, name=TEAM_NAME)
        role_id = await teams.role_named(connection, team_id, teams.ADMIN)
        await teams.create_user(
            connection,
            team_id,
            name="Maven Admin",
            email=ADMIN_EMAIL,
            role_id=role_id,
            is_rep=False,
            deals_access=True,
        )
    await mapping.create_people(connection, team_id, rule, [row for _number, row in csv_rows([file.read_bytes()])])
    admin_id: UUID = await connection.fetchval(
        "SELECT id FROM users WHERE team_id = $1 AND email = $2", team_id, ADMIN_EMAIL
    )
    return team_id, admin_id


async def run(csv_dir: Path) -> str:
    """Take the example in; a second run changes nothing. Returns a token of its admin.

    Raises:
        Invalid: a file is missing, or is not the example's.
    """
    loaded: ActivityMapping = mapping.load_mapping(MAPPING)
    assert loaded.rules.people is not None
    people_file = _file(csv_dir, loaded.rules.people.file)
    deals_file = _file(csv_dir, loaded.rules.file)

    async def people(connection: Connection) -> tuple[UUID, UUID]:
        assert loaded.rules.people is not None
        return await _people(connection, loaded.rules.people, people_file)

    team_id, admin_id = await in_transaction(ALL_TEAMS, people)
    done = await take_file_in(
        team_id,
        ImportOptions(SOURCE, "ndjson"),
        read_file(deals_file, "csv", MAPPING),
        holder=f"example-crm:{socket.gethostname()}:{os.getpid()}",
    )
    print(f"accepted {done.accepted}, unchanged {done.unchanged}, rejected {done.rejected}", file=sys.stderr)
    async with acquire(ALL_TEAMS) as connection:
        return (await create_token(connection, team_id, admin_id, name="CRM example")).text
