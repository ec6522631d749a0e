"""Invitations to coaching sessions: into a real CalDAV server (Radicale), and by mail to a real SMTP server.

Invariants:
A. A series lies in the coach's calendar as one object under one UID; its SEQUENCE grows; what a calendar works out of
   it is what the tables say, right across daylight saving, with moved and cancelled occurrences, and after its end.
B. A delivery that runs twice, or after a kill, leaves one object with the same UID and SEQUENCE.
C. What comes back by the sync is no meeting with a customer, whoever was invited.
D. Guests are told by mail; without a calendar connection everybody is; who is not invited any more is told that.
E. A server that is away is tried again; one that refuses gives way to mail; with no way the coach is told why.
F. Neither agenda nor notes leave Sideline.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo

import httpx
import icalendar
import pytest

from domain import plan_invitations, plan_series, plan_sessions
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.models import SessionState
from domain.models.people import Permission
from domain.plan_series import NewSeries
from domain.plan_sessions import NewSession, SessionChange
from tests.doubles.base import Fault
from tests.doubles.caldav import PASSWORD, CaldavDouble
from tests.factories import make_role, make_user
from tests.workers.desk import Desk, wire_to
from tests.workers.post_office import PostOffice, Taken
from workers.invitations import Inviter, look_after
from workers.mail import Mailer, read_route

ZONE = "America/New_York"


class Office(Desk):
    """A desk whose first person coaches the second."""

    def hire(self, post: str | None = None) -> None:
        """Deliver invitations too."""
        make = None if post is None else (lambda: Mailer(read_route(post), "Sideline <sideline@sideline.test>"))
        self.inviter = Inviter(self.wire, make, "Sideline <sideline@sideline.test>")
        self.handlers[plan_invitations.DELIVER_KIND] = self.inviter.deliver

    async def prepare(self, double: CaldavDouble | None) -> Office:
        emails = (double.people if double is not None else ("coach@sideline.test", "rep@sideline.test"))[:2]
        rep_address = "rep@elsewhere.test"
        await self.open(emails[0], rep_address, timezone=ZONE)
        await self.seat(emails[0], rep_address)
        if double is not None:
            self.integration_id = await self.connect(
                "caldav", viewer=self.coach, settings=double.settings, secrets=double.secrets
            )
            await self.work()
        return self

    async def seat(self, coach: str, rep: str) -> Self:
        """Let one coach the other."""
        self.coach_id, self.rep_id = self.people[coach], self.people[rep]
        async with acquire(ALL_TEAMS) as connection:
            manager = await make_role(connection, self.team, Permission.TEAM_VIEW)
            await connection.execute("UPDATE users SET role_id = $2 WHERE id = $1", self.coach_id, manager)
            await connection.execute("UPDATE users SET manager_id = $2 WHERE id = $1", self.rep_id, self.coach_id)
        self.coach = await self.viewer(self.coach_id)
        return self

    async def series(self, **more: Any) -> plan_series.SeriesView:
        given = {
            "user_id": self.rep_id,
            "first_start": datetime(2026, 10, 20, 10),
            "rule": "FREQ=WEEKLY",
            "timezone": ZONE,
            "title": "One-on-one",
            "agenda": "What nobody else is to read",
            **more,
        }

        async def work(connection: Any) -> plan_series.SeriesView:
            return await plan_series.create_series(connection, self.coach, NewSeries(**given), datetime.now(UTC))

        return await in_transaction(self.team, work)

    async def do(self, work: Any) -> Any:
        """In a transaction, with its connection."""
        return await in_transaction(self.team, work)

    async def invitation(self) -> Any:
        async with acquire(self.team) as connection:
            return await connection.fetchrow("SELECT * FROM coaching_invitations WHERE team_id = $1", self.team)

    async def sessions(self) -> list[Any]:
        async with acquire(self.team) as connection:
            return list(
                await connection.fetch(
                    "SELECT * FROM coaching_sessions WHERE team_id = $1 ORDER BY occurrence_at", self.team
                )
            )


@pytest.fixture
def radicale() -> Iterator[CaldavDouble]:
    """Radicale."""
    with CaldavDouble() as double:
        yield double


@pytest.fixture
async def office(database: str, radicale: CaldavDouble) -> AsyncIterator[Office]:
    """A coach whose calendar is in Radicale."""
    wire = wire_to()
    desk = Office(wire)
    desk.hire()
    try:
        yield await desk.prepare(radicale)
    finally:
        await wire.close()


def objects(double: CaldavDouble) -> list[str]:
    """What lies in the coach's calendar."""
    with httpx.Client(base_url=double.server.url, auth=(double.people[0], PASSWORD)) as client:
        listing = client.request("PROPFIND", f"{double.home}/meetings/", headers={"depth": "1"}).text
        names = [part.partition("<")[0] for part in listing.split("<href>")[1:]]
        return [client.get(name).text for name in names if name.endswith(".ics")]


