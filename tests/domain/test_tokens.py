"""Tokens are kept as a hash, can be derived, and stay revoked."""

from __future__ import annotations

import pytest

from domain.database import ALL_TEAMS, acquire
from domain.errors import Invalid, NotFound
from domain.identity import identify_by_digest
from domain.models.base import new_id
from domain.tokens import create_token, digest_of, list_tokens, new_token_text, revoke_token
from tests.factories import make_role, make_team, make_user


async def test_only_the_hash_is_kept(database: str) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection)
        user_id = await make_user(connection, team_id, await make_role(connection, team_id, "TEAM_VIEW"))
        created = await create_token(connection, team_id, user_id, name="one", scopes=["READ"])
        assert created.text.startswith("sl_")
        assert len(created.text) == 46
        row = await connection.fetchrow("SELECT * FROM tokens WHERE id = $1", created.id)
        assert created.text not in str(dict(row))
        identity = await identify_by_digest(connection, digest_of(created.text))
        assert identity is not None
        assert (identity.user_id, identity.scopes, identity.permissions) == (user_id, {"READ"}, {"TEAM_VIEW"})


async def test_a_derived_token_is_made_once_and_stays_revoked(database: str) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection)
        user_id = await make_user(connection, team_id, await make_role(connection, team_id))
        secret = new_token_text()
        first = await create_token(connection, team_id, user_id, name="one", secret=secret)
        assert (await create_token(connection, team_id, user_id, name="two", secret=secret)).id == first.id
        assert [token.name for token in await list_tokens(connection, team_id, user_id)] == ["one"]
        assert await revoke_token(connection, team_id, first.id)
        assert not await revoke_token(connection, team_id, first.id)
        await create_token(connection, team_id, user_id, name="one", secret=secret)
        assert await identify_by_digest(connection, digest_of(secret)) is None


async def test_what_does_not_fit_is_refused(database: str) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection)
        user_id = await make_user(connection, team_id, await make_role(connection, team_id))
        with pytest.raises(Invalid):
            await create_token(connection, team_id, user_id, name="x", scopes=["EVERYTHING"])
        with pytest.raises(Invalid):
            await create_token(connection, team_id, user_id, name="x", secret="sl_short")
        with pytest.raises(NotFound):
            await create_token(connection, await make_team(connection), user_id, name="x")
        with pytest.raises(NotFound):
            await revoke_token(connection, team_id, new_id())
