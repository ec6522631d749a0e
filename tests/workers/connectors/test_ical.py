"""Calendars behind a link.

Invariants:
A. A sync is one request; where nothing has changed it brings nothing, whatever the server knows of conditions.
B. If anything has, everything is listed, one document a UID, with the zones that it needs and nothing that is not read.
   What is gone is deleted, unless it was over for so long that the server may just not show it any more.
C. What is no calendar, or half of one, takes nothing away.
D. Who is invited is told by addresses, however they are written; the owner's other addresses are the owner's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from domain.connectors import Document, MappingContext, RemoteRefused, RemoteUnavailable
from domain.meetings import Attendee
from domain.records import RecordRefused
from tests.doubles.base import Fault
from tests.doubles.ical import CUSTOMER, IcalDouble, event_text
from tests.workers.connectors.session import TestSession, pull_all
from workers.connectors.ical import connector, own_addresses
from workers.connectors.ical.events import read_events
from workers.connectors.ical.feed import last_day, read_feed

OWNER = "rep@double.test"
NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


def context(**changes: Any) -> MappingContext:
    return replace(
        MappingContext(
            now=NOW,
            timezone="Europe/Berlin",
            currency="EUR",
            domains=frozenset({"double.test"}),
            owner=OWNER,
            members=frozenset({OWNER, "other@double.test"}),
            mapping={},
            syncs=frozenset(),
            rate=lambda _currency, _day: None,
            settings={},
        ),
        **changes,
    )


@pytest.fixture
def double() -> Iterator[IcalDouble]:
    with IcalDouble() as running:
        yield running


@pytest.fixture
async def session(double: IcalDouble) -> AsyncIterator[TestSession]:
    async with TestSession(double.base_url, double.settings, double.secrets) as opened:
        yield opened


@pytest.mark.parametrize("validators", [{"etag", "last-modified"}, {"etag"}, {"last-modified"}, set()])
async def test_a_sync_is_one_request_and_brings_nothing_twice(
    double: IcalDouble, session: TestSession, validators: set[str]
) -> None:
    double.validators = validators
    names = double.add(3)
    (page,), cursor = await pull_all(connector, session)
    assert page.begins_full
    assert [one.id for one in page.documents] == names
    (page,), cursor = await pull_all(connector, session, cursor)
    assert (page.documents, page.begins_full) == ((), False)
    double.change(names[1])
    double.remove(names[2])
    (page,), cursor = await pull_all(connector, session, cursor)
    assert not page.begins_full
    assert [(one.id, one.deleted) for one in page.documents] == [(names[2], True), (names[0], False), (names[1], False)]
    assert len(double.seen) == 3
    assert [one.status for one in double.seen] == [200, 304 if validators else 200, 200]


async def test_what_changes_with_each_export_is_no_change(double: IcalDouble, session: TestSession) -> None:
    double.validators = set()
    double.add(1)
    _, cursor = await pull_all(connector, session)
    text = double.events["meeting-0@double.test"]
    stamp = next(line for line in text.splitlines() if line.startswith("DTSTAMP"))
    double.put("meeting-0@double.test", text.replace(stamp, "DTSTAMP:20300101T000000Z\r\nDESCRIPTION:New text"))
    (page,), _ = await pull_all(connector, session, cursor)
    assert page.documents == ()


async def test_the_order_of_events_is_no_change(double: IcalDouble, session: TestSession) -> None:
    double.validators = set()
    double.add(3)
    _, cursor = await pull_all(connector, session)
    double.events = dict(reversed(double.events.items()))
    (page,), _ = await pull_all(connector, session, cursor)
    assert page.documents == ()


async def test_what_drops_out_of_a_window_stays_and_what_is_deleted_goes(
    double: IcalDouble, session: TestSession
) -> None:
    def at(days: int, *lines: str) -> str:
        begins = session.now + timedelta(days=days)
        return vevent(f"{days}{lines}", f"DTSTART:{begins:%Y%m%dT%H%M%SZ}", *lines)

    until = f"{session.now - timedelta(days=60):%Y%m%d}"
    kept = [at(-100), at(-40), at(-200, f"RRULE:FREQ=DAILY;UNTIL={until}"), at(-40, "DTEND:x", "RDATE:y")]
    gone = [at(-20), at(0), at(300), at(-200, "RRULE:FREQ=WEEKLY"), at(-200, "RRULE:FREQ=DAILY;COUNT=3")]
    for text in (*kept, *gone):
        double.put(text, text)
    (page,), cursor = await pull_all(connector, session)
    assert (len(page.documents), page.begins_full) == (9, True)
    double.events = {}
    double.modified += timedelta(seconds=1)
    (page,), cursor = await pull_all(connector, session, cursor)
    assert (page.begins_full, cursor["watched"]) == (False, {})
    assert sorted(one.id for one in page.documents) == sorted(text.split("\n")[1][4:] for text in gone)
    assert all(one.deleted for one in page.documents)


def test_the_last_day_of_an_event() -> None:
    assert last_day(vevent("a", "DTSTART;TZID=x:20260302T090000", "DTEND;TZID=x:20260303T090000")) == date(2026, 3, 3)
    assert last_day(vevent("a", "DTSTART:20260302T090000Z", "RDATE:20260401T090000Z,20260501/P1D")) == date(2026, 5, 1)
    assert last_day(vevent("a", "DTSTART:20260302T090000Z", "RRULE:FREQ=DAILY;until=20270101T000000Z")) == date(
        2027, 1, 1
    )
    assert last_day(vevent("a", "DTSTART:20260302T090000Z", "RRULE:FREQ=DAILY;COUNT=3")) is None
    assert last_day(vevent("a", "DTSTART:20261399")) is None
    zoned = feed_of(
        ZONE.format(name="Office").replace("END:ST", "RRULE:FREQ=DAILY\nEND:ST"),
        vevent("a", "DTSTART;TZID=Office:20260302T0"),
    )
    assert "RRULE" in zoned.events["a"]
    assert last_day(zoned.events["a"]) == date(2026, 3, 2)
    assert last_day("") is None


@pytest.mark.parametrize(
    "body",
    [
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n",
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:a\r\nEND:VEVENT\r\n",
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:a\r\nEND:VCALENDAR\r\n",
        "<html>Come back later</html>",
        "{",
        "",
    ],
)
async def test_half_a_calendar_and_none_take_nothing_away(double: IcalDouble, session: TestSession, body: str) -> None:
    double.add(2)
    _, cursor = await pull_all(connector, session)
    double.faults.append(Fault(status=200, body=body))
    with pytest.raises(RemoteUnavailable):
        await connector.pull(session, cursor)


async def test_a_check_tells_whose_calendar_it_is_and_keeps_its_secret(
    double: IcalDouble, session: TestSession
) -> None:
    account = await connector.check(session)
    assert account.name == "Meetings"
    assert double.path not in account.id
    double.header = "VERSION:2.0\r\n"
    assert (await connector.check(session)).name == "127.0.0.1"
    double.faults.append(Fault(status=200, body=" <!doctype html><title>Sign in</title>"))
    with pytest.raises(RemoteRefused, match="iCal format"):
        await connector.check(session)
    double.faults.append(Fault(status=200, body="nothing"))
    with pytest.raises(RemoteUnavailable):
        await connector.check(session)


@pytest.mark.parametrize("url", ["", "calendar.example/basic.ics", "ftp://calendar.example/a", "webcal:", "file:///x"])
async def test_what_is_no_address_is_refused(double: IcalDouble, url: str) -> None:
    async with TestSession(double.base_url, {}, {"url": url}) as session:
        with pytest.raises(RemoteRefused):
            await connector.check(session)


class Noted(TestSession):
    """Notes where requests go, and answers with what it was given."""

    def __init__(self, secret: str, *answers: httpx.Response) -> None:
        super().__init__("http://unused.test", {}, {"url": secret})
        self.asked: list[str] = []
        self.answers = list(answers)

    async def request(self, method: str, url: str, **_: Any) -> httpx.Response:
        self.asked.append(url)
        return self.answers.pop(0)


CALENDAR = "BEGIN:VCALENDAR\nEND:VCALENDAR\n"


async def test_webcal_is_https_and_redirects_stay_with_their_host() -> None:
    moved = httpx.Response(301, headers={"location": "/b.ics?token=1"})
    async with Noted("webcal://calendar.test/a.ics#top", moved, httpx.Response(200, text=CALENDAR)) as session:
        assert (await connector.pull(session, None)).begins_full
        assert session.asked == ["https://calendar.test/a.ics", "https://calendar.test/b.ics?token=1"]
    away = httpx.Response(302, headers={"location": "https://elsewhere.test/secret"})
    async with Noted("https://calendar.test/a.ics", away) as session:
        with pytest.raises(RemoteRefused, match=r"elsewhere\.test") as refused:
            await connector.pull(session, None)
        assert "secret" not in refused.value.message
    async with Noted("https://calendar.test/a.ics", *[moved] * 9) as session:
        with pytest.raises(RemoteRefused, match="more than"):
            await connector.pull(session, None)


async def test_a_calendar_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.connectors.ical.SIZE_LIMIT_BYTES", 20)
    async with Noted("https://calendar.test/a.ics", httpx.Response(200, text=CALENDAR)) as session:
        with pytest.raises(RemoteRefused, match="larger than"):
            await connector.pull(session, None)


# Taking a calendar apart.

ZONE = (
    "BEGIN:VTIMEZONE\nTZID:{name}\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0300\nTZOFFSETTO:+0300\n"
    "END:STANDARD\nEND:VTIMEZONE\n"
)


def feed_of(*parts: str, header: str = "") -> Any:
    feed = read_feed(f"\ufeffBEGIN:VCALENDAR\n{header}{''.join(parts)}END:VCALENDAR\n".replace("\n", "\r\n"))
    assert feed is not None
    return feed


def vevent(uid: str, *lines: str) -> str:
    return "".join(f"{line}\n" for line in ("BEGIN:VEVENT", f"UID:{uid}", *lines, "END:VEVENT"))


def test_a_document_holds_what_is_read_and_nothing_else() -> None:
    feed = feed_of(
        ZONE.format(name="Europe/Berlin"),
        ZONE.format(name="Office"),
        ZONE.format(name="Unused"),
        "BEGIN:VTODO\nUID:todo\nEND:VTODO\n",
        "BEGIN:VEVENT\nBEGIN:VALARM\nUID:alarm\nSUMMARY:Alarm\nEND:VALARM\nUID:a\nDESCRIPTION:Private\n"
        "DTSTART;TZID=Office:20260302T0\n 90000\nEND:VEVENT\n",
        vevent("b", "DTSTART;TZID=Europe/Berlin:20260302T090000", "SUMMARY:Long\n  line\u2028more"),
        vevent("a", "RECURRENCE-ID:20260302T060000Z", 'DTSTART;TZID="Office":20260302T100000'),
        header="X-WR-CALNAME:Mine\nX-WR-TIMEZONE:Europe/Berlin\n",
    )
    assert (feed.name, feed.zone, feed.whole, list(feed.events)) == ("Mine", "Europe/Berlin", True, ["a", "b"])
    assert feed.events["a"].count("BEGIN:VEVENT") == 2
    assert feed.events["a"].startswith(ZONE.format(name="Office"))
    for hidden in ("Private", "Alarm", "alarm", "Unused"):
        assert hidden not in feed.events["a"]
    assert "VTIMEZONE" not in feed.events["b"]
    _, events = read_events(feed.events["b"], UTC, OWNER, ())
    assert events[0].title == "Long line\u2028more"
    _, events = read_events(feed.events["a"], UTC, OWNER, ())
    assert {one.begins.utc.hour for one in events} == {6, 7}


def test_the_same_name_of_a_zone_in_two_calendars_is_two_zones() -> None:
    other = ZONE.replace("+0300", "-0500")
    first = feed_of(
        ZONE.format(name="Customized Time Zone"), vevent("a", "DTSTART;TZID=Customized Time Zone:20260302T120000")
    )
    second = feed_of(
        other.format(name="Customized Time Zone"), vevent("a", "DTSTART;TZID=Customized Time Zone:20260302T120000")
    )
    hours = [read_events(feed.events["a"], UTC, OWNER, ())[1][0].begins.utc.hour for feed in (first, second)]
    assert hours == [9, 17]


def test_an_event_without_a_uid_is_refused_alone() -> None:
    feed = feed_of(vevent("", "DTSTART:20260302T080000Z"), vevent("a", "DTSTART:20260302T080000Z"))
    assert len(feed.events) == 2
    nameless = next(uid for uid in feed.events if uid != "a")
    with pytest.raises(RecordRefused) as refused:
        read_events(feed.events[nameless], UTC, OWNER, ())
    assert refused.value.field == "UID"


def test_what_is_no_calendar() -> None:
    assert read_feed("") is None
    assert read_feed("BEGIN:VEVENT\nEND:VEVENT\n") is None
    assert read_feed("<html>BEGIN:VCALENDAR") is None


# Who is invited.


def people_of(*lines: str, own: frozenset[str] = frozenset()) -> tuple[str | None, tuple[Attendee, ...]]:
    _, (event,) = read_events(vevent("a", "DTSTART:20260302T080000Z", *lines), UTC, OWNER, own)
    return event.organizer, event.attendees


def test_addresses_however_they_are_written() -> None:
    organizer, attendees = people_of(
        'ORGANIZER;CN="Rep; the one":MAILTO:Rep@Double.test',
        "ATTENDEE;PARTSTAT=ACCEPTED;CN=x:mailto:a@customer.test",
        "ATTENDEE;PARTSTAT=DECLINED:mailto:b%40customer.test?subject=x",
        "ATTENDEE;PARTSTAT=TENTATIVE;EMAIL=C@customer.test:/principals/c/",
        "ATTENDEE;PARTSTAT=NEEDS-ACTION;EMAIL=d@customer.test:urn:uuid:1",
        "ATTENDEE;PARTSTAT=X-NEW:e@customer.test",
        "ATTENDEE;CUTYPE=ROOM:mailto:room@customer.test",
        "ATTENDEE;CUTYPE=RESOURCE:mailto:beamer@customer.test",
        "ATTENDEE:invalid:nomail",
        "ATTENDEE:urn:uuid:2",
        "ATTENDEE",
    )
    assert organizer == OWNER
    assert [(one.email, one.status) for one in attendees] == [
        ("a@customer.test", "accepted"),
        ("b@customer.test", "declined"),
        ("c@customer.test", "tentative"),
        ("d@customer.test", "needs_action"),
        ("e@customer.test", "needs_action"),
    ]


def test_who_has_no_organizer_made_it_in_their_own_calendar() -> None:
    assert people_of(f"ATTENDEE:mailto:{CUSTOMER}")[0] == OWNER
    assert people_of("ORGANIZER:invalid:nomail", f"ATTENDEE:mailto:{CUSTOMER}")[0] is None


def test_the_owners_other_addresses_are_the_owners() -> None:
    own = own_addresses({"addresses": "Rep@private.test, rep@old.test"})
    organizer, attendees = people_of("ORGANIZER:mailto:rep@private.test", "ATTENDEE:mailto:rep@OLD.test", own=own)
    assert (organizer, attendees[0].email) == (OWNER, OWNER)


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        ("CREATED:20260220T120000Z", datetime(2026, 2, 20, 12, tzinfo=UTC)),
        ("CREATED:20260220T120000", datetime(2026, 2, 20, 12, tzinfo=UTC)),
        ("CREATED:00001231T000000Z", None),
        ("CREATED:19700101T000000Z", None),
        ("CREATED:yesterday", None),
        ("X-CREATED:20260220T120000Z", None),
    ],
)
def test_when_it_was_made(created: str, expected: datetime | None) -> None:
    _, (event,) = read_events(vevent("a", "DTSTART:20260302T080000Z", created), UTC, OWNER, ())
    assert event.created_at == expected


# Mapping.


def test_a_document_becomes_meetings() -> None:
    text = event_text("a@b.test", NOW - timedelta(hours=2), timedelta(hours=1), "Demo; of, all", OWNER)
    document = Document("event", "a@b.test", {"text": text, "zone": None})
    mapped = connector.map(document, context(), None)
    assert mapped.records == [
        {
            "kind": "meeting",
            "externalId": "a@b.test",
            "user": OWNER,
            "occurredAt": (NOW - timedelta(days=3, hours=2)).isoformat(),
            "startsAt": (NOW - timedelta(hours=2)).isoformat(),
            "endsAt": (NOW - timedelta(hours=1)).isoformat(),
            "title": "Demo; of, all",
            "status": "held",
            "rescheduledCount": 0,
        }
    ]
    assert not connector.map(document, context(owner=None), None).records
    other = context(owner="rep2@double.test", settings={"addresses": OWNER})
    assert [record["user"] for record in connector.map(document, other, None).records if isinstance(record, dict)] == [
        "rep2@double.test"
    ]


def test_times_without_a_zone_are_the_calendars_or_else_the_teams() -> None:
    text = vevent("a", "DTSTART:20261102T090000", f"ATTENDEE:mailto:{CUSTOMER}")
    for zone, expected in (("America/New_York", "America/New_York"), ("Nowhere", "Asia/Tokyo"), (None, "Asia/Tokyo")):
        document = Document("event", "a", {"text": text, "zone": zone})
        (record,) = connector.map(document, context(timezone="Asia/Tokyo"), None).records
        assert isinstance(record, dict)
        starts_at = datetime(2026, 11, 2, 9, tzinfo=ZoneInfo(expected)).astimezone(UTC)
        assert record["startsAt"] == starts_at.isoformat()


def test_what_is_private_is_not_worked_out_unless_it_was_told() -> None:
    guests = f"ATTENDEE:mailto:{CUSTOMER}"
    lines = ("DTSTART:20261026T090000Z", "DURATION:PT1H", "RRULE:FREQ=WEEKLY", "CREATED:20261020T000000Z")
    told = connector.map(Document("event", "a", {"text": vevent("a", *lines, guests), "zone": None}), context(), None)
    assert len(told.records) == 3
    private = Document("event", "a", {"text": vevent("a", *lines), "zone": None})
    assert connector.map(private, context(), None).again_at is None
    assert not connector.map(private, context(), told.state).records


@pytest.mark.parametrize(
    "data", [None, [], "x", {"text": 1}, {"text": "BEGIN:VEVENT", "zone": None}, {"text": "", "zone": 1}]
)
def test_what_is_no_document_is_refused(data: Any) -> None:
    with pytest.raises(RecordRefused):
        connector.map(Document("event", "a", data), context(), None)