def by_hand(double: CaldavDouble, method: str, address: str, text: str | None = None) -> str:
    """What the coach does in their calendar."""
    with httpx.Client(auth=(double.people[0], PASSWORD)) as client:
        content = None if text is None else text.encode()
        answer = client.request(method, address, content=content, headers={"content-type": "text/calendar"})
        return answer.raise_for_status().text


def worked_out(text: str, since: datetime, until: datetime) -> list[datetime]:
    """When a calendar's owner sits down, as a calendar program works it out: dateutil's rules, nothing of ours."""
    from dateutil.rrule import rrulestr

    calendar = icalendar.Calendar.from_ical(text)
    found: set[datetime] = set()
    moved: dict[datetime, datetime] = {}
    for event in calendar.walk("VEVENT"):
        if "recurrence-id" in event:
            moved[event["recurrence-id"].dt.astimezone(UTC)] = event["dtstart"].dt.astimezone(UTC)
    for event in calendar.walk("VEVENT"):
        if "recurrence-id" in event or "rrule" not in event:
            continue
        start = event["dtstart"].dt
        zone = start.tzinfo
        # By the wall clock, as RFC 5545 has it; UNTIL is of UTC.
        rule = event["rrule"].to_ical().decode()
        limit = event["rrule"].get("UNTIL")
        rule = ";".join(part for part in rule.split(";") if not part.startswith("UNTIL"))
        gone = event.get("exdate", [])
        out = {one.dt.astimezone(UTC) for each in (gone if isinstance(gone, list) else [gone]) for one in each.dts}
        walls = rrulestr(rule, dtstart=start.replace(tzinfo=None))
        for wall in walls.between(datetime(2026, 1, 1), until.replace(tzinfo=None) + timedelta(days=2), inc=True):
            at = wall.replace(tzinfo=ZoneInfo(str(zone))).astimezone(UTC)
            if limit and at > limit[0]:
                continue
            if at not in out:
                found.add(moved.get(at, at))
    return sorted(one for one in found if since <= one <= until)


