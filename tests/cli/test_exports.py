"""`sideline export`: a connection as a user may see it, on standard output.

Invariants:
A. It writes what the API streams.
B. Arguments are given as name=value; what does not fit is told.
"""

from __future__ import annotations

import io
import json

import pytest

from cli.exports import arguments_of, write_connection
from domain.database import ALL_TEAMS, acquire
from domain.errors import Forbidden, Invalid, NotFound
from domain.models import User
from tests.factories import make_role, make_team, make_user


async def user_of(*permissions: str) -> User:
    async with acquire(ALL_TEAMS) as connection:
        team = await make_team(connection)
        role = await make_role(connection, team, *permissions)
        user_id = await make_user(connection, team, role, name="Ada")
        await make_user(connection, team, role, name="=Bo")
        row = await connection.fetchrow("SELECT * FROM users WHERE id = $1", user_id)
    return User._init_from_db(**dict(row))


def test_arguments() -> None:
    found = arguments_of(['range={"named": "TODAY"}', "search=a=b", "descending=false"])
    assert found == {"range": {"named": "TODAY"}, "search": "a=b", "descending": "false"}
    for wrong in ("range", "range={"):
        with pytest.raises(Invalid, match="--argument range"):
            arguments_of([wrong])


async def test_it_writes_what_the_user_may_see(database: str) -> None:
    out = io.BytesIO()
    everybody, alone = await user_of("TEAM_VIEW"), await user_of()
    assert await write_connection(everybody, "users", "csv", ["name"], ["orderBy=NAME"], out.write) == 2
    assert out.getvalue() == b"name\r\n'=Bo\r\nAda\r\n"
    out = io.BytesIO()
    assert await write_connection(alone, "users", "ndjson", ["name"], (), out.write) == 1
    assert json.loads(out.getvalue()) == {"name": "Ada"}
    with pytest.raises(Forbidden):
        await write_connection(alone, "auditLog", "csv", None, (), out.write)
    with pytest.raises(NotFound):
        await write_connection(alone, "nothing", "csv", None, (), out.write)
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET active = false WHERE id = $1", alone.id)
    with pytest.raises(Invalid, match="not active"):
        await write_connection(alone, "users", "csv", None, (), out.write)
