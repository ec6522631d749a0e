"""Invitations to coaching sessions in Microsoft 365, against a double of Microsoft Graph.

Invariants:
A. A session, and a series with what was moved or called off of it, is in Microsoft 365 as the tables have it: as one
   recurring event where Graph can say the rule, as events of their own where it cannot, or where Exchange will not have
   an occurrence in its series.
B. A delivery that dies at any request after Microsoft took it leaves one event of each, tells nobody twice of the same,
   and is taken out when withdrawn.
C. Whoever has not chosen it, or has not given the permission, gets mail and the reason; nothing is written.
D. What somebody changes by hand is put back, also between our look and our writing; guests' answers stay.
E. Errors are told for what they are, and tried again where that helps.
F. What comes back by the sync is no meeting. Neither agenda nor notes leave Sideline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from domain import plan_invitations, plan_series
from domain.database import acquire
from domain.models import SessionState
from domain.plan_sessions import end_session
from tests.doubles.base import Fault
from tests.doubles.microsoft365 import WRITE_SCOPE, Event, Microsoft365Double, _at, _originals
from tests.workers.calendar_office import CalendarOffice, post_office
from tests.workers.post_office import PostOffice
from tests.workers.test_invitations import ZONE, calendar_of
from workers.connectors.microsoft365.writing import LISTED

ALL_SCOPES = f"https://graph.microsoft.com/Calendars.Read https://graph.microsoft.com/{WRITE_SCOPE} offline_access"
GUESTS = frozenset({"rep@elsewhere.test"})


class MicrosoftOffice(CalendarOffice):
    """A desk whose coach has connected Microsoft 365."""

    kind = "microsoft365"
    scopes = ALL_SCOPES
    double: Microsoft365Double

    async def touch(self, series_id: Any) -> None:
        """Deliver anew, with nothing changed."""
        await self.do(lambda connection: plan_invitations.touch_series(connection, self.team, series_id, self.coach_id))
        await self.work()

    async def end(self, series_id: Any, last: date) -> None:
        await self.do(
            lambda connection: plan_series.end_series(connection, self.coach, series_id, last, datetime.now(UTC))
        )

    async def plan_anew(self, session_id: Any) -> None:
        """Take back that a session is off."""
        await self.do(
            lambda connection: end_session(connection, self.coach, session_id, SessionState.PLANNED, datetime.now(UTC))
        )

    async def planned(self) -> list[datetime]:
        """When the tables say that the coach sits down, as far ahead as sessions are made."""
        now, horizon = datetime.now(UTC), datetime.now(UTC) + plan_series.HORIZON
        found = [one["starts_at"] for one in await self.sessions() if one["state"] != "CANCELLED"]
        return sorted(one for one in found if now <= one <= horizon)

    def shown(self) -> list[datetime]:
        """When Outlook says so, by the double's own working out."""
        now, horizon = datetime.now(UTC), datetime.now(UTC) + plan_series.HORIZON
        return sorted(one.start for one in sittings(self.double) if now <= one.start <= horizon)


def sittings(double: Microsoft365Double) -> list[Event]:
    """What the coach sees in the calendar: single events and what series come to."""
    found = []
    for event in double.events.values():
        if event.recurs:
            found += [_at(event, original) for original in _originals(event) if original not in event.deleted]
        else:
            found.append(event)
    return found


def first_in(days: int, hour: int = 10) -> datetime:
    """A wall clock's time some days from now."""
    day = datetime.now(ZoneInfo(ZONE)) + timedelta(days=days)
    return day.replace(hour=hour, minute=0, second=0, microsecond=0, tzinfo=None)


def written(double: Microsoft365Double) -> list[tuple[str, int]]:
    """What was written, and what was answered."""
    return [(one.method, one.status) for one in double.seen if one.method != "GET" and "/events" in one.path]


@pytest.fixture
def graph() -> Iterator[Microsoft365Double]:
    """Microsoft Graph, with the permission to write."""
    with Microsoft365Double() as double:
        double.granted.add(WRITE_SCOPE)
        double.tokens.scope = ALL_SCOPES
        yield double


