"""Who may see whom.

Invariants:
A. The predicate, the SQL filter and the brute force agree for every pair of users and for every group.
B. Nothing of another team is ever in sight.
C. Tabs and filters are those of the design for each combination of permissions.
D. Peers are shown without names only, to oneself, from three on, unless the team turned it off.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import chain, combinations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import access
from domain.access import Sight, Tab
from domain.database import ALL_TEAMS, acquire, connect, disconnect
from domain.errors import Forbidden, NotFound
from domain.models.base import new_id
from domain.models.people import Permission
from tests.factories import make_group, make_role, make_team, make_user, viewer_of
from tests.oracle.access import World


def random_world(seed: int) -> World:
    random = Random(seed)
    world = World()
    for group in range(random.choice((0, 0, 1, 3, 6))):
        world.groups[group] = random.choice([None, *range(group)]) if group else None
    people = random.randrange(1, 9)
    for user in range(people):
        world.user_group[user] = random.choice([None, *world.groups])
        manager = random.choice([None, *range(people)])
        world.user_manager[user] = None if manager == user else manager  # circles are possible
        world.permissions[user] = {permission for permission in Permission if random.random() < 0.5}
    if random.random() < 0.5:
        world.admins.add(random.randrange(people))
    return world


def test_predicate_filter_and_brute_force_agree(database_url: str) -> None:
    @settings(max_examples=30)
    @given(seed=st.integers(0, 2**32))
    def run(seed: int) -> None:
        asyncio.run(_agree(database_url, random_world(seed)))

    run()


async def _agree(database_url: str, world: World) -> None:
    await connect(database_url, pool_size=2)
    try:
        async with acquire(ALL_TEAMS) as connection:
            team_id = await make_team(connection)
            stranger_team = await make_team(connection)
            stranger_role = await make_role(connection, stranger_team)
            stranger = await make_user(connection, stranger_team, stranger_role)
            groups = {}
            for group, parent in world.groups.items():
                groups[group] = await make_group(
                    connection, team_id, f"g{group}", None if parent is None else groups[parent]
                )
            users = {}
            admin_role = await make_role(connection, team_id, is_admin=True) if world.admins else None
            for user, group in world.user_group.items():
                role = await make_role(connection, team_id, *world.permissions[user])
                if user in world.admins and admin_role is not None:
                    role = admin_role
                users[user] = await make_user(
                    connection, team_id, role, group_id=None if group is None else groups[group]
                )
            for user, manager in world.user_manager.items():
                if manager is not None:
                    await connection.execute(
                        "UPDATE users SET manager_id = $2 WHERE id = $1", users[user], users[manager]
                    )
            for user, user_id in users.items():
                viewer = await viewer_of(connection, user_id)
                for permission in (Permission.TEAM_VIEW, Permission.MANAGE_GOALS):
                    expected = {users[other] for other in world.sees(user, permission)}
                    sight = await access.see_users(connection, viewer, permission)
                    assert {one for one in users.values() if sight.sees(team_id, one)} == expected
                    arguments: list[object] = []
                    condition = sight.filter("u.id", arguments, team_column="u.team_id")
                    rows = await connection.fetch(f"SELECT u.id FROM users u WHERE {condition}", *arguments)
                    assert {row["id"] for row in rows} == expected
                    assert not sight.sees(stranger_team, stranger)
                    group_sight = await access.see_groups(connection, viewer, permission)
                    assert {one for one in groups.values() if group_sight.sees(team_id, one)} == {
                        groups[group] for group in world.sees_groups(user, permission)
                    }
    finally:
        await disconnect()


@pytest.mark.parametrize(
    "allowed", list(chain.from_iterable(combinations(Permission, size) for size in range(len(Permission) + 1)))
)
async def test_tabs_follow_the_permissions(database: str, allowed: tuple[Permission, ...]) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection)
        role = await make_role(connection, team_id, *allowed)
        viewer = await viewer_of(connection, await make_user(connection, team_id, role))
    landing, tabs = access.coaching_tabs(viewer)
    team_view = Permission.TEAM_VIEW in allowed
    assert landing is (Tab.TEAM if team_view else Tab.INDIVIDUAL)
    assert {Tab.TEAM, Tab.INDIVIDUAL, Tab.INDIVIDUAL_VIEW, Tab.SCHEDULED_ACTIONS} <= set(tabs)
    assert (Tab.MANAGER_VIEW in tabs) is team_view
    assert (Tab.LIVE_CALL_STUDIO in tabs) is (team_view and Permission.LIVE_CALL_STUDIO in allowed)
    assert access.may_manage_goals(viewer) is (Permission.MANAGE_GOALS in allowed)
    own, other = viewer.user_id, new_id()
    assert access.may_read_email_body(viewer, own)
    assert access.may_read_email_body(viewer, other) is (team_view and Permission.VIEW_EMAIL_CONTENT in allowed)
    groups = Sight(team_id, False, frozenset({other}))
    if team_view:
        access.require_group(viewer, groups, other)
        with pytest.raises(NotFound):
            access.require_group(viewer, groups, own)
    else:
        with pytest.raises(Forbidden):
            access.require_group(viewer, groups, other)


async def test_peers_are_shown_from_three_on_unless_turned_off(database: str) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection)
        role = await make_role(connection, team_id)
        viewer = await viewer_of(connection, await make_user(connection, team_id, role))
    own = Sight(team_id, False, frozenset({viewer.user_id}))
    two, three = frozenset({new_id(), new_id()}), frozenset({new_id(), new_id(), new_id()})
    assert access.see_peers(viewer, own, viewer.user_id, two) is None
    shown = access.see_peers(viewer, own, viewer.user_id, three)
    assert shown is not None
    assert shown.ids == three
    assert access.see_peers(viewer, own, new_id(), three) is None
    assert access.see_peers(replace(viewer, show_peer_statistics=False), own, viewer.user_id, three) is None
