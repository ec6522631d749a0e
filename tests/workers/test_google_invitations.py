"""Invitations to coaching sessions in Google Calendar, against a double of its API.

Invariants:
A. A session, and a series with what was moved or cancelled of it, is in Google as the tables have it, under one id.
B. A delivery that dies after Google took it leaves one event, tells nobody twice, and is taken out when withdrawn.
C. Whoever has not chosen it, or has not given the permission, gets mail and the reason; nothing is written.
D. What somebody changes by hand is put back, also between our look and our writing; guests' answers stay.
E. Errors are told for what they are, and tried again where that helps.
F. What comes back by the sync is no meeting. Neither agenda nor notes leave Sideline.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from domain import plan_invitations, plan_series
from domain.database import acquire
from tests.doubles.base import Fault
from tests.doubles.google_calendar import CALENDARS_SCOPE, EVENTS_SCOPE, WRITE_SCOPE, GoogleCalendarDouble
from tests.workers.calendar_office import CalendarOffice, post_office
from tests.workers.connectors.shelf import context_at
from tests.workers.post_office import PostOffice
from tests.workers.test_invitations import ZONE, calendar_of
from workers.connectors.calendars import event_document
from workers.connectors.google_calendar import connector

ALL_SCOPES = f"{EVENTS_SCOPE} {CALENDARS_SCOPE} {WRITE_SCOPE}"


class GoogleOffice(CalendarOffice):
    """A desk whose coach has connected Google Calendar."""

    kind = "google_calendar"
    scopes = ALL_SCOPES
    double: GoogleCalendarDouble


@pytest.fixture
def google() -> Iterator[GoogleCalendarDouble]:
    """Google Calendar, with the permission to write."""
    with GoogleCalendarDouble() as double:
        double.granted.add(WRITE_SCOPE)
        yield double


@pytest.fixture
async def bare(database: str, google: GoogleCalendarDouble) -> AsyncIterator[GoogleOffice]:
    """A coach who is about to connect it."""
    async with GoogleOffice.opened(google) as office:
        yield office


@pytest.fixture
async def office(bare: GoogleOffice) -> GoogleOffice:
    """A coach who has connected it for writing."""
    return await bare.sign_in()


@pytest.fixture
async def post() -> AsyncIterator[tuple[PostOffice, str]]:
    """A mail server, and its address."""
    async with post_office() as opened:
        yield opened


def writes(double: GoogleCalendarDouble) -> list[str]:
    """The methods of what was written and taken."""
    return [one.method for one in double.seen if one.method != "GET" and "/events" in one.path and one.status < 300]


# A.


async def test_a_session_is_one_event_from_its_beginning_to_its_end(
    office: GoogleOffice, google: GoogleCalendarDouble
) -> None:
    view = await office.plan()
    await office.work()
    row = await office.invitation()
    assert (row["delivered_sequence"], row["way"], row["last_error"]) == (0, "CALENDAR", None)
    (event,) = google.events.values()
    assert event.id == row["place"] == row["uid"].partition("@")[0]
    assert (event.summary, event.visibility, event.zone) == ("Pipeline", "private", ZONE)
    assert (event.start, event.end - event.start) == (view.session.starts_at, timedelta(minutes=45))
    assert google.told == [("insert", event.id, frozenset({"rep@elsewhere.test"}))]
    later = view.session.starts_at + timedelta(hours=2)
    await office.change(view.session.id, starts_at=later)
    await office.work()
    (event,) = google.events.values()
    assert (event.start, event.end) == (later, later + timedelta(minutes=45))
    await office.cancel(view.session.id)
    await office.work()
    (event,) = google.events.values()
    assert event.cancelled
    assert [what for what, *_ in google.told] == ["insert", "patch", "delete"]
    assert (await office.invitation())["withdrawn"]


async def test_a_series_is_as_the_tables_have_it(office: GoogleOffice, google: GoogleCalendarDouble) -> None:
    begins = (datetime.now(ZoneInfo(ZONE)) + timedelta(days=2)).replace(
        hour=10, minute=0, second=0, microsecond=0, tzinfo=None
    )
    view = await office.series(first_start=begins)
    await office.work()
    master_id = (await office.invitation())["place"]

    def told_by_google() -> list[datetime]:
        """When the coach sits down, by the double's own working out."""
        master = google.events[master_id]
        instances = [google._instance(master, original) for original in google.originals(master_id)]
        horizon = datetime.now(UTC) + plan_series.HORIZON
        found = [one.start.astimezone(UTC) for one in instances if not one.cancelled]
        return sorted(one for one in found if one <= horizon)

    async def told_by_tables() -> list[datetime]:
        horizon = datetime.now(UTC) + plan_series.HORIZON
        found = [one["starts_at"] for one in await office.sessions() if one["state"] != "CANCELLED"]
        return sorted(one for one in found if one <= horizon)

    assert told_by_google() == await told_by_tables()
    sessions = await office.sessions()
    moved_to = sessions[2]["starts_at"] + timedelta(hours=3)
    await office.change(sessions[2]["id"], starts_at=moved_to)
    await office.cancel(sessions[3]["id"])
    await office.work()
    assert moved_to in told_by_google() == await told_by_tables()
    assert sessions[3]["starts_at"] not in told_by_google()
    # Moved back: nothing tells of it any more but Google's instance.
    await office.change(sessions[2]["id"], starts_at=sessions[2]["starts_at"])
    await office.change(sessions[5]["id"], title="Quarter", starts_at=sessions[5]["starts_at"] + timedelta(hours=1))
    await office.work()
    assert moved_to not in told_by_google() == await told_by_tables()
    # Nothing to say: nothing written, nobody told.
    before = len(google.told)
    await office.do(
        lambda connection: plan_invitations.touch_series(connection, office.team, view.series.id, office.coach_id)
    )
    await office.work()
    assert len(google.told) == before
    last = sessions[4]["starts_at"].astimezone(ZoneInfo(ZONE)).date()
    await office.do(
        lambda connection: plan_series.end_series(connection, office.coach, view.series.id, last, datetime.now(UTC))
    )
    await office.work()
    assert len(told_by_google()) == 4
    assert told_by_google() == await told_by_tables()
    # What was changed beyond the end does not outlive it.
    beyond = [one for one in google.events.values() if one.original is not None and one.original.date() > last]
    assert beyond
    assert all(one.cancelled for one in beyond)
    assert (await office.invitation())["last_error"] is None