@pytest.fixture
async def bare(database: str, graph: Microsoft365Double) -> AsyncIterator[MicrosoftOffice]:
    """A coach who is about to connect it."""
    async with MicrosoftOffice.opened(graph) as office:
        yield office


@pytest.fixture
async def office(bare: MicrosoftOffice) -> MicrosoftOffice:
    """A coach who has connected it for writing."""
    return await bare.sign_in()


@pytest.fixture
async def post() -> AsyncIterator[tuple[PostOffice, str]]:
    """A mail server, and its address."""
    async with post_office() as opened:
        yield opened


# A.


async def test_a_session_is_one_event_from_its_beginning_to_its_end(
    office: MicrosoftOffice, graph: Microsoft365Double
) -> None:
    view = await office.plan()
    await office.work()
    row = await office.invitation()
    assert (row["delivered_sequence"], row["way"], row["last_error"]) == (0, "CALENDAR", None)
    (event,) = graph.events.values()
    assert (event.subject, event.sensitivity, event.zone) == ("Pipeline", "private", "Eastern Standard Time")
    assert (event.start, event.end - event.start) == (view.session.starts_at, timedelta(minutes=45))
    assert graph.told == [("create", event.id, GUESTS)]
    later = view.session.starts_at + timedelta(hours=2)
    await office.change(view.session.id, starts_at=later)
    await office.work()
    (event,) = graph.events.values()
    assert (event.start, event.end) == (later, later + timedelta(minutes=45))
    await office.cancel(view.session.id)
    await office.work()
    assert graph.events == {}
    assert [what for what, *_ in graph.told] == ["create", "update", "delete"]
    assert (await office.invitation())["withdrawn"]
    # It takes place after all: Graph does not take the same transaction twice.
    await office.plan_anew(view.session.id)
    await office.work()
    assert (await office.invitation())["last_error"] is None
    assert [event.start for event in graph.events.values()] == [later]


async def test_a_series_is_as_the_tables_have_it(office: MicrosoftOffice, graph: Microsoft365Double) -> None:
    view = await office.series(first_start=first_in(2))
    await office.work()
    (master,) = graph.events.values()
    assert master.recurrence is not None
    assert office.shown() == await office.planned() != []
    sessions = await office.sessions()
    moved_to = sessions[2]["starts_at"] + timedelta(hours=3)
    await office.change(sessions[2]["id"], starts_at=moved_to)
    await office.cancel(sessions[3]["id"])
    await office.work()
    assert moved_to in office.shown() == await office.planned()
    assert sessions[3]["starts_at"] not in office.shown()
    assert len(graph.events) == 1
    # Moved back: nothing tells of it any more but Microsoft's exception.
    await office.change(sessions[2]["id"], starts_at=sessions[2]["starts_at"])
    await office.change(sessions[5]["id"], title="Quarter", starts_at=sessions[5]["starts_at"] + timedelta(hours=1))
    await office.work()
    assert moved_to not in office.shown() == await office.planned()
    assert "Quarter" in {one.subject for one in sittings(graph)}
    # Exchange brings nothing back that was deleted: the occurrence is an event of its own.
    await office.plan_anew(sessions[3]["id"])
    await office.work()
    assert office.shown() == await office.planned()
    assert len(graph.events) == 2
    # Nothing to say: nothing written, nobody told.
    before = len(graph.told)
    await office.touch(view.series.id)
    assert len(graph.told) == before
    last = sessions[4]["starts_at"].astimezone(ZoneInfo(ZONE)).date()
    await office.end(view.series.id, last)
    await office.work()
    assert len(office.shown()) == 5
    assert office.shown() == await office.planned()
    row = await office.invitation()
    assert (row["last_error"], row["etag"]) == (None, None)
    # Before its beginning: all of it is taken out.
    await office.end(view.series.id, datetime.now(UTC).date())
    await office.work()
    assert graph.events == {}