async def test_a_series_lies_in_the_calendar_as_the_tables_have_it(office: Office, radicale: CaldavDouble) -> None:
    begins = (datetime.now(ZoneInfo(ZONE)) + timedelta(days=2)).replace(
        hour=10, minute=0, second=0, microsecond=0, tzinfo=None
    )
    view = await office.series(first_start=begins)
    await office.work()
    (text,) = objects(radicale)
    assert "What nobody else" not in text
    assert "CLASS:PRIVATE" in text
    assert "BEGIN:VTIMEZONE" in text
    assert f"TZID={ZONE}" in text
    assert "METHOD" not in text
    row = await office.invitation()
    assert (row["delivered_sequence"], row["sequence"], row["way"], row["last_error"]) == (0, 0, "CALENDAR", None)
    sessions = await office.sessions()
    assert len(sessions) == 13
    moved_to = sessions[2]["starts_at"] + timedelta(hours=3)

    async def change(connection: Any) -> None:
        await plan_sessions.update_session(
            connection, office.coach, sessions[2]["id"], SessionChange(starts_at=moved_to)
        )
        await plan_sessions.end_session(
            connection, office.coach, sessions[3]["id"], SessionState.CANCELLED, datetime.now(UTC)
        )
        far = sessions[-1]["starts_at"].astimezone(ZoneInfo(ZONE)) + timedelta(days=14)
        await plan_series.move_occurrence(
            connection,
            office.coach,
            view.series.id,
            far,
            SessionChange(starts_at=far + timedelta(hours=1), title="Quarter"),
        )

    await office.do(change)
    await office.work()
    (text,) = objects(radicale)
    calendar = icalendar.Calendar.from_ical(text)
    assert {int(event["sequence"]) for event in calendar.walk("VEVENT")} == {3}
    assert {str(event["uid"]) for event in calendar.walk("VEVENT")} == {row["uid"]}
    sessions = await office.sessions()
    horizon = datetime.now(UTC) + plan_series.HORIZON
    expected = [one["starts_at"] for one in sessions if one["state"] != "CANCELLED" and one["starts_at"] <= horizon]
    assert worked_out(text, datetime.now(UTC), horizon) == expected
    assert moved_to in expected

    async def end(connection: Any) -> None:
        last = sessions[4]["starts_at"].astimezone(ZoneInfo(ZONE)).date()
        await plan_series.end_series(connection, office.coach, view.series.id, last, datetime.now(UTC))

    await office.do(end)
    await office.work()
    (text,) = objects(radicale)
    standing = [one["starts_at"] for one in await office.sessions() if one["state"] != "CANCELLED"]
    assert len(standing) == 4
    assert worked_out(text, datetime.now(UTC), horizon) == standing


async def test_the_wall_clock_stays_across_daylight_saving(office: Office, radicale: CaldavDouble) -> None:
    year = datetime.now(UTC).year + 1
    view = await office.series(first_start=datetime(year, 3, 1, 9, 30), rule="FREQ=DAILY")
    await office.work()
    (text,) = objects(radicale)
    ours = plan_series.occurrences(view.series, None, datetime(year, 12, 1, tzinfo=UTC))
    assert worked_out(text, datetime(year, 1, 1, tzinfo=UTC), datetime(year, 12, 1, tzinfo=UTC)) == ours
    assert {one.astimezone(ZoneInfo(ZONE)).strftime("%H:%M") for one in ours} == {"09:30"}
    assert len({one.strftime("%H:%M") for one in ours}) == 2


async def test_twice_is_once(office: Office, radicale: CaldavDouble) -> None:
    await office.series(first_start=datetime(2027, 1, 5, 10))
    await office.work()
    before = objects(radicale)
    # A kill between the calendar and the tables: the calendar has it, the tables do not know.
    async with acquire(office.team) as connection:
        await connection.execute(
            "UPDATE coaching_invitations SET delivered_sequence = -1, integration_id = NULL, place = NULL, "
            "etag = NULL, due_at = now() WHERE team_id = $1",
            office.team,
        )
    await look_after()
    await office.work()
    after = objects(radicale)

    def bare(texts: list[str]) -> list[list[str]]:
        return [[line for line in text.splitlines() if "DTSTAMP" not in line] for text in texts]

    assert bare(after) == bare(before)
    assert len(after) == 1
    assert (await office.invitation())["delivered_sequence"] == 0
    await look_after()
    assert await office.work() == []


async def test_what_somebody_changed_or_removed_by_hand_is_put_back(office: Office, radicale: CaldavDouble) -> None:
    view = await office.series(first_start=datetime(2027, 1, 5, 10))
    await office.work()
    row = await office.invitation()
    address = row["place"].replace(radicale.base_url, radicale.server.url)
    by_hand(radicale, "PUT", address, by_hand(radicale, "GET", address).replace("One-on-one", "Lunch"))

    async def end(connection: Any) -> None:
        await plan_series.end_series(connection, office.coach, view.series.id, date(2027, 3, 1), datetime.now(UTC))

    await office.do(end)
    await office.work()
    assert "Lunch" not in by_hand(radicale, "GET", address)
    by_hand(radicale, "DELETE", address)
    await office.do(
        lambda connection: plan_invitations.touch_series(connection, office.team, view.series.id, office.coach_id)
    )
    await office.work()
    assert len(objects(radicale)) == 1

    async def nothing(connection: Any) -> None:
        await plan_series.end_series(connection, office.coach, view.series.id, date(2026, 12, 1), datetime.now(UTC))

    await office.do(nothing)
    await office.work()
    assert objects(radicale) == []
    assert (await office.invitation())["withdrawn"]