# B.


async def test_who_dies_after_google_took_it_makes_no_second_event(
    office: GoogleOffice, google: GoogleCalendarDouble
) -> None:
    # The look goes well; what is written is taken, and its answer is lost.
    google.faults.extend([Fault(), Fault(cut=True)])
    await office.plan()
    await office.work()
    row = await office.invitation()
    assert (row["delivered_sequence"], len(google.events)) == (-1, 1)
    assert "reached" in row["last_error"]
    await office.again()
    assert (await office.invitation())["delivered_sequence"] == 0
    await office.forget()
    await office.again()
    assert (await office.invitation())["delivered_sequence"] == 0
    assert len(google.events) == 1
    assert [what for what, *_ in google.told] == ["insert"]


async def test_who_dies_after_google_took_it_takes_it_out_when_it_is_withdrawn(
    office: GoogleOffice, google: GoogleCalendarDouble
) -> None:
    view = await office.plan()
    await office.work()
    await office.forget()
    await office.cancel(view.session.id)
    await office.again()
    (event,) = google.events.values()
    assert event.cancelled
    row = await office.invitation()
    assert (row["delivered_sequence"], row["withdrawn"]) == (row["sequence"], True)
    # And what is gone already is gone.
    await office.forget()
    async with acquire(office.team) as connection:
        await connection.execute(
            "UPDATE coaching_invitations SET place = $2, integration_id = $3 WHERE team_id = $1",
            office.team,
            event.id,
            office.integration_id,
        )
    await office.again()
    assert (await office.invitation())["last_error"] is None
    assert [what for what, *_ in google.told] == ["insert", "delete"]


async def test_an_id_that_is_taken_meanwhile_is_the_same_event(
    office: GoogleOffice, google: GoogleCalendarDouble
) -> None:
    view = await office.plan()
    event_id = f"sidelinecoaching{view.session.id.hex}"

    def another_worker() -> None:
        other = google.put_event(view.session.starts_at, summary="Pipeline of before", guests=())
        google.put(replace(google.events.pop(other), id=event_id))

    google.before_write = another_worker
    await office.work()
    assert [one.status for one in google.seen if one.method == "POST" and "/events" in one.path] == [409]
    (event,) = google.events.values()
    assert (event.id, event.summary) == (event_id, "Pipeline")
    assert (await office.invitation())["delivered_sequence"] == 0


# C.


@pytest.mark.parametrize(
    ("chosen", "scope", "reason"),
    [
        (False, ALL_SCOPES, "set writeInvitations to true"),
        (True, f"{EVENTS_SCOPE} {CALENDARS_SCOPE}", "permission to write"),
        (True, ALL_SCOPES, "permission to write"),
    ],
    ids=["not chosen", "not given", "taken back"],
)
async def test_without_the_permission_mail_goes_out_and_the_reason_is_told(
    bare: GoogleOffice,
    google: GoogleCalendarDouble,
    post: tuple[PostOffice, str],
    chosen: bool,
    scope: str,
    reason: str,
) -> None:
    server, url = post
    google.granted = {EVENTS_SCOPE, CALENDARS_SCOPE}
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
    assert writes(google) == []
    # What is not to be written to is not even looked at; where Google alone knows, it is asked.
    looked = [one.path for one in google.seen if "sidelinecoaching" in one.path]
    assert bool(looked) == (chosen and scope == ALL_SCOPES)
    await bare.cancel(view.session.id)
    await bare.again()
    assert [calendar_of(mail)[0] for mail in server.taken[2:]] == ["CANCEL", "CANCEL"]