async def test_an_occurrence_that_is_moved_past_another_is_an_event_of_its_own(
    office: MicrosoftOffice, graph: Microsoft365Double
) -> None:
    view = await office.series(first_start=first_in(2))
    await office.work()
    sessions = await office.sessions()
    past_the_next = sessions[1]["starts_at"] + timedelta(days=9)
    await office.change(sessions[1]["id"], starts_at=past_the_next)
    await office.work()
    assert ("PATCH", 400) in written(graph)
    assert past_the_next in office.shown() == await office.planned()
    assert sorted(event.recurs for event in graph.events.values()) == [False, True]
    before = len(graph.told)
    await office.touch(view.series.id)
    assert len(graph.told) == before
    further = past_the_next + timedelta(days=1)
    await office.change(sessions[1]["id"], starts_at=further)
    await office.work()
    assert further in office.shown() == await office.planned()
    await office.cancel(sessions[1]["id"])
    await office.work()
    assert office.shown() == await office.planned()
    assert len(graph.events) == 1


async def test_what_was_moved_ahead_and_is_called_off_goes(office: MicrosoftOffice, graph: Microsoft365Double) -> None:
    begins = (datetime.now(UTC) - timedelta(hours=2)).replace(microsecond=0, tzinfo=None)
    await office.series(first_start=begins, rule="FREQ=DAILY", timezone="UTC")
    await office.work()
    first = (await office.sessions())[0]
    ahead = first["starts_at"] + timedelta(hours=4)
    await office.change(first["id"], starts_at=ahead)
    await office.work()
    assert ahead in office.shown() == await office.planned()
    await office.cancel(first["id"])
    await office.work()
    assert ahead not in office.shown() == await office.planned()


async def test_what_the_rule_does_not_give_goes(office: MicrosoftOffice, graph: Microsoft365Double) -> None:
    """As where exceptions outlive the change of their series: Graph's documentation does not tell."""
    graph.keeps_exceptions = True
    view = await office.series(first_start=first_in(2))
    await office.work()
    sessions = await office.sessions()
    for place in (2, 6):
        await office.change(sessions[place]["id"], starts_at=sessions[place]["starts_at"] + timedelta(hours=3))
    await office.work()
    # By hand: all of it five hours later, and one of those on the day after.
    (event,) = graph.events.values()
    graph.put(replace(event, start=event.start + timedelta(hours=5), end=event.end + timedelta(hours=5)))
    moved = _originals(graph.events[event.id])[1]
    graph.put_exception(event.id, moved, start=moved + timedelta(days=1), end=moved + timedelta(days=1, minutes=30))
    await office.touch(view.series.id)
    assert office.shown() == await office.planned()
    await office.end(view.series.id, sessions[4]["starts_at"].astimezone(ZoneInfo(ZONE)).date())
    await office.work()
    assert len(office.shown()) == 5
    assert office.shown() == await office.planned()


async def test_the_wall_clock_stays_across_daylight_saving(office: MicrosoftOffice, graph: Microsoft365Double) -> None:
    year = datetime.now(UTC).year + 1
    view = await office.series(first_start=datetime(year, 3, 1, 9, 30), rule="FREQ=DAILY")
    await office.work()
    ours = plan_series.occurrences(view.series, None, datetime(year, 12, 1, tzinfo=UTC))
    assert sorted(one.start for one in sittings(graph) if one.start <= datetime(year, 12, 1, tzinfo=UTC)) == ours
    assert len({one.strftime("%H:%M") for one in ours}) == 2
    assert len(graph.events) == 1


