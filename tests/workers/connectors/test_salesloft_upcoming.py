"""Upcoming work out of Salesloft: tasks and steps of cadences, through whole syncs against the double.

The double holds requests and answers of steps (actions) against Salesloft's published description.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from domain.database import acquire
from tests.doubles.salesloft import SalesloftDouble
from tests.workers.desk import Desk, wire_to


@pytest.fixture
def double() -> Iterator[SalesloftDouble]:
    with SalesloftDouble() as running:
        yield running
        assert running.problems == []


@pytest.fixture
async def desk(database: str, double: SalesloftDouble) -> AsyncIterator[Desk]:
    wire = wire_to({"salesloft": double.base_url})
    yield await Desk(wire).open(*double.people, timezone="America/New_York")
    await wire.close()


async def steps(desk: Desk) -> dict[str, tuple[str, str, str]]:
    async with acquire(desk.team) as connection:
        rows = await connection.fetch(
            "SELECT a.title, a.kind, a.state, u.email FROM scheduled_actions a JOIN users u ON u.id = a.user_id"
        )
    return {row["title"]: (row["kind"], row["state"], row["email"]) for row in rows}


async def test_what_reps_have_before_them(desk: Desk, double: SalesloftDouble) -> None:
    one, other = double.users
    first, second = double.people
    day = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    open_task = double.task(
        one, subject="Write to Ada", current_state="scheduled", completed_at=None, due_date=day, task_type="email"
    )
    double.task(other, subject="No day", current_state="scheduled", completed_at=None, due_date=None)
    double.task(other, subject="Done before")
    step = double.action(other)
    double.action(one, type="other")
    double.action(one, type="phone", due_on=(datetime.now(UTC) + timedelta(days=60)).isoformat())
    integration = await desk.connect("salesloft", tokens=double.secrets)
    await desk.sync(integration)
    assert await steps(desk) == {
        "Write to Ada": ("email", "SCHEDULED", first),
        "Call: New business, step 1": ("call", "SCHEDULED", second),
    }
    async with acquire(desk.team) as connection:
        due = await connection.fetchval("SELECT due_at FROM scheduled_actions WHERE title = 'Write to Ada'")
    assert due.astimezone(UTC).strftime("%H:%M") in ("03:59", "04:59"), "the end of the day in New York"

    # Both are done: the task says so, the step vanishes, and the call that completed it names it.
    with double.lock:
        open_task |= {"current_state": "completed", "completed_at": double.now().isoformat()}
    double.touch("/v2/tasks", open_task)
    with double.lock:
        del double.rows["/v2/actions"][step["id"]]
    double.call(other, from_step=True, action={"id": step["id"]})
    await desk.sync(integration)
    found = await steps(desk)
    assert found["Call: New business, step 1"] == ("call", "SUCCEEDED", second)
    assert {state for _kind, state, _email in found.values()} == {"SUCCEEDED"}


async def test_who_may_not_read_steps_goes_without(desk: Desk, double: SalesloftDouble) -> None:
    double.scopes.discard("actions:read")
    double.action(double.users[0])
    double.task(double.users[0], subject="T", current_state="scheduled", completed_at=None, due_date="2030-01-01")
    integration = await desk.connect("salesloft", tokens=double.secrets)
    await desk.sync(integration)
    assert set(await steps(desk)) == {"T"}


async def test_pages_of_steps_are_read_to_the_end(desk: Desk, double: SalesloftDouble) -> None:
    for number in range(230):
        double.action(double.users[0], step={"id": 10_000 + number})
    integration = await desk.connect("salesloft", tokens=double.secrets)
    await desk.sync(integration)
    async with acquire(desk.team) as connection:
        assert (
            await connection.fetchval("SELECT count(*) FROM scheduled_actions WHERE source LIKE '%salesloft%'") == 230
        )
