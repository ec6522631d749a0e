"""Series of meetings through the runner, from the calendars that are read through an API.

Invariants:
A. Of a series, what is over and what comes next are there; an occurrence that is moved stays itself, one that is
   deleted is cancelled, a series that is deleted goes.
B. A full listing takes nothing away that is still there.
C. A meeting that two people have in their calendars is counted once, for who booked it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.database import acquire
from tests.doubles.base import Double
from tests.doubles.google_calendar import GoogleCalendarDouble
from tests.doubles.microsoft365 import Microsoft365Double, _originals
from tests.workers.desk import Desk, wire_to

pytestmark = pytest.mark.usefixtures("database")

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(params=[GoogleCalendarDouble, Microsoft365Double])
def double(request: pytest.FixtureRequest) -> Iterator[Double]:
    with request.param() as running:
        yield running


@pytest.fixture
async def desk(double: Double) -> AsyncIterator[Desk]:
    opened = await Desk(wire_to({double.kind: double.base_url})).open(*double.people)
    yield opened
    await opened.wire.close()


async def connect(desk: Desk, double: Double) -> UUID:
    """The connection of the first of the double's people, synced."""
    owner = await desk.viewer(desk.people[double.people[0]])
    connection = await desk.connect(double.kind, viewer=owner, settings=double.settings, tokens=double.secrets)
    await desk.work()
    return connection


def make_series(double: Any, first: datetime) -> tuple[str, list[datetime]]:
    """A daily series of six; its id, and where its occurrences start."""
    series = double.put_event(first, step=DAY, count=6, created=first - DAY)
    if isinstance(double, GoogleCalendarDouble):
        return series, double.originals(series)
    return series, _originals(double.events[series])


def move(double: Any, series: str, original: datetime) -> None:
    """Move an occurrence by an hour."""
    put = double.put_instance if isinstance(double, GoogleCalendarDouble) else double.put_exception
    put(series, original, start=original + HOUR, end=original + 2 * HOUR)


def delete(double: Any, series: str, original: datetime) -> None:
    """Delete an occurrence."""
    if isinstance(double, GoogleCalendarDouble):
        double.put_instance(series, original, cancelled=True)
    else:
        double.delete_occurrence(series, original)


async def test_a_series_comes_changes_and_goes(double: Any, desk: Desk) -> None:
    first = datetime.now(UTC).replace(microsecond=0) - 2 * DAY - 12 * HOUR
    series, originals = make_series(double, first)
    connection = await connect(desk, double)
    names = [f"{double.events[series].uid}/{one.astimezone(UTC).isoformat()}" for one in originals]
    told = await desk.activities()
    assert {name: told[name]["status"] for name in told} == dict(
        zip(names, ["held", "held", "held", "booked"], strict=False)
    )
    delete(double, series, originals[1])
    move(double, series, originals[3])
    await desk.sync(connection)
    told = await desk.activities()
    assert [told[name]["status"] for name in names[:4]] == ["held", "cancelled", "held", "booked"]
    assert told[names[3]]["rescheduled_count"] == 1
    assert told[names[3]]["starts_at"] == originals[3] + HOUR
    double.delete(series)
    await desk.sync(connection)
    assert await desk.activities() == {}


async def test_a_full_listing_takes_nothing_away(double: Any, desk: Desk) -> None:
    names = set(double.add(3))
    _, originals = make_series(double, datetime.now(UTC).replace(microsecond=0) - 2 * DAY - 12 * HOUR)
    connection = await connect(desk, double)
    before = await desk.activities()
    assert len(originals) == 6
    assert len(before) == 3 + 4
    forget = double.expire_sync_tokens if isinstance(double, GoogleCalendarDouble) else double.expire_links
    forget()
    double.remove(min(names))
    await desk.sync(connection)
    assert await desk.activities() == {name: row for name, row in before.items() if name != min(names)}
    async with acquire(desk.team) as held:
        assert await held.fetchval("SELECT full_pass FROM integrations WHERE id = $1", connection) == 0


async def test_a_meeting_of_two_counts_for_who_booked_it(double: Any, desk: Desk) -> None:
    owner, colleague = double.people
    now = datetime.now(UTC).replace(microsecond=0)
    booked = double.put_event(now + DAY, guests=(colleague, "ann@customer.test"))
    double.put_event(now + DAY, organizer=colleague, **({"creator": colleague} if hasattr(double, "zone") else {}))
    await connect(desk, double)
    [(name, row)] = (await desk.activities()).items()
    assert (name, row["email"]) == (double.events[booked].uid, owner)
