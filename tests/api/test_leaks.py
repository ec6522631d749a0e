"""No leak by the side door: what a viewer may not see does not show in anything that they get.

Invariant: after a change of nothing but hidden data, every answer to the viewer is the same, byte for byte, but for the
request's own id: values, counts, totals, orders, ranks, cursors, trends, goals, errors and costs.
"""

from __future__ import annotations

import re
from datetime import datetime
from random import Random
from typing import Any

import pytest

from domain import ingest
from domain.database import ALL_TEAMS, acquire
from domain.ids import encode_id
from domain.models.base import new_id
from domain.records import decode_mapping
from tests.api.conftest import Api
from tests.api.test_matrix import RECORDS, USER_ARGUMENTS, World
from tests.factories import make_group, make_role, make_team, make_user

REQUEST_ID = re.compile(r'"requestId":"[0-9a-f]+"')
RANGE = '{from: "2026-01-01", to: "2026-12-31"}'
CELLS = (
    "metric value previous change goal attainment available progress { actual target pace forecast status } "
    "trend(interval: MONTH) { start value goal }"
)
PAGE = "totalCount pageInfo { hasNextPage startCursor endCursor }"
QUESTIONS = (
    "{ viewer { user { id name manager { id } group { id parent { id } } } permissions coaching { tabs } } }",
    f"{{ users {{ {PAGE} edges {{ cursor node {{ id name email active manager {{ id }} group {{ id }} }} }} }} }}",
    f'{{ users(filter: {{search: "secret"}}) {{ {PAGE} nodes {{ id }} }} }}',
    f"{{ users(last: 2, orderBy: EMAIL) {{ {PAGE} nodes {{ id }} }} }}",
    f"{{ groups {{ {PAGE} nodes {{ id name parent {{ id }} members {{ totalCount nodes {{ id }} }}"
    " goals { totalCount } } } }",
    f"{{ activities {{ {PAGE} edges {{ cursor node {{ id source user {{ id }} }} }} }} }}",
    f"{{ activities(filter: {{kinds: [CALL, OPPORTUNITY]}}) {{ {PAGE} nodes {{ id }} }} }}",
    f"{{ goals {{ {PAGE} nodes {{ id target version derived progress {{ actual target status }} }} }} }}",
    f"{{ teamDashboard(range: {RANGE}) {{ metrics {{ {CELLS} }} groups {{ group {{ id }} metrics {{ {CELLS} }} }}"
    f" reps {{ {PAGE} edges {{ cursor node {{ rank user {{ id }} metrics {{ {CELLS} }} }} }} }}"
    " fallingBehind { rank user { id } } } }",
    f"{{ individualDashboard(range: {RANGE}) {{ metrics {{ mine {{ {CELLS} }} peerCount peerAverage peerMedian"
    " percentile } } }",
    f"{{ individuals(range: {RANGE}, sortBy: CLOSED_WON_AMOUNT) {{ {PAGE} edges {{ cursor node {{ rank"
    " user { id } metrics { value } } } } }",
    "{ metrics { key available unavailableReason } roles { name } }",
    f"{{ scores(range: {RANGE}, kind: ACTIVITY) {{ {PAGE} edges {{ cursor node {{ rank user {{ id }} score {{ value"
    " pace previous gap workingDays components { actual target contribution }"
    " trend(interval: MONTH) { value } } } } } }",
    f"{{ groupScores(range: {RANGE}, kind: ACTIVITY) {{ group {{ id }} value previous scoredMembers }}"
    " scoreDefinitions { id role { id } components { metric weight } } }",
    f"{{ accolades {{ {PAGE} edges {{ cursor node {{ id title message user {{ id }} grantedBy {{ id }} }} }} }} }}",
)
ROLES = {
    "none": (),
    "TEAM_VIEW": ("same", "below", "report", "gone"),
    "MANAGE_GOALS": ("same", "below", "report", "gone"),
    "VIEW_EMAIL_CONTENT": (),
    "everything": ("same", "below", "report", "gone"),
}
"""The roles, and whom besides oneself each may see the data or the goals of."""


