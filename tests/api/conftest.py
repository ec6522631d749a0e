"""The application in this process, on real services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from starlette.applications import Starlette

from api.app import create_app
from domain.database import ALL_TEAMS, acquire
from domain.settings import Settings
from domain.tokens import create_token
from tests.conftest import TEST_KEY


@dataclass
class Api:
    """The application, and a client of it."""

    app: Starlette
    http: httpx.AsyncClient

    async def token(self, user_id: UUID, **options: Any) -> str:
        """A token for a user."""
        async with acquire(ALL_TEAMS) as connection:
            team_id = await connection.fetchval("SELECT team_id FROM users WHERE id = $1", user_id)
            return (await create_token(connection, team_id, user_id, name="test", **options)).text

    async def query(self, token: str, document: str, **variables: Any) -> dict[str, Any]:
        """The answer to a document."""
        response = await self.http.post(
            "/graphql",
            json={"query": document, "variables": variables},
            headers={"authorization": f"Bearer {token}"},
        )
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def data(self, token: str, document: str, **variables: Any) -> Any:
        """The data of an answer without errors."""
        answer = await self.query(token, document, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]


def settings_for(database_url: str, redis_url: str, **more: Any) -> Settings:
    """Settings of a test's own."""
    values = {"demo": True, "database_pool_size": 8, "secret_keys": TEST_KEY, **more}
    return Settings(database_url=database_url, redis_url=redis_url, **values)


@pytest.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    """The application on the worker's database."""
    app = create_app(settings_for(database_url, redis_url))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sideline.test") as http,
    ):
        yield Api(app, http)