async def test_a_rule_that_graph_cannot_say_is_listed_and_listed_further(
    office: MicrosoftOffice, graph: Microsoft365Double
) -> None:
    # Four days of a month: no pattern of Graph's.
    view = await office.series(first_start=first_in(1), rule="FREQ=MONTHLY;BYMONTHDAY=5,15,25,31")
    await office.work()
    assert office.shown() == await office.planned() != []
    assert not any(event.recurs for event in graph.events.values())
    assert all(one.start <= datetime.now(UTC) + LISTED for one in graph.events.values())
    sessions = await office.sessions()
    moved_to = sessions[1]["starts_at"] + timedelta(days=12)
    await office.change(sessions[1]["id"], starts_at=moved_to)
    await office.cancel(sessions[2]["id"])
    await office.work()
    assert moved_to in office.shown() == await office.planned()
    told = len(graph.told)
    await office.again()
    assert len(graph.told) == told
    # Time goes by: what was listed reaches too little far ahead.
    away = max(graph.events.values(), key=lambda one: one.start)
    graph.delete(away.id)
    near = (datetime.now(UTC) + timedelta(days=50)).isoformat(timespec="seconds")
    async with acquire(office.team) as connection:
        await connection.execute(
            "UPDATE coaching_invitations SET etag = $2 WHERE team_id = $1",
            office.team,
            f"{plan_invitations.LISTED_UNTIL}{near}",
        )
        # By then the series needs more sessions, so that its team is looked after.
        await connection.execute(
            "UPDATE coaching_series SET made_until = now() + interval '50 days' WHERE team_id = $1", office.team
        )
    await office.again()
    assert away.start in {event.start for event in graph.events.values()}
    assert len(graph.told) == told + 1
    row = await office.invitation()
    assert row["delivered_sequence"] == row["sequence"]
    assert row["etag"] > f"{plan_invitations.LISTED_UNTIL}{near}"
    last = sessions[3]["starts_at"].astimezone(ZoneInfo(ZONE)).date()
    await office.end(view.series.id, last)
    await office.work()
    assert office.shown() == await office.planned()
    # There is no more to list.
    assert (await office.invitation())["etag"] is None


# B.


@pytest.mark.parametrize("taken_again", [409, 201])
async def test_who_dies_after_microsoft_took_it_makes_no_second_event(
    office: MicrosoftOffice, graph: Microsoft365Double, taken_again: int
) -> None:
    # The look goes well; what is written is taken, and its answer is lost; the next look does not show it yet.
    graph.taken_again = taken_again
    graph.faults.extend([Fault(), Fault(cut=True)])
    await office.plan()
    await office.work()
    row = await office.invitation()
    assert (row["delivered_sequence"], len(graph.events)) == (-1, 1)
    assert "reached" in row["last_error"]
    graph.shows_late = 2 if taken_again == 409 else 1
    await office.again()
    assert len(graph.events) == 1
    if taken_again == 409:
        assert "does not show it" in (await office.invitation())["last_error"]
        await office.again()
    assert (await office.invitation())["delivered_sequence"] == 0
    await office.forget()
    await office.again()
    assert (await office.invitation())["delivered_sequence"] == 0
    assert len(graph.events) == 1
    assert [what for what, *_ in graph.told] == ["create"]


async def test_whoever_dies_at_any_request_leaves_one_of_each(
    office: MicrosoftOffice, graph: Microsoft365Double
) -> None:
    """A series with an occurrence that is moved, one that is called off, and one that has to be an event of its own."""
    for broken in range(40):
        graph.events.clear()
        graph.told.clear()
        graph.seen.clear()
        view = await office.series(first_start=first_in(2))
        sessions = [one for one in await office.sessions() if one["series_id"] == view.series.id]
        await office.change(sessions[1]["id"], starts_at=sessions[1]["starts_at"] + timedelta(hours=3))
        await office.cancel(sessions[2]["id"])
        await office.change(sessions[3]["id"], starts_at=sessions[3]["starts_at"] + timedelta(days=9))
        graph.faults.extend([*[Fault()] * broken, Fault(cut=True)])
        await office.work()
        reached = not graph.faults
        graph.faults.clear()
        for _ in range(3):
            await office.hurry()
            await office.work()
        async with acquire(office.team) as connection:
            row = await connection.fetchrow("SELECT * FROM coaching_invitations WHERE series_id = $1", view.series.id)
            planned = await connection.fetch(
                "SELECT starts_at FROM coaching_sessions WHERE series_id = $1 AND state <> 'CANCELLED'", view.series.id
            )
        assert (row["delivered_sequence"], row["last_error"]) == (row["sequence"], None), broken
        assert office.shown() == sorted(
            one["starts_at"] for one in planned if one["starts_at"] <= datetime.now(UTC) + plan_series.HORIZON
        ), broken
        assert sorted(event.recurs for event in graph.events.values()) == [False, True], broken
        # One message for each thing that came to be.
        assert Counter(what for what, *_ in graph.told) == {"create": 2, "update": 1, "delete": 2}, broken
        await office.end(view.series.id, datetime.now(UTC).date())
        await office.work()
        assert graph.events == {}, broken
        if not reached:
            break
    else:
        raise AssertionError("the delivery asks without end")
    assert broken > 6


