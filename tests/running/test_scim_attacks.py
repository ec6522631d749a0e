"""What a stranger may try at /scim/v2, against a real process; its answers have the protocol's own shape.

Invariants:
A. No value of any attribute, filter, page or path is answered with a fault, and no answer tells how the server is made.
B. An honest user goes on being answered, and nothing is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from domain.models.tokens import TokenScope
from domain.tokens import create_token
from tests.running.attacks import FORBIDDEN, Target, encoded
from tests.running.values import VALUES

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
AT_ONCE = 8
Request = tuple[str, str, bytes | None]


@pytest.fixture(scope="module")
def target(database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target(database_url, redis_url, tmp_path_factory.mktemp("target"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


async def scim_token(target: Target) -> str:
    connection: Any = await target.database()
    try:
        team = await connection.fetchval("SELECT team_id FROM users WHERE id = $1", target.admin.id)
        made = await create_token(connection, team, target.admin.id, name="idp", scopes=[TokenScope.SCIM])
    finally:
        await connection.close()
    return made.text


SOME = [*VALUES["String"], 5, None, [], {}, True, [{}], {"value": "\0"}, [{"value": "\0"}]]
ATTRIBUTES = ["userName", "externalId", "displayName", "active", "emails", "name", "schemas", "id", "roles", ENTERPRISE]
FILTERS = [
    'userName eq "\\u0000"',
    "userName eq",
    "(" * 5_000,
    'userName eq "a" and ' * 2_000 + "userName pr",
    "not (" * 900 + "userName pr" + ")" * 900,
    'emails[value eq "x"]',
    "a.b.c.d pr",
    'userName co "%_\\\\"',
    "userName eq 5",
    'meta.created gt "9999-12-31T23:59:59-14:00"',
    'meta.lastModified lt "0001-01-01T00:00:00+14:00"',
    'id eq "\\u0000"',
    'userName eq "\\ud800"',
    "\0",
]
QUERIES = [
    "startIndex=" + "9" * 5_000,
    "startIndex=-1",
    "startIndex=1e9",
    "count=99999999999999999999",
    "count=-99999999999999999999",
    "count=x",
    "sortBy=%00",
    "attributes=%00",
    "attributes=" + "a," * 5_000,
]
BODIES = [b"{", b"\xff", b"[]", b"7", b"", b"\0" * 9, b'{"a":' * 100_000, b'{"schemas":[' + b"1," * 3_000_000 + b"1]}"]
PATHS = ["Users/%00", "Users/" + "x" * 3_000, "%00", "Schemas/%00", "Users/..%2f", "Groups/%ff"]


def requests(user: str, group: str) -> Iterator[Request]:
    number = 0
    for name in ATTRIBUTES:
        for value in SOME:
            number += 1
            fits = {"schemas": [USER], "userName": f"q{number}@z.test", "roles": [{"value": "User"}]}
            yield "POST", "Users", encoded(**(fits | {name: value}))
            yield "PUT", f"Users/{user}", encoded(**(fits | {name: value}))
            for operations in (
                [{"op": "replace", "path": name, "value": value}],
                [{"op": "add", "value": {name: value}}],
            ):
                yield "PATCH", f"Users/{user}", encoded(schemas=[PATCH], Operations=operations)
    for name in ("displayName", "externalId", "members", "schemas"):
        for value in [*SOME, [{"value": user}] * 2_000]:
            number += 1
            yield "POST", "Groups", encoded(**({"schemas": [GROUP], "displayName": f"g{number}"} | {name: value}))
            operations = [{"op": "add", "path": name, "value": value}]
            yield "PATCH", f"Groups/{group}", encoded(schemas=[PATCH], Operations=operations)
    for kind in ("Users", "Groups"):
        for text in FILTERS:
            yield "POST", f"{kind}/.search", encoded(schemas=[SEARCH], filter=text)
            if len(quote(text)) < 50_000:
                yield "GET", f"{kind}?filter={quote(text)}", None
        for query in QUERIES:
            yield "GET", f"{kind}?{query}", None
        for body in BODIES:
            yield "POST", kind, body
            yield "POST", f"{kind}/.search", body
    for path in PATHS:
        for method in ("GET", "PUT", "PATCH", "DELETE", "POST"):
            yield method, path, encoded(schemas=[USER])


async def test_any_value_of_any_attribute(target: Target) -> None:
    headers = {"authorization": f"Bearer {await scim_token(target)}", "content-type": "application/scim+json"}
    limits = httpx.Limits(max_connections=AT_ONCE)
    base = f"{target.url}/scim/v2/"
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=60, limits=limits) as client:
        person = {"schemas": [USER], "userName": "z@z.test", "roles": [{"value": "User"}]}
        user = (await client.post("Users", content=encoded(**person))).json()["id"]
        group = (await client.post("Groups", content=encoded(schemas=[GROUP], displayName="Z"))).json()["id"]
        waiting = requests(user, group)

        async def some() -> None:
            for method, path, body in waiting:
                answer = await client.request(method, path, content=body)
                told = f"{method} {path[:100]} {(body or b'')[:300]!r}: {answer.status_code} {answer.text[:500]}"
                assert answer.status_code < 500, told
                assert not [one for one in (*FORBIDDEN, *target.tables, "pydantic") if one in answer.text], told
                assert answer.headers["x-request-id"]

        async with target.beside_an_honest_user():
            await asyncio.gather(*(some() for _ in range(AT_ONCE)))