class StandingClock(datetime):
    """What stands in a forecast changes with the time of day."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime(2026, 11, 24, 12, tzinfo=tz)


@pytest.fixture(autouse=True)
def standing_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.graphql.datetime", StandingClock)


async def answers(api: Api, token: str, world: World) -> list[str]:
    found = []

    async def ask(document: str, **variables: Any) -> None:
        response = await api.http.post(
            "/graphql",
            json={"query": document, "variables": variables},
            headers={"authorization": f"Bearer {token}"},
        )
        told = REQUEST_ID.sub("", response.text)
        found.append(f"{response.status_code} {told}")

    for document in QUESTIONS:
        await ask(document)
    for document in (text for text in USER_ARGUMENTS.values() if text.startswith("query")):
        for one in world.nodes["User"].values():
            await ask(document, id=one)
    everything = [one for ids in world.nodes.values() for one in ids.values()]
    await ask(
        "query($ids: [ID!]!) { nodes(ids: $ids) { id __typename ... on Goal { target history { version } }"
        " ... on EmailActivity { subject body } } }",
        ids=everything,
    )
    return found


async def change_what_is_hidden(world: World, hidden: list[str], random: Random) -> None:
    for relation in hidden:
        user_id = world.users[relation]
        async with acquire(ALL_TEAMS) as connection:
            row = await connection.fetchrow("SELECT team_id, email FROM users WHERE id = $1", user_id)
            await connection.execute(
                "UPDATE users SET name = $2, deals_access = NOT deals_access WHERE id = $1",
                user_id,
                f"secret {random.random()}",
            )
            await connection.execute(
                "UPDATE goal_versions SET target = $2 WHERE goal_id IN (SELECT id FROM goals WHERE user_id = $1)",
                user_id,
                random.randrange(1, 1000),
            )
            await connection.execute(
                "INSERT INTO accolades (id, team_id, user_id, title, achieved_on) "
                "VALUES ($1, $2, $3, 'x', '2026-04-01')",
                new_id(),
                row["team_id"],
                user_id,
            )
        records = [
            {
                **RECORDS[random.choice(list(RECORDS))],
                "externalId": f"hidden {relation} {number}",
                "user": row["email"],
                "occurredAt": f"2026-0{random.randrange(1, 10)}-{random.randrange(10, 28)}T12:00:00Z",
            }
            for number in range(random.randrange(1, 30))
        ]
        outcome = await ingest.take_in(
            row["team_id"], "crm", [(n, decode_mapping(one)) for n, one in enumerate(records)]
        )
        assert not outcome.errors, outcome.errors
    async with acquire(ALL_TEAMS) as connection:
        group = await make_group(connection, world.team, f"secret {random.random()}", world.groups["branch"])
        role = await connection.fetchval("SELECT role_id FROM users WHERE id = $1", world.users["branch"])
        newcomer = await make_user(connection, world.team, role, name="secret", group_id=group)
        await connection.execute("UPDATE users SET manager_id = $2 WHERE id = $1", world.users["branch"], newcomer)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("role", ROLES)
async def test_hidden_data_does_not_show(api: Api, role: str, seed: int) -> None:
    world = await World(grouped=True).build()
    await world.become(role)
    token = await api.token(world.viewer)
    before = await answers(api, token, world)
    hidden = [name for name in world.users if name != "me" and name not in ROLES[role]]
    await change_what_is_hidden(world, hidden, Random(seed))
    after = await answers(api, token, world)
    for old, new in zip(before, after, strict=True):
        assert old == new


async def test_the_look_itself_would_notice(api: Api) -> None:
    world = await World(grouped=True).build()
    await world.become("admin")
    token = await api.token(world.viewer)
    before = await answers(api, token, world)
    await change_what_is_hidden(world, ["branch"], Random(0))
    after = await answers(api, token, world)
    changed = [old != new for old, new in zip(before, after, strict=True)]
    assert sum(changed[: len(QUESTIONS)]) >= 7, "an Admin sees the same change in most answers"


async def test_a_rate_that_few_peers_have_is_nobodys_to_read_off(api: Api) -> None:
    """The median of a rate that one peer alone has is that peer's; who may see each of them is told it."""
    async with acquire(ALL_TEAMS) as connection:
        team = await make_team(connection)
        plain, seeing = await make_role(connection, team), await make_role(connection, team, "TEAM_VIEW")
        me, *peers = [await make_user(connection, team, plain, email=f"r{n}@peers.test") for n in range(5)]
        boss = await make_user(connection, team, seeing, is_rep=False)
    question = (
        f"query($id: ID) {{ individualDashboard(range: {RANGE}, userId: $id, metrics: [CONNECT_RATE]) {{ metrics {{"
        " peerCount peerAverage peerMedian percentile } } }"
    )
    shown = []
    for callers in range(1, len(peers) + 1):
        calls = [
            {"kind": "call", "externalId": f"{callers}", "user": f"r{callers}@peers.test", "connected": True}
            | {"occurredAt": "2026-03-04T10:00:00Z"},
            {"kind": "call", "externalId": "own", "user": "r0@peers.test", "occurredAt": "2026-03-04T10:00:00Z"},
        ]
        await ingest.take_in(team, "t", [(n, decode_mapping(one)) for n, one in enumerate(calls)])
        (mine,) = (await api.data(await api.token(me), question))["individualDashboard"]["metrics"]
        (theirs,) = (await api.data(await api.token(boss), question, id=encode_id("User", me)))["individualDashboard"][
            "metrics"
        ]
        assert (mine["peerCount"], theirs["peerMedian"]) == (4, "1")
        shown.append((mine["peerAverage"], mine["peerMedian"], mine["percentile"]))
    assert shown == [(None, None, None)] * 2 + [("1", "1", 0.0)] * 2