async def test_who_dies_after_microsoft_took_it_takes_it_out_when_it_is_withdrawn(
    office: MicrosoftOffice, graph: Microsoft365Double
) -> None:
    view = await office.plan()
    await office.work()
    await office.forget()
    await office.cancel(view.session.id)
    graph.faults.extend([Fault(), Fault(cut=True)])
    await office.again()
    assert graph.events == {}
    await office.again()
    row = await office.invitation()
    assert (row["delivered_sequence"], row["withdrawn"], row["last_error"]) == (row["sequence"], True, None)
    assert [what for what, *_ in graph.told] == ["create", "delete"]


async def test_what_graph_says_to_have_and_never_shows_is_made_anew(
    office: MicrosoftOffice, graph: Microsoft365Double
) -> None:
    graph.faults.extend([Fault(), Fault(cut=True)])
    await office.plan()
    await office.work()
    graph.events.clear()
    for _ in range(5):
        await office.again()
    assert (await office.invitation())["delivered_sequence"] == 0
    assert len(graph.events) == 1


async def test_another_worker_that_was_faster_is_no_second_event(
    office: MicrosoftOffice, graph: Microsoft365Double
) -> None:
    graph.faults.extend([Fault(), Fault(cut=True)])
    view = await office.plan()
    await office.work()
    (event,) = graph.events.values()
    graph.events.clear()
    # It comes to be seen between our look and our writing, and is called otherwise.
    graph.before_write = lambda: graph.put(replace(event, subject="Pipeline of before"))
    await office.again()
    assert [status for method, status in written(graph) if method == "POST"] == [201, 409]
    (event,) = graph.events.values()
    assert (event.subject, event.start) == ("Pipeline", view.session.starts_at)


# C.


@pytest.mark.parametrize(
    ("chosen", "scope", "reason"),
    [
        (False, ALL_SCOPES, "set writeInvitations to true"),
        (True, "Calendars.Read offline_access", "permission to write"),
        (True, ALL_SCOPES, "permission to write"),
    ],
    ids=["not chosen", "not given", "taken back"],
)
async def test_without_the_permission_mail_goes_out_and_the_reason_is_told(
    bare: MicrosoftOffice,
    graph: Microsoft365Double,
    post: tuple[PostOffice, str],
    chosen: bool,
    scope: str,
    reason: str,
) -> None:
    server, url = post
    graph.granted = {"Calendars.Read"}
    graph.add(1)
    await bare.sign_in(chosen=chosen, scope=scope)
    view = await bare.plan()
    await bare.work()
    row = await bare.invitation()
    assert row["delivered_sequence"] == -1
    assert "SIDELINE_SMTP_URL" in row["last_error"]
    assert reason in row["last_error"]
    bare.hire(url)
    await bare.again()
    row = await bare.invitation()
    assert (row["delivered_sequence"], row["way"]) == (0, "MAIL")
    assert reason in row["last_error"]
    assert len(server.taken) == 2
    # What is not to be written to is not even tried; where Microsoft alone knows, it is.
    attempts = written(graph)
    assert {status for _, status in attempts} == ({403} if chosen and scope == ALL_SCOPES else set())
    # Reading goes on.
    await bare.sync(bare.integration_id)
    assert len(await bare.activities()) == 1
    await bare.cancel(view.session.id)
    await bare.again()
    assert [calendar_of(mail)[0] for mail in server.taken[2:]] == ["CANCEL", "CANCEL"]