async def test_what_comes_back_is_no_meeting(office: Office, radicale: CaldavDouble) -> None:
    radicale.add(1)
    begins = (datetime.now(UTC) - timedelta(hours=2)).replace(microsecond=0, tzinfo=None)
    await office.series(first_start=begins, rule="FREQ=DAILY", timezone="UTC")
    await office.work()
    assert len(objects(radicale)) == 2
    await office.sync(office.integration_id)
    # The rep's address is of no domain of the team's calendar owner: a guest from outside, were it a meeting.
    assert set(await office.activities()) == {"meeting-0@double.test"}
    assert await office.quarantine() == {}


async def test_a_server_that_is_away_is_tried_again(office: Office, radicale: CaldavDouble) -> None:
    radicale.faults.extend([Fault(status=503), Fault(), Fault(cut=True)])
    await office.series(first_start=datetime(2027, 1, 5, 10))
    await office.work()
    assert "503" in (await office.invitation())["last_error"]
    for _ in range(3):
        await office.hurry()
        await office.work()
    row = await office.invitation()
    assert (row["delivered_sequence"], row["last_error"]) == (0, None)
    assert len(objects(radicale)) == 1


@pytest.fixture
async def post() -> AsyncIterator[PostOffice]:
    """A mail server."""
    server = PostOffice()
    server.url = await server.open()  # type: ignore[attr-defined]
    yield server
    await server.close()


def calendar_of(mail: Taken) -> tuple[str, icalendar.Calendar]:
    """The invitation in a mail, with the method that its part names."""
    (part,) = [one for one in mail.message.walk() if one.get_content_type() == "text/calendar"]
    calendar = icalendar.Calendar.from_ical(part.get_content())
    assert str(calendar["method"]) == part.get_param("method")
    return str(calendar["method"]), calendar


async def test_without_a_calendar_everybody_is_told_by_mail(database: str, post: PostOffice) -> None:
    wire = wire_to()
    office = Office(wire)
    office.hire(post.url)  # type: ignore[attr-defined]
    try:
        await office.prepare(None)
        at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
        new = NewSession(office.rep_id, at, 45, "Pipeline", "What nobody else is to read")
        view = await office.do(lambda connection: plan_sessions.plan_session(connection, office.coach, new))
        await office.work()
        assert {mail.recipients[0] for mail in post.taken} == {"coach@sideline.test", "rep@elsewhere.test"}
        uids = set()
        for mail in post.taken:
            method, calendar = calendar_of(mail)
            (event,) = calendar.walk("VEVENT")
            assert method == "REQUEST"
            assert event["dtstart"].dt == at
            assert int(event["sequence"]) == 0
            assert event["dtend"].dt - event["dtstart"].dt == timedelta(minutes=45)
            assert str(event["organizer"]) == "mailto:sideline@sideline.test"
            assert {str(one) for one in event["attendee"]} == {
                "mailto:coach@sideline.test",
                "mailto:rep@elsewhere.test",
            }
            assert b"nobody else" not in mail.content
            uids.add(str(event["uid"]))
        assert len(uids) == 1
        # Cut off after the server had it: sent again under the same Message-ID.
        post.cut_after_data = 1
        change = SessionChange(starts_at=at + timedelta(hours=1))
        await office.do(
            lambda connection: plan_sessions.update_session(connection, office.coach, view.session.id, change)
        )
        await office.work()
        await office.hurry()
        await office.work()
        again = [mail for mail in post.taken if "Updated" in mail.message["subject"]]
        assert len({mail.message["message-id"] for mail in again}) == 2 < len(again)
        assert {int(calendar_of(mail)[1].walk("VEVENT")[0]["sequence"]) for mail in again} == {1}
        post.taken.clear()
        await office.do(
            lambda connection: plan_sessions.end_session(
                connection, office.coach, view.session.id, SessionState.CANCELLED, datetime.now(UTC)
            )
        )
        await office.work()
        assert [calendar_of(mail)[0] for mail in post.taken] == ["CANCEL", "CANCEL"]
        assert {str(calendar_of(mail)[1].walk("VEVENT")[0]["status"]) for mail in post.taken} == {"CANCELLED"}
    finally:
        await wire.close()


