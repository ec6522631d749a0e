"""Bounds of what a request may ask for.

Invariants:
A. The cost of a document is what the cost model says: a computation that writes every entry out agrees.
B. Depth, aliases, tokens, cost, size and time each have a bound with a typed error and a request id; honest documents
   (GraphiQL's own, the examples) are far within.
C. Bombs (doubling fragments, circles, aliases, deep nesting, circular introspection) are refused in time that grows
   with their length alone.
D. A credential's budget is one for all processes, slides, tells what is left, and comes back; another's is untouched.
E. Introspection and GraphiQL can be switched off. Lists of operations are refused.
F. Garbage (invalid UTF-8, deep JSON, wrong types) gets a typed refusal, never an error of ours.
G. The cost is that of the operation which is executed, whatever form its page sizes have.
H. What is kept of documents has a bound.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from graphql import get_introspection_query, get_operation_ast, parse

from api.app import create_app
from api.budget import BudgetSpent, spend
from api.extensions import KNOWN_CHARACTERS, checked, is_known
from api.limits import Limits, cost_of, page_sizes
from api.schema.root import schema
from domain.database import ALL_TEAMS, acquire
from tests.api.conftest import Api, settings_for
from tests.factories import make_role, make_team, make_user, viewer_of


@asynccontextmanager
async def served(database_url: str, redis_url: str, **bounds: Any) -> AsyncIterator[tuple[Api, str]]:
    """The application with some bounds, and an Admin's token."""
    app = create_app(settings_for(database_url, redis_url, **bounds))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://sideline.test"
        ) as http,
    ):
        api = Api(app, http)
        async with acquire(ALL_TEAMS) as connection:
            team = await make_team(connection)
            admin = await make_user(connection, team, await make_role(connection, team, is_admin=True))
        yield api, await api.token(admin)


async def refused(api: Api, token: str, document: str, **variables: Any) -> dict[str, Any]:
    answer = await api.query(token, document, **variables)
    assert answer.get("data") is None
    (error, *_) = answer["errors"]
    assert error["extensions"]["requestId"]
    return error


def cost(text: str, **variables: Any) -> int:
    document = parse(text)
    operation = get_operation_ast(document)
    assert operation is not None
    return cost_of(schema._schema, document, operation, variables)


@pytest.mark.parametrize(
    ("text", "variables", "expected"),
    [
        ("{ viewer { user { name } } }", {}, 3),
        ("{ users(first: 7) { nodes { id name } } }", {}, 1 + 1 + 7 * 2),
        ("{ users { nodes { id } } }", {}, 1 + 1 + 50),
        ("query($n: Int) { users(first: $n) { edges { node { id } } } }", {"n": 3}, 1 + 1 + 3 * 2),
        ("query($n: Int = 4) { users(first: $n) { edges { node { id } } } }", {}, 1 + 1 + 4 * 2),
        ("query($n: Int) { users(first: $n) { nodes { id } } }", {"n": None}, 1 + 1 + 50),
        ('{ nodes(ids: ["a", "b"]) { id } }', {}, 1 + 2),
        ("query($i: [ID!]!) { nodes(ids: $i) { id } }", {"i": ["a", "b", "c"]}, 1 + 3),
        ("{ users(first: 2) { totalCount nodes { goals(first: 3) { nodes { id } } } } }", {}, 1 + 21 + 1 + 2 * (2 + 3)),
        ("{ users(first: 2) { ...f } } fragment f on UserConnection { nodes { id } }", {}, 1 + 1 + 2),
        ("{ node(id: 1) { ... on User { name } id } }", {}, 1 + 2),
        ("{ metrics { key } }", {}, 1 + 33),
        ("{ __typename }", {}, 1),
        ("{ users(first: 100000) { nodes { id } } }", {}, 1 + 1 + 500),
    ],
)
def test_the_cost_model(text: str, variables: dict[str, Any], expected: int) -> None:
    assert cost(text, **variables) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [({"n": 500.0}, 500), ({"n": 10**12}, 500), ({"n": -5}, 0), ({"n": None}, 50), ({}, 4), ({"n": "7"}, 50)],
)
def test_sizes_of_pages_in_any_form(given: dict[str, Any], expected: int) -> None:
    text = "query($n: Int = 4) { users(first: $n) { nodes { id } } }"
    assert cost(text, **page_sizes(given)) == 2 + expected