async def test_whoever_was_told_by_mail_is_told_that_microsoft_tells_them_now(
    bare: MicrosoftOffice, graph: Microsoft365Double, post: tuple[PostOffice, str]
) -> None:
    server, url = post
    bare.hire(url)
    view = await bare.plan()
    await bare.work()
    assert len(server.taken) == 2
    await bare.sign_in()
    await bare.change(view.session.id, title="Pipeline, again")
    await bare.work()
    assert [calendar_of(mail)[0] for mail in server.taken[2:]] == ["CANCEL", "CANCEL"]
    assert [(what, guests) for what, _, guests in graph.told] == [("create", GUESTS)]
    await bare.change(view.session.id, title="Pipeline, once more")
    await bare.work()
    assert len(server.taken) == 4


# D.


async def test_what_is_changed_by_hand_is_put_back_and_answers_stay(
    office: MicrosoftOffice, graph: Microsoft365Double
) -> None:
    view = await office.plan()
    await office.work()
    (event,) = graph.events.values()
    accepted = {
        "status": {"response": "accepted"},
        "type": "optional",
        "emailAddress": {"address": "Rep@elsewhere.test"},
    }

    def answer() -> None:
        extra = {"type": "required", "emailAddress": {"address": "stranger@elsewhere.test"}}
        graph.put(replace(graph.events[event.id], attendees=(accepted, extra), subject="Lunch", is_all_day=True))

    # Between our look and our writing.
    graph.before_write = answer
    await office.change(view.session.id, title="Forecast")
    await office.work()
    assert [status for method, status in written(graph) if method == "PATCH"] == [412, 200]
    (event,) = graph.events.values()
    assert (event.subject, event.is_all_day, event.start) == ("Forecast", False, view.session.starts_at)
    assert [dict(one) for one in event.attendees] == [accepted]
    graph.delete(event.id)
    await office.change(view.session.id, title="Forecast, again")
    await office.work()
    (event,) = graph.events.values()
    assert event.subject == "Forecast, again"


async def test_who_is_invited_no_more_is_taken_off(office: MicrosoftOffice, graph: Microsoft365Double) -> None:
    view = await office.series(first_start=first_in(2))
    await office.work()
    (event,) = graph.events.values()
    # The organizer among the guests is Exchange's own doing.
    own = {"type": "required", "emailAddress": {"address": graph.people[0]}}
    graph.put(replace(event, attendees=(*event.attendees, own)))
    before = len(graph.told)
    await office.touch(view.series.id)
    assert len(graph.told) == before
    # The zone is that of a colleague who moved the series, an hour aside.
    graph.put(replace(graph.events[event.id], zone="W. Europe Standard Time"))
    await office.touch(view.series.id)
    assert graph.events[event.id].zone == "Eastern Standard Time"
    assert office.shown() == await office.planned()


# E.


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(Fault(status=500), "500"), (Fault(status=503), "503"), (Fault(cut=True), "reached")],
    ids=["500", "503", "cut"],
)
async def test_a_microsoft_that_is_away_is_tried_again(
    office: MicrosoftOffice, graph: Microsoft365Double, fault: Fault, reason: str
) -> None:
    graph.faults.append(fault)
    await office.plan()
    await office.work()
    assert reason in (await office.invitation())["last_error"]
    await office.again()
    row = await office.invitation()
    assert (row["delivered_sequence"], row["last_error"], len(graph.events)) == (0, None, 1)


async def test_a_microsoft_that_asks_for_patience_gets_it(office: MicrosoftOffice, graph: Microsoft365Double) -> None:
    graph.requests_in_ten_minutes = 0
    await office.plan()
    await office.work()
    assert (await office.invitation())["delivered_sequence"] == -1
    graph.requests_in_ten_minutes = 10_000
    await office.again()
    assert (await office.invitation())["delivered_sequence"] == 0
    assert len(graph.events) == 1


async def test_a_token_that_has_ended_is_renewed(office: MicrosoftOffice, graph: Microsoft365Double) -> None:
    graph.faults.extend([Fault(), Fault(expire=True)])
    view = await office.plan()
    await office.work()
    assert (await office.invitation())["delivered_sequence"] == 0
    await office.change(view.session.id, title="Forecast")
    await office.work()
    assert [event.subject for event in graph.events.values()] == ["Forecast"]