async def test_whoever_was_told_by_mail_is_told_that_google_tells_them_now(
    bare: GoogleOffice, google: GoogleCalendarDouble, post: tuple[PostOffice, str]
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
    assert google.told == [("insert", f"sidelinecoaching{view.session.id.hex}", frozenset({"rep@elsewhere.test"}))]
    await bare.change(view.session.id, title="Pipeline, once more")
    await bare.work()
    assert len(server.taken) == 4


# D.


async def test_what_is_changed_by_hand_is_put_back_and_answers_stay(
    office: GoogleOffice, google: GoogleCalendarDouble
) -> None:
    view = await office.plan()
    await office.work()
    (event,) = google.events.values()

    def answer() -> None:
        accepted = ({"email": "rep@elsewhere.test", "responseStatus": "accepted"},)
        google.put(replace(google.events[event.id], attendees=accepted, summary="Lunch"))

    # Between our look and our writing.
    google.before_write = answer
    await office.change(view.session.id, title="Forecast")
    await office.work()
    assert [one.status for one in google.seen if one.method == "PATCH"] == [412, 200]
    (event,) = google.events.values()
    assert event.summary == "Forecast"
    assert [one["responseStatus"] for one in event.attendees] == ["accepted"]
    google.delete(event.id)
    await office.change(view.session.id, title="Forecast, again")
    await office.work()
    (event,) = google.events.values()
    assert (event.cancelled, event.summary) == (False, "Forecast, again")


# E.


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(Fault(status=500), "500"), (Fault(status=503), "503"), (Fault(cut=True), "reached")],
    ids=["500", "503", "cut"],
)
async def test_a_google_that_is_away_is_tried_again(
    office: GoogleOffice, google: GoogleCalendarDouble, fault: Fault, reason: str
) -> None:
    google.faults.append(fault)
    await office.plan()
    await office.work()
    assert reason in (await office.invitation())["last_error"]
    await office.again()
    row = await office.invitation()
    assert (row["delivered_sequence"], row["last_error"], len(google.events)) == (0, None, 1)


@pytest.mark.parametrize("status", [403, 429])
async def test_a_google_that_asks_for_patience_gets_it(
    office: GoogleOffice, google: GoogleCalendarDouble, status: int
) -> None:
    google.limit_status, google.requests_a_minute = status, 0
    await office.plan()
    await office.work()
    assert (await office.invitation())["delivered_sequence"] == -1
    google.requests_a_minute = 600
    await office.again()
    assert (await office.invitation())["delivered_sequence"] == 0
    assert len(google.events) == 1


async def test_a_token_that_has_ended_is_renewed(office: GoogleOffice, google: GoogleCalendarDouble) -> None:
    google.faults.extend([Fault(), Fault(expire=True)])
    await office.plan()
    await office.work()
    assert (await office.invitation())["delivered_sequence"] == 0
    assert len(google.events) == 1


async def test_a_sign_in_that_was_taken_back_is_told(office: GoogleOffice, google: GoogleCalendarDouble) -> None:
    google.tokens.revoke()
    await office.plan()
    await office.work()
    row = await office.invitation()
    assert row["delivered_sequence"] == -1
    assert "sign in again" in row["last_error"]


# F.


async def test_what_comes_back_is_no_meeting(office: GoogleOffice, google: GoogleCalendarDouble) -> None:
    (other,) = google.add(1)
    begins = (datetime.now(UTC) - timedelta(hours=2)).replace(microsecond=0, tzinfo=None)
    await office.series(first_start=begins, rule="FREQ=DAILY", timezone="UTC")
    await office.plan()
    await office.work()
    assert len([one for one in google.events.values() if one.id.startswith("sidelinecoaching")]) == 2
    assert "nobody else" not in repr(google.events)
    await office.sync(office.integration_id)
    assert set(await office.activities()) == {other}
    assert await office.quarantine() == {}
    # Not for who is invited: to a team that does not know the rep they are a customer, in any event but ours.
    event = next(one for one in google.events.values() if one.id.startswith("sidelinecoaching") and not one.recurs)
    resource = google._resource(event)
    context = context_at(event.end + timedelta(days=1))
    assert connector.map(event_document(event.id, resource), context, None).records == ()
    for name in ("id", "iCalUID"):
        resource[name] = resource[name].replace("sidelinecoaching", "customers")
    assert len(connector.map(event_document(event.id, resource), context, None).records) == 1