def test_what_is_kept_of_documents_is_bounded() -> None:
    limits = Limits(20, 100, 5_000, 300_000, introspection=True)
    texts = [f"# {'x' * 20_000}{n}\n{{ __typename }}" for n in range(2 * KNOWN_CHARACTERS // 20_000)]
    for text in texts:
        checked(schema._schema, text, limits)
    known = [text for text in texts if is_known(text, limits)]
    assert known == texts[-len(known) :]
    assert 0 < sum(len(text) for text in known) <= KNOWN_CHARACTERS
    assert checked(schema._schema, texts[-1], limits)[0] is checked(schema._schema, texts[-1], limits)[0]


async def test_an_operation_that_is_not_named_is_none(database_url: str, redis_url: str) -> None:
    heavy = "users(first: 500) { nodes { goals(first: 500) { nodes { id history { version } } } } }"
    async with served(database_url, redis_url) as (api, token):
        for text in (
            f"query a {{ {heavy} }} query b {{ __typename }}",
            "query a { __typename } mutation b { __typename }",
        ):
            error = await refused(api, token, text)
            assert error["extensions"]["code"] == "BAD_REQUEST"
            headers = {"authorization": f"Bearer {token}"}
            response = await api.http.get("/graphql", params={"query": text}, headers=headers)
            assert response.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


def test_doubling_fragments_are_counted_without_writing_them_out() -> None:
    steps = 200
    text = "{ viewer { user { ...f0 } } }" + "".join(
        f"fragment f{n} on User {{ manager {{ ...f{n + 1} }} m: manager {{ ...f{n + 1} }} }}" for n in range(steps)
    )
    began = time.perf_counter()
    assert cost(text + f"fragment f{steps} on User {{ name }}") == 10**15
    # Written out it would be 2^200 fields: this is no measure of speed.
    assert time.perf_counter() - began < 30


BOMBS = {
    "depth": ("{ viewer { user { " + "manager { " * 30 + "id" + " }" * 30 + " } } }", "LIMIT_EXCEEDED"),
    "nesting": ("{ a" * 1200 + " }" * 1200, "GRAPHQL_VALIDATION_FAILED"),
    "aliases": ("{ " + " ".join(f"a{n}: __typename" for n in range(300)) + " }", "LIMIT_EXCEEDED"),
    "tokens": ("{ " + "__typename " * 6000 + "}", "GRAPHQL_VALIDATION_FAILED"),
    "characters": ("{ __typename }" + "#" * 10_000_000, "LIMIT_EXCEEDED"),
    "fragments": (
        "{ viewer { user { ...f0 } } }"
        + "".join(
            f"fragment f{n} on User {{ manager {{ ...f{n + 1} }} m: manager {{ ...f{n + 1} }} }}" for n in range(90)
        )
        + "fragment f90 on User { name }",
        "LIMIT_EXCEEDED",
    ),
    "wide fragments": (
        "{ viewer { user { ...f0 } } }"
        + "".join(f"fragment f{n} on User {{ ...f{n + 1} ...f{n + 1} }}" for n in range(90))
        + "fragment f90 on User { nothing }",
        "GRAPHQL_VALIDATION_FAILED",
    ),
    "circle": (
        "{ viewer { user { ...a } } } fragment a on User { manager { ...b } } fragment b on User { ...a }",
        "GRAPHQL_VALIDATION_FAILED",
    ),
    "introspection": (
        "{ __schema { types { " + "fields { type { " * 6 + "name" + " } }" * 6 + " } } }",
        "GRAPHQL_VALIDATION_FAILED",
    ),
    "pages": (
        "{ users(first: 500) { nodes { goals(first: 500) { nodes { history { version } progress { pace } } } } } }",
        "LIMIT_EXCEEDED",
    ),
    "values": ("{ node(id: " + "[" * 2000 + "]" * 2000 + ") { id } }", "GRAPHQL_VALIDATION_FAILED"),
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_bombs_are_refused(database_url: str, redis_url: str, bomb: str) -> None:
    document, code = BOMBS[bomb]
    async with served(database_url, redis_url) as (api, token):
        error = await refused(api, token, document)
        assert error["extensions"]["code"] == code, error
        honest = await api.data(token, "{ viewer { user { name } } }")
    assert honest["viewer"]["user"]["name"]


async def test_honest_documents_are_far_within(database_url: str, redis_url: str) -> None:
    from tests.running.test_graphiql import EXAMPLES

    async with served(database_url, redis_url) as (api, token):
        answer = await api.query(token, get_introspection_query())
        assert answer["extensions"]["cost"]["requested"] < 150_000
        assert "errors" not in answer
        for file in sorted(EXAMPLES.glob("*.graphql")):
            text = file.read_text()
            operation = get_operation_ast(parse(text))
            if operation is not None:
                assert cost_of(schema._schema, parse(text), operation, {}) < 200_000, file


async def test_switches(database_url: str, redis_url: str) -> None:
    async with served(database_url, redis_url, introspection=False, graphiql=False) as (api, token):
        error = await refused(api, token, "{ __schema { types { name } } }")
        assert "introspection" in error["message"].lower()
        assert await api.data(token, "{ __typename }") == {"__typename": "Query"}
        page = await api.http.get("/graphql", headers={"accept": "text/html"})
        assert page.status_code == 404


async def test_the_budget_is_told_and_kept(database_url: str, redis_url: str) -> None:
    async with served(database_url, redis_url, cost_per_minute=100) as (api, token):
        headers = {"authorization": f"Bearer {token}"}
        body = {"query": "{ users(first: 40) { nodes { id } } }"}
        for left in (58, 16):
            response = await api.http.post("/graphql", json=body, headers=headers)
            assert response.status_code == 200
            assert response.json()["extensions"] == {"cost": {"requested": 42, "limit": 300_000}}
            assert response.headers["ratelimit-policy"] == '"cost";q=100;w=60'
            assert response.headers["ratelimit"].startswith(f'"cost";r={left};t=')
        response = await api.http.post("/graphql", json=body, headers=headers)
        assert response.status_code == 429
        assert 1 <= int(response.headers["retry-after"]) <= 60
        assert response.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
        small = await api.http.post("/graphql", json={"query": "{ __typename }"}, headers=headers)
        assert small.status_code == 200, "what is left can be spent"


async def test_the_budget_slides(api: Api, database_url: str) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team = await make_team(connection)
        viewer = await viewer_of(connection, await make_user(connection, team, await make_role(connection, team)))
    redis = api.app.state.queue
    key = f"sideline:cost:{{{viewer.user_id}}}"
    spent = await spend(redis, viewer, 100, 100)
    assert spent is not None
    assert spent.remaining == 0
    with pytest.raises(BudgetSpent):
        await spend(redis, viewer, 1, 100)
    assert await spend(redis, replace(viewer, token_id=team), 100, 100), "another credential's is its own"
    # A window later all of it counts still by the share that is left; two windows later none.
    index = int(await redis.hget(key, "index"))
    await redis.hset(key, "index", index - 1)
    clock, micros = await redis.time()
    share = 1 - ((clock + micros / 1e6) / 60 % 1)
    allowed = 0
    while True:
        try:
            await spend(redis, viewer, 1, 100)
        except BudgetSpent as error:
            waits = error.spent.seconds
            break
        allowed += 1
    assert 0 < waits <= 60
    assert abs(allowed - 100 * (1 - share)) <= 3
    await redis.hset(key, "index", index - 2)
    assert (await spend(redis, viewer, 100, 100)).remaining == 0  # type: ignore[union-attr]


async def test_many_at_once_never_spend_more(api: Api) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team = await make_team(connection)
        viewer = await viewer_of(connection, await make_user(connection, team, await make_role(connection, team)))
    outcomes = await asyncio.gather(
        *(spend(api.app.state.queue, viewer, 7, 100) for _ in range(40)), return_exceptions=True
    )
    granted = [one for one in outcomes if not isinstance(one, BaseException)]
    assert len(granted) == 14
    assert all(isinstance(one, BudgetSpent) for one in outcomes if isinstance(one, BaseException))


async def test_what_takes_too_long_is_given_up(database_url: str, redis_url: str, monkeypatch: Any) -> None:
    async def slow(connection: Any, *_: Any) -> Any:
        return await connection.fetch("SELECT pg_sleep(3600)")

    async with served(database_url, redis_url, request_seconds=0.5) as (api, token):
        monkeypatch.setattr("domain.people.list_roles", slow)
        response = await api.http.post(
            "/graphql", json={"query": "{ roles { name } }"}, headers={"authorization": f"Bearer {token}"}
        )
        assert response.json()["errors"][0]["extensions"]["code"] == "TIMEOUT", response.text
        async with acquire(ALL_TEAMS) as connection:
            deadline = time.monotonic() + 20
            while await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(3600)%' AND state = 'active'"
                " AND datname = current_database()"
            ):
                assert time.monotonic() < deadline, "PostgreSQL still works at it"
                await asyncio.sleep(0.02)


GARBAGE = {
    "invalid UTF-8": (b'{"query": "{ \xff\xfe }"}', 400),
    "no JSON": (b"{", 400),
    "deep JSON": (b'{"query": "{ __typename }", "variables": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", 400),
    "a list": (b'[{"query": "{ __typename }"}, {"query": "{ __typename }"}]', 400),
    "a number": (b"7", 400),
    "a query that is none": (b'{"query": 7}', 400),
    "variables that are none": (b'{"query": "{ __typename }", "variables": 7}', 400),
    "nothing": (b"", 400),
    "too much": (b'{"query": "' + b"#" * (17 * 2**20) + b'"}', 413),
}


@pytest.mark.parametrize("kind", GARBAGE)
async def test_garbage_is_refused(database_url: str, redis_url: str, kind: str) -> None:
    body, status = GARBAGE[kind]
    async with served(database_url, redis_url) as (api, token):
        response = await api.http.post(
            "/graphql",
            content=body,
            headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
        )
        assert response.status_code == status, response.text[:500]
        (error,) = json.loads(response.text)["errors"]
        assert error["extensions"]["code"] in ("BAD_REQUEST", "INVALID")
        assert "Traceback" not in response.text
        assert await api.data(token, "{ __typename }")


async def test_trusted_documents(api: Api) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team = await make_team(connection)
        admin = await make_user(connection, team, await make_role(connection, team, is_admin=True))
    boss, bound = await api.token(admin), await api.token(admin, trusted_documents_only=True)
    text = "query Mine { viewer { user { id } } }"
    error = await refused(api, bound, text)
    assert error["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"
    add = (
        "mutation($i: AddTrustedDocumentInput!) { addTrustedDocument(input: $i) { document { hash } errors { path } } }"
    )
    wrong = await api.data(boss, add, i={"name": "Mine", "text": "{ nothing }"})
    assert wrong["addTrustedDocument"] == {"document": None, "errors": [{"path": ["input", "text"]}]}
    for _ in range(2):
        added = await api.data(boss, add, i={"name": "Mine", "text": text})
    digest = added["addTrustedDocument"]["document"]["hash"]
    assert (await api.data(bound, text))["viewer"]["user"]["id"]
    by_hash = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest}}}
    for token in (bound, boss):
        response = await api.http.post("/graphql", json=by_hash, headers={"authorization": f"Bearer {token}"})
        assert response.json()["data"]["viewer"]["user"]["id"]
    own = await refused(api, bound, 'mutation { createToken(input: {name: "x", scopes: [READ]}) { text } }')
    assert own["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"
    remove = "mutation($h: String!) { removeTrustedDocument(input: {hash: $h}) { errors { code } } }"
    assert (await api.data(boss, remove, h=digest))["removeTrustedDocument"]["errors"] == []
    error = await refused(api, bound, text)
    assert error["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"
    response = await api.http.post("/graphql", json=by_hash, headers={"authorization": f"Bearer {boss}"})
    assert response.json()["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
    log = await api.data(boss, "{ auditLog { nodes { action } } }")
    assert [one["action"] for one in log["auditLog"]["nodes"]] == ["DOCUMENT_NOT_TRUSTED", "DOCUMENT_TRUSTED"]