async def test_an_event_that_changes_all_the_time_is_written_over(
    office: MicrosoftOffice, graph: Microsoft365Double
) -> None:
    view = await office.plan()
    await office.work()
    (event,) = graph.events.values()

    def restless() -> None:
        graph.put(graph.events[event.id])
        graph.before_write = restless

    graph.before_write = restless
    await office.change(view.session.id, title="Forecast")
    await office.work()
    assert [status for method, status in written(graph) if method == "PATCH"] == [412, 412, 412, 200]
    assert (await office.invitation())["last_error"] is None
    assert graph.events[event.id].subject == "Forecast"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=404, body='{"error": {"code": "MailboxNotEnabledForRESTAPI", "message": "No mailbox."}}'),
        Fault(status=400, body='{"error": {"code": "TimeZoneNotSupportedException", "message": "No such zone."}}'),
        Fault(status=401),
    ],
    ids=["no mailbox", "no such zone", "signed out"],
)
async def test_what_microsoft_refuses_goes_by_mail(
    office: MicrosoftOffice, graph: Microsoft365Double, post: tuple[PostOffice, str], fault: Fault
) -> None:
    server, url = post
    office.hire(url)
    graph.faults.extend([Fault(), fault, fault])
    await office.plan()
    await office.work()
    row = await office.invitation()
    assert (row["delivered_sequence"], row["way"]) == (0, "MAIL")
    assert row["last_error"]
    assert len(server.taken) == 2
    assert graph.events == {}


@pytest.mark.parametrize(
    "answer",
    [
        lambda body: [body],
        lambda body: body | {"value": 5},
        lambda body: body | {"value": [5, {"id": None}, {"id": "x", "singleValueExtendedProperties": [7]}]},
    ],
    ids=["a list", "no list", "no events"],
)
async def test_an_answer_that_makes_no_sense_is_no_second_event(
    office: MicrosoftOffice, graph: Microsoft365Double, answer: Any
) -> None:
    graph.faults.append(Fault(mangle=answer))
    await office.plan()
    await office.work()
    await office.again()
    assert (await office.invitation())["delivered_sequence"] == 0
    assert len(graph.events) == 1


# F.


async def test_what_comes_back_is_no_meeting(office: MicrosoftOffice, graph: Microsoft365Double) -> None:
    (real,) = graph.add(1)
    begins = (datetime.now(UTC) - timedelta(hours=2)).replace(microsecond=0, tzinfo=None)
    await office.series(first_start=begins, rule="FREQ=DAILY", timezone="UTC")
    view = await office.plan()
    await office.work()
    sessions = [one for one in await office.sessions() if one["series_id"] is not None]
    await office.change(sessions[4]["id"], starts_at=sessions[4]["starts_at"] + timedelta(days=3, hours=1))
    await office.work()
    # A session, a series, and an occurrence of its own. Somebody from outside joins by hand: they look like meetings.
    assert len(graph.events) == 4
    guest = {"type": "required", "emailAddress": {"address": "ann@customer.test"}}
    for event in list(graph.events.values()):
        graph.put(replace(event, attendees=(*event.attendees, guest)))
    await office.sync(office.integration_id)
    assert set(await office.activities()) == {real}
    assert await office.quarantine() == {}
    await office.cancel(view.session.id)
    await office.work()
    await office.sync(office.integration_id)
    assert set(await office.activities()) == {real}


async def test_neither_agenda_nor_other_programs_marks_are_kept(
    office: MicrosoftOffice, graph: Microsoft365Double
) -> None:
    graph.add(1)
    (event,) = graph.events.values()
    graph.put(replace(event, transaction_id="localevent:of another program"))
    await office.plan()
    await office.work()
    await office.sync(office.integration_id)
    async with acquire(office.team) as connection:
        kept = await connection.fetch("SELECT data::text FROM synced_documents WHERE team_id = $1", office.team)
    assert len(kept) == 2
    assert not any("another program" in one["data"] or "nobody else" in one["data"] for one in kept)