async def test_guests_of_a_calendar_are_told_by_mail_and_so_is_who_is_not_one_any_more(
    office: Office, radicale: CaldavDouble, post: PostOffice
) -> None:
    office.hire(post.url)  # type: ignore[attr-defined]
    async with acquire(ALL_TEAMS) as connection:
        role = await make_role(connection, office.team)
        co = await make_user(
            connection, office.team, role, email="co@sideline.test", manager_id=office.coach_id, name="Co"
        )
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    new = NewSession(office.rep_id, at, co_coach_ids=frozenset({co}))
    view = await office.do(lambda connection: plan_sessions.plan_session(connection, office.coach, new))
    await office.work()
    assert {mail.recipients[0] for mail in post.taken} == {"rep@elsewhere.test", "co@sideline.test"}
    (text,) = objects(radicale)
    unfolded = text.replace("\r\n ", "").replace("\n ", "")
    assert unfolded.count("SCHEDULE-AGENT=CLIENT") == 2
    post.taken.clear()
    change = SessionChange(co_coach_ids=frozenset())
    await office.do(lambda connection: plan_sessions.update_session(connection, office.coach, view.session.id, change))
    await office.work()
    assert {(mail.recipients[0], calendar_of(mail)[0]) for mail in post.taken} == {
        ("rep@elsewhere.test", "REQUEST"),
        ("co@sideline.test", "CANCEL"),
    }


async def test_who_was_told_before_a_delivery_broke_off_is_told_of_its_end(database: str, post: PostOffice) -> None:
    wire = wire_to()
    office = Office(wire)
    office.hire(post.url)  # type: ignore[attr-defined]
    try:
        await office.prepare(None)
        async with acquire(ALL_TEAMS) as connection:
            role = await make_role(connection, office.team)
            co = await make_user(
                connection, office.team, role, email="co@sideline.test", manager_id=office.coach_id, name="Co"
            )
        post.rcpt = lambda recipient: "451 4.3.0 Later" if recipient.startswith("co@") else None
        at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
        new = NewSession(office.rep_id, at, co_coach_ids=frozenset({co}))
        view = await office.do(lambda connection: plan_sessions.plan_session(connection, office.coach, new))
        await office.work()
        told = {mail.recipients[0] for mail in post.taken}
        assert told == {"coach@sideline.test", "rep@elsewhere.test"}
        assert (await office.invitation())["delivered_sequence"] == -1
        post.taken.clear()
        post.rcpt = lambda _recipient: None
        await office.do(
            lambda connection: plan_sessions.end_session(
                connection, office.coach, view.session.id, SessionState.CANCELLED, datetime.now(UTC)
            )
        )
        await office.hurry()
        await office.work()
        assert told <= {mail.recipients[0] for mail in post.taken}
        assert {calendar_of(mail)[0] for mail in post.taken} == {"CANCEL"}
        assert list((await office.invitation())["mailed_to"]) == []
    finally:
        await wire.close()


async def test_a_calendar_that_refuses_gives_way_to_mail_and_no_way_is_told(
    office: Office, radicale: CaldavDouble, post: PostOffice
) -> None:
    radicale.faults.append(Fault(status=401))
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    new = NewSession(office.rep_id, at)
    await office.do(lambda connection: plan_sessions.plan_session(connection, office.coach, new))
    await office.work()
    row = await office.invitation()
    assert row["delivered_sequence"] == -1
    assert "SIDELINE_SMTP_URL" in row["last_error"]
    office.hire(post.url)  # type: ignore[attr-defined]
    radicale.faults.append(Fault(status=401))
    async with acquire(office.team) as connection:
        await connection.execute("UPDATE coaching_invitations SET due_at = now() WHERE team_id = $1", office.team)
    await look_after()
    await office.work()
    row = await office.invitation()
    assert (row["delivered_sequence"], row["way"]) == (0, "MAIL")
    assert "sign in again" in row["last_error"]
    assert len(post.taken) == 2
