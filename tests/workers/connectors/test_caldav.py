"""CalDAV, with a real server: Radicale, in which people keep their calendars by a client.

Invariants:
A. What a person does in their calendars (meet, move, cancel, decline, recur, except, delete, move to another calendar)
   shows after the next sync, and only that travels.
B. A sync in which nothing has changed is one request, however many calendars there are.
C. Without sync tokens, and without ctags, it is the same by ETags.
D. Where tokens are forgotten or calendars go, everything is listed anew, and nothing is lost.
E. The calendars are found from whatever address a person gives; the password goes nowhere else.
F. No answer, however mad, is taken for "nothing there".
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

import caldav
import httpx
import orjson
import pytest
from starlette.requests import Request
from starlette.responses import Response

from domain.connectors import (
    Cursor,
    CursorExpired,
    Document,
    Mapped,
    MappingContext,
    RemoteRefused,
    RemoteUnavailable,
    SignInNeeded,
)
from domain.records import RecordRefused
from tests.doubles.caldav import PASSWORD, CaldavDouble
from tests.doubles.ical import CUSTOMER, IcalDouble
from tests.workers.connectors.session import TestSession, pull_all
from workers.connectors.caldav import connector, pulling
from workers.connectors.caldav.dav import quoted, target_of

OWNER = "rep@double.test"
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)


def context(now: datetime, settings: dict[str, str] | None = None) -> MappingContext:
    return MappingContext(
        now=now,
        timezone="Europe/Berlin",
        currency="EUR",
        domains=frozenset({"double.test"}),
        owner=OWNER,
        members=frozenset({OWNER, "other@double.test"}),
        mapping={},
        syncs=frozenset(),
        rate=lambda _currency, _day: None,
        settings=settings or {},
    )


@dataclass
class Notebook:
    """What a runner keeps of a connection.

    Args:
        session: Speaks with the server.
        cursor: Where the last sync ended.
        documents: By id, with what their last mapping came to.
        brought: The ids of documents that the last sync brought; those of deleted ones with a minus.
    """

    session: TestSession
    cursor: Cursor | None = None
    documents: dict[str, tuple[Document, Mapped]] = field(default_factory=dict)
    brought: list[str] = field(default_factory=list)

    async def sync(self, now: datetime = START - DAY) -> dict[str, dict[str, Any]]:
        """Sync; the meetings that stand then."""
        try:
            pages, self.cursor = await pull_all(connector, self.session, self.cursor)
        except CursorExpired:
            pages, self.cursor = await pull_all(connector, self.session, None)
        if any(page.begins_full for page in pages):
            named = {one.id for page in pages for one in page.documents}
            self.documents = {name: kept for name, kept in self.documents.items() if name in named}
        documents = [one for page in pages for one in page.documents]
        self.brought = [f"-{one.id}" if one.deleted else one.id for one in documents]
        for one in documents:
            if one.deleted:
                self.documents.pop(one.id, None)
            else:
                self._map(one, now)
        for one, mapped in list(self.documents.values()):
            if mapped.again_at is not None and mapped.again_at <= now:
                self._map(one, now)
        records = [record for _, mapped in self.documents.values() for record in mapped.records]
        return {record["externalId"]: record for record in records if isinstance(record, dict)}

    def _map(self, document: Document, now: datetime) -> None:
        before = self.documents.get(document.id)
        state = None if before is None else before[1].state
        state = orjson.loads(orjson.dumps(state))
        self.documents[document.id] = (document, connector.map(document, context(now), state))


class WithoutTokens(CaldavDouble):
    """A server that knows neither sync tokens nor the report of them."""

    hidden: ClassVar[tuple[bytes, ...]] = (b"sync-token", b"sync-collection")

    async def _pass_on(self, request: Request) -> Response:
        body = await request.body()
        if b"<D:sync-collection" in body:
            return Response("<error xmlns='DAV:'><supported-report/></error>", 403, media_type="application/xml")
        answer = await super()._pass_on(request)
        content = bytes(answer.body)
        for name in self.hidden:
            content = re.sub(rb"(</?)([A-Za-z]*:)?" + name, rb"\1\2unknown-" + name, content)
        kept = {key: value for key, value in answer.headers.items() if key != "content-length"}
        return Response(content, answer.status_code, kept)


class WithEtagsAlone(WithoutTokens):
    """A server that tells nothing of the state of a calendar."""

    hidden: ClassVar[tuple[bytes, ...]] = (*WithoutTokens.hidden, b"getctag")


class WithTokensAlone(CaldavDouble):
    """A server without ctags."""

    async def _pass_on(self, request: Request) -> Response:
        answer = await super()._pass_on(request)
        kept = {key: value for key, value in answer.headers.items() if key != "content-length"}
        return Response(bytes(answer.body).replace(b"getctag", b"nothing"), answer.status_code, kept)


SERVERS = [CaldavDouble, WithTokensAlone, WithoutTokens, WithEtagsAlone]


@pytest.fixture
def double(request: pytest.FixtureRequest) -> Iterator[CaldavDouble]:
    with getattr(request, "param", CaldavDouble)() as running:
        yield running


@pytest.fixture
async def notebook(double: CaldavDouble) -> AsyncIterator[Notebook]:
    async with TestSession(double.base_url, double.settings, double.secrets) as session:
        yield Notebook(session)


@pytest.fixture
def person(double: CaldavDouble) -> Iterator[caldav.DAVClient]:
    """A person with a client of the usual kind."""
    with caldav.DAVClient(url=double.server.url, username=OWNER, password=PASSWORD) as client:
        yield client


@pytest.fixture
def calendar(person: caldav.DAVClient) -> Any:
    (found,) = person.principal().calendars()
    return found


def text_of(uid: str, starts_at: datetime = START, *lines: str, answer: str = "ACCEPTED", title: str = "Demo") -> str:
    body = "\r\n".join(
        [
            f"UID:{uid}",
            "DTSTAMP:20260201T000000Z",
            "CREATED:20260220T120000Z",
            f"DTSTART:{starts_at:%Y%m%dT%H%M%SZ}",
            "DURATION:PT1H",
            f"SUMMARY:{title}",
            f"ORGANIZER:mailto:{OWNER}",
            f"ATTENDEE;PARTSTAT={answer}:mailto:{CUSTOMER}",
            *lines,
        ]
    )
    return f"BEGIN:VEVENT\r\n{body}\r\nEND:VEVENT\r\n"


def calendar_of(*events: str) -> str:
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//person//\r\n{''.join(events)}END:VCALENDAR\r\n"


def save(calendar: Any, *events: str) -> Any:
    return calendar.save_event(calendar_of(*events))


# What a person does.


@pytest.mark.parametrize("double", SERVERS, indirect=True)
async def test_a_meeting_from_its_making_to_its_end(notebook: Notebook, calendar: Any) -> None:
    assert await notebook.sync() == {}
    event = save(calendar, text_of("meeting"))
    found = await notebook.sync()
    assert found == {
        "meeting": {
            "kind": "meeting",
            "externalId": "meeting",
            "user": OWNER,
            "occurredAt": "2026-02-20T12:00:00+00:00",
            "startsAt": "2026-03-02T09:00:00+00:00",
            "endsAt": "2026-03-02T10:00:00+00:00",
            "title": "Demo",
            "status": "booked",
            "rescheduledCount": 0,
        }
    }
    # Moved by the client, as it stands in the calendar.
    with event.edit_icalendar_component() as component:
        component["DTSTART"].dt = START + DAY
    event.save()
    moved = (await notebook.sync())["meeting"]
    assert (moved["startsAt"], moved["rescheduledCount"]) == ("2026-03-03T09:00:00+00:00", 1)
    assert len(notebook.brought) == 1
    assert (await notebook.sync(START + 2 * DAY))["meeting"]["status"] == "held"
    assert notebook.brought == []
    event.delete()
    assert await notebook.sync() == {}
    assert notebook.brought == ["-/rep@double.test/meetings/meeting.ics"]


async def test_cancelled_declined_and_taken_up_again(notebook: Notebook, calendar: Any) -> None:
    save(calendar, text_of("meeting"))
    assert (await notebook.sync())["meeting"]["status"] == "booked"
    save(calendar, text_of("meeting", answer="DECLINED"))
    assert (await notebook.sync())["meeting"]["status"] == "cancelled"
    save(calendar, text_of("meeting", START + HOUR))
    back = (await notebook.sync())["meeting"]
    assert (back["status"], back["rescheduledCount"]) == ("booked", 1)
    save(calendar, text_of("meeting", START + HOUR, "STATUS:CANCELLED"))
    assert (await notebook.sync())["meeting"]["status"] == "cancelled"
    # What was off before anybody looked is no meeting.
    save(calendar, text_of("other", START, "STATUS:CANCELLED"))
    assert set(await notebook.sync()) == {"meeting"}


async def test_a_series_with_all_that_happens_to_it(notebook: Notebook, calendar: Any) -> None:
    weekly = "RRULE:FREQ=WEEKLY"
    save(calendar, text_of("series", START, weekly))
    now = START + WEEK + DAY

    def days(found: dict[str, dict[str, Any]]) -> list[tuple[str, str, str, str, int]]:
        return [
            (name[-20:-15], one["occurredAt"][5:10], one["startsAt"][5:10], one["status"], one["rescheduledCount"])
            for name, one in found.items()
        ]

    assert days(await notebook.sync(now)) == [
        ("03-02", "02-20", "03-02", "held", 0),
        ("03-09", "03-02", "03-09", "held", 0),
        ("03-16", "03-09", "03-16", "booked", 0),
    ]
    # The next is moved by two days.
    moved = text_of("series", START + 2 * WEEK + 2 * DAY, "RECURRENCE-ID:20260316T090000Z")
    save(calendar, text_of("series", START, weekly), moved)
    assert days(await notebook.sync(now))[2] == ("03-16", "03-09", "03-18", "booked", 1)
    # Nothing is done, and time goes by: no request brings anything, and what comes next is booked.
    later = days(await notebook.sync(START + 2 * WEEK + 3 * DAY))
    assert notebook.brought == []
    assert later[2:] == [("03-16", "03-09", "03-18", "held", 1), ("03-23", "03-18", "03-23", "booked", 0)]
    # The customer declines the next one, and the one after is taken off the calendar.
    declined = text_of("series", START + 3 * WEEK, "RECURRENCE-ID:20260323T090000Z", answer="DECLINED")
    save(calendar, text_of("series", START, weekly, "EXDATE:20260330T090000Z"), moved, declined)
    assert days(await notebook.sync(START + 2 * WEEK + 4 * DAY))[3:] == [
        ("03-23", "03-18", "03-23", "cancelled", 0),
        ("04-06", "03-18", "04-06", "booked", 0),
    ]
    # The series ends.
    save(calendar, text_of("series", START, f"{weekly};UNTIL=20260401T000000Z", "EXDATE:20260330T090000Z"), moved)
    ended = days(await notebook.sync(START + 5 * WEEK))
    assert [one[3] for one in ended] == ["held", "held", "held", "held", "cancelled"]


async def test_an_event_that_moves_to_another_calendar_stays_one(
    notebook: Notebook, calendar: Any, person: caldav.DAVClient, double: CaldavDouble
) -> None:
    second = person.principal().make_calendar(name="Second", cal_id="a-second")
    third = person.principal().make_calendar(name="Third", cal_id="z-third")
    for number, target in enumerate((second, third)):
        event = save(calendar, text_of(f"meeting-{number}"))
        before = await notebook.sync()
        # As clients do it: by MOVE, or by making it there and deleting it here.
        if number == 0:
            answer = person.request(str(event.url), "MOVE", "", {"destination": f"{target.url}meeting-0.ics"})
            assert answer.status == 201
        else:
            save(target, text_of(f"meeting-{number}"))
            event.delete()
        assert await notebook.sync() == before
        assert len(notebook.brought) == 2
        assert len([name for name in notebook.documents if name.endswith(f"meeting-{number}.ics")]) == 1


@pytest.mark.parametrize("double", SERVERS, indirect=True)
async def test_a_sync_of_nothing_is_one_request(
    notebook: Notebook, calendar: Any, person: caldav.DAVClient, double: CaldavDouble
) -> None:
    for number in range(4):
        save(person.principal().make_calendar(cal_id=f"calendar-{number}"), text_of(f"meeting-{number}"))
    assert len(await notebook.sync()) == 4
    before = len(double.requests)
    await notebook.sync()
    # One for each calendar more, where a server tells nothing of a calendar's state.
    assert len(double.requests) - before == (6 if type(double) is WithEtagsAlone else 1)
    assert notebook.brought == []
    save(person.principal().calendar(cal_id="calendar-2"), text_of("one more"))
    before = len(double.requests)
    assert len(await notebook.sync()) == 5
    if type(double) is not WithEtagsAlone:
        assert len(double.requests) - before == 3
    assert len(notebook.brought) == 1


async def test_only_calendars_of_events_and_in_them_only_events(
    notebook: Notebook, calendar: Any, person: caldav.DAVClient, double: CaldavDouble
) -> None:
    tasks = person.principal().make_calendar(cal_id="tasks", supported_calendar_component_set=["VTODO"])
    tasks.save_todo(calendar_of("BEGIN:VTODO\r\nUID:task\r\nDTSTAMP:20260201T000000Z\r\nSUMMARY:x\r\nEND:VTODO\r\n"))
    calendar.save_todo(calendar_of("BEGIN:VTODO\r\nUID:todo\r\nDTSTAMP:20260201T000000Z\r\nSUMMARY:x\r\nEND:VTODO\r\n"))
    save(calendar, text_of("meeting"))
    assert set(await notebook.sync()) == {"meeting"}
    assert sorted(notebook.brought) == ["-/rep@double.test/meetings/todo.ics", "/rep@double.test/meetings/meeting.ics"]
    assert notebook.cursor is not None
    assert list(notebook.cursor["calendars"]) == ["/rep@double.test/meetings/"]


@pytest.mark.parametrize("double", [CaldavDouble, WithoutTokens], indirect=True)
@pytest.mark.parametrize("name", ["with space.ics", "100%.ics", "ü@x.ics", "a+b&c=d;e.ics", "no-ending"])
async def test_resources_of_any_name(
    notebook: Notebook, person: caldav.DAVClient, double: CaldavDouble, name: str
) -> None:
    async with httpx.AsyncClient(auth=(OWNER, PASSWORD)) as client:
        address = f"{double.server.url}/rep%40double.test/meetings/{quote(name, safe='')}"
        put = await client.put(address, content=calendar_of(text_of("u")), headers={"content-type": "text/calendar"})
        put.raise_for_status()
        assert set(await notebook.sync()) == {"u"}
        (await client.delete(address)).raise_for_status()
    assert await notebook.sync() == {}
    assert notebook.documents == {}


@pytest.mark.parametrize("double", [CaldavDouble, WithoutTokens], indirect=True)
async def test_many_come_in_lots_and_a_kill_repeats_one(
    notebook: Notebook, double: CaldavDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "LOT", 3)
    names = double.add(10)
    cursor: Any = None
    seen: list[str] = []
    sizes = []
    while True:
        page = await connector.pull(notebook.session, cursor)
        # Whoever is killed here pulls the same again.
        again = await connector.pull(notebook.session, cursor)
        assert [one.id for one in again.documents] == [one.id for one in page.documents]
        assert page.begins_full == (cursor is None)
        cursor = orjson.loads(orjson.dumps(page.cursor))
        seen += [one.id for one in page.documents]
        sizes.append(len(page.documents))
        if page.done:
            break
    assert sizes == [3, 3, 3, 1]
    assert sorted(seen) == sorted(f"/rep@double.test/meetings/{name}.ics" for name in names)
    assert cursor["lot"] == []


# What servers forget.


async def test_a_forgotten_token_begins_anew(notebook: Notebook, calendar: Any) -> None:
    save(calendar, text_of("meeting"))
    save(calendar, text_of("other"))
    await notebook.sync()
    assert notebook.cursor is not None
    cursor = orjson.loads(orjson.dumps(notebook.cursor))
    cursor["calendars"]["/rep@double.test/meetings/"] |= {
        "token": "http://radicale.org/ns/sync/" + "0" * 64,
        "ctag": "",
    }
    with pytest.raises(CursorExpired):
        await pull_all(connector, notebook.session, cursor)
    # What was deleted meanwhile is not named by the listing that follows.
    calendar.event_by_uid("other").delete()
    notebook.cursor = cursor
    assert set(await notebook.sync()) == {"meeting"}


async def test_a_calendar_that_goes_takes_its_meetings_along(
    notebook: Notebook, calendar: Any, person: caldav.DAVClient
) -> None:
    second = person.principal().make_calendar(cal_id="second")
    save(second, text_of("gone"))
    save(calendar, text_of("stays"))
    assert set(await notebook.sync()) == {"gone", "stays"}
    second.delete()
    assert set(await notebook.sync()) == {"stays"}
    assert set(await notebook.sync()) == {"stays"}


async def test_a_calendar_that_may_not_be_read_does_not_stand_in_the_way(
    notebook: Notebook, calendar: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(calendar, text_of("meeting"))
    request = TestSession.request

    async def guarded(self: TestSession, method: str, url: str, **rest: Any) -> httpx.Response:
        if "/busy/" in url:
            return httpx.Response(403, request=httpx.Request(method, url))
        answer = await request(self, method, url, **rest)
        if method == "PROPFIND" and url.endswith("/rep%40double.test/"):
            text = re.sub(
                r"(?s)<response>(?:(?!</response>).)*?/meetings/.*?</response>",
                lambda found: found[0] + found[0].replace("/meetings/", "/busy/"),
                answer.text,
            )
            return httpx.Response(207, text=text, request=answer.request)
        return answer

    monkeypatch.setattr(TestSession, "request", guarded)
    assert set(await notebook.sync()) == {"meeting"}
    assert notebook.cursor is not None
    assert len(notebook.cursor["calendars"]) == 2


async def test_another_home_begins_anew(notebook: Notebook, calendar: Any) -> None:
    save(calendar, text_of("meeting"))
    await notebook.sync()
    assert notebook.cursor is not None
    notebook.session.settings["home"] = f"{notebook.session.base_url}/other@double.test/"
    with pytest.raises(CursorExpired):
        await connector.pull(notebook.session, notebook.cursor)


# Where calendars are.


@pytest.mark.parametrize(
    "path", ["", "/", "/rep@double.test/", "/rep%40double.test", "/rep@double.test/meetings/", "/.well-known/caldav"]
)
async def test_calendars_are_found_from_whatever_address(double: CaldavDouble, notebook: Notebook, path: str) -> None:
    double.add(2)
    notebook.session.settings["url"] = double.base_url + path
    account = await connector.check(notebook.session)
    assert account.settings["home"].rstrip("/") == f"{double.base_url}/rep%40double.test"
    assert (account.name, account.id) == (OWNER, "rep@double.test@127.0.0.1")
    notebook.session.settings.update(account.settings)
    assert len(await notebook.sync(datetime.now(UTC))) == 2


async def test_a_wrong_password_needs_a_person(double: CaldavDouble) -> None:
    async with TestSession(double.base_url, double.settings, {"password": "other"}) as session:
        with pytest.raises(SignInNeeded):
            await connector.check(session)


async def test_an_account_without_calendars_is_told(double: CaldavDouble) -> None:
    settings = {"url": double.base_url, "username": "other@double.test"}
    async with TestSession(double.base_url, settings, double.secrets) as session:
        with pytest.raises(RemoteRefused, match="no calendar"):
            await connector.check(session)


async def test_where_there_is_no_caldav() -> None:
    with IcalDouble() as website:
        async with TestSession(
            website.base_url, {"url": website.base_url, "username": "x"}, {"password": "x"}
        ) as session:
            with pytest.raises(RemoteRefused, match="no CalDAV"):
                await connector.check(session)


@pytest.mark.parametrize("url", ["", "ftp://x.test", "https://", "javascript:alert(1)"])
async def test_what_is_no_address_is_refused(url: str) -> None:
    async with TestSession("http://unused.test", {"url": url, "username": "x"}, {"password": "x"}) as session:
        with pytest.raises((RemoteRefused, RemoteUnavailable)):
            await connector.check(session)


def test_the_password_goes_to_another_host_by_https_alone() -> None:
    assert target_of("https://a.test/x/", "../y/") == "https://a.test/y/"
    assert target_of("http://a.test/x/", "/y") == "http://a.test/y"
    assert target_of("https://a.test/", "https://p42.a.test/home/") == "https://p42.a.test/home/"
    for url, target in (
        ("https://a.test/", "http://a.test/"),
        ("http://a.test/", "http://b.test/"),
        ("https://a.test/", "ftp://a.test/"),
    ):
        with pytest.raises(RemoteRefused):
            target_of(url, target)


# Answers of servers that are not here.


class Canned(TestSession):
    """Answers with what it was given, by what the request asks for; notes what it was asked."""

    def __init__(self, *answers: str | httpx.Response) -> None:
        super().__init__("http://unused.test", {"url": "https://dav.test/", "username": OWNER}, {"password": "x"})
        self.answers = list(answers)
        self.asked: list[tuple[str, str, bytes, Any]] = []

    async def request(self, method: str, url: str, **rest: Any) -> httpx.Response:
        self.asked.append((method, url, rest["content"], rest["headers"].get("depth")))
        answer = self.answers.pop(0)
        if isinstance(answer, str):
            answer = httpx.Response(207, text=answer)
        answer.request = httpx.Request(method, url)
        assert answer.status_code < 300 or answer.status_code in rest["expected"]
        return answer


@asynccontextmanager
async def canned(*answers: str | httpx.Response) -> AsyncIterator[Canned]:
    async with Canned(*answers) as session:
        yield session


def multistatus(*responses: str, rest: str = "") -> str:
    return (
        '<?xml version="1.0"?><d:multistatus xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav" '
        f'xmlns:cs="http://calendarserver.org/ns/">{"".join(responses)}{rest}</d:multistatus>'
    )


def properties(href: str, *parts: str, status: str = "HTTP/1.1 200 OK") -> str:
    return (
        f"<d:response><d:href>{href}</d:href><d:propstat><d:prop>{''.join(parts)}</d:prop>"
        f"<d:status>{status}</d:status></d:propstat></d:response>"
    )


def token(value: str) -> str:
    return f"<d:sync-token>{value}</d:sync-token>"


CALENDAR_TYPE = "<d:resourcetype><d:collection/><c:calendar/></d:resourcetype>"
REPORTS = (
    "<d:supported-report-set><d:supported-report><d:report><d:sync-collection/></d:report></d:supported-report>"
    "</d:supported-report-set>"
)
HOME = "<c:calendar-home-set><d:href>https://p42.dav.test/1234/calendars/</d:href></c:calendar-home-set>"
ADDRESSES = (
    "<c:calendar-user-address-set><d:href>mailto:Rep@double.test</d:href><d:href>mailto:rep@me.test</d:href>"
    "<d:href>/1234/principal/</d:href></c:calendar-user-address-set>"
)


async def test_a_home_on_another_host_and_addresses_of_the_principal() -> None:
    principal = "<d:current-user-principal><d:href>/1234/principal/</d:href></d:current-user-principal>"
    async with canned(
        httpx.Response(404),
        httpx.Response(301, headers={"location": "/dav"}),
        multistatus(properties("/dav", principal)),
        multistatus(properties("/1234/principal/", HOME, ADDRESSES)),
        multistatus(
            properties("/1234/calendars/", "<d:resourcetype><d:collection/></d:resourcetype>"),
            properties("/1234/calendars/work/", CALENDAR_TYPE, token("t1"), "<cs:getctag>c1</cs:getctag>"),
            properties("/1234/calendars/inbox/", "<d:resourcetype><c:schedule-inbox/></d:resourcetype>"),
        ),
    ) as session:
        account = await connector.check(session)
        assert account.settings == {
            "home": "https://p42.dav.test/1234/calendars/",
            "principal_addresses": "rep@double.test rep@me.test",
        }
        assert [(method, url) for method, url, _, _ in session.asked] == [
            ("PROPFIND", "https://dav.test/"),
            ("PROPFIND", "https://dav.test/.well-known/caldav"),
            ("PROPFIND", "https://dav.test/dav"),
            ("PROPFIND", "https://dav.test/1234/principal/"),
            ("PROPFIND", "https://p42.dav.test/1234/calendars/"),
        ]
    document = Document("event", "x", {"text": text_of("x").replace(OWNER, "rep@me.test"), "zone": None})
    assert not connector.map(document, context(START), None).records
    assert connector.map(document, context(START, dict(account.settings)), None).records
    # An address that a colleague has on the team is the colleague's.
    document = Document("event", "x", {"text": text_of("x").replace(OWNER, "other@double.test"), "zone": None})
    settings = {"principal_addresses": "other@double.test", "username": "other@double.test"}
    assert not connector.map(document, context(START, settings), None).records


async def test_a_single_calendar_as_its_own_home() -> None:
    itself = properties("/cal/", CALENDAR_TYPE, "<cs:getctag>c1</cs:getctag>")
    data = calendar_of(text_of("a"))
    async with canned(
        multistatus(properties("/cal/", CALENDAR_TYPE)),
        multistatus(itself, properties("/cal/a.ics", "<d:resourcetype/>")),
        multistatus(itself, properties("/cal/a.ics", "<d:resourcetype/>")),
        multistatus(itself, properties("/cal/a.ics", '<d:getetag>"1"</d:getetag>', "<d:resourcetype/>")),
        multistatus(properties("/cal/a.ics", f"<c:calendar-data>{data}</c:calendar-data>")),
    ) as session:
        session.settings["url"] = "https://dav.test/cal/"
        account = await connector.check(session)
        assert account.settings["home"] == "https://dav.test/cal/"
        session.settings.update(account.settings)
        page = await connector.pull(session, None)
        assert [one.id for one in page.documents] == ["/cal/a.ics"]
        assert page.done


async def test_a_server_that_tells_in_parts_is_asked_for_the_rest() -> None:
    listing = multistatus(properties("/h/c/", CALENDAR_TYPE, token("t3"), REPORTS))
    part = "<d:response><d:href>/h/c/</d:href><d:status>HTTP/1.1 507 Insufficient Storage</d:status></d:response>"

    def changed(name: str) -> str:
        return properties(f"/h/c/{name}", '<d:getetag>"1"</d:getetag>')

    def gone(name: str) -> str:
        return f"<d:response><d:href>/h/c/{name}</d:href><d:status>HTTP/1.1 404 Not Found</d:status></d:response>"

    def data(name: str) -> str:
        text = calendar_of(text_of(name)).replace("\r\n", "&#13;\n")
        return multistatus(properties(f"/h/c/{name}", f"<c:calendar-data>{text}</c:calendar-data>"))

    async with canned(
        listing,
        multistatus(changed("a"), part, rest=token("t1")),
        data("a"),
        multistatus(gone("b"), part, rest=token("t2")),
        multistatus(
            changed("c"), properties("/h/c/", "<d:getetag/>"), properties("/h/c/sub/", "<d:getetag/>"), rest=token("t3")
        ),
        data("c"),
        listing,
    ) as session:
        session.settings["home"] = "https://dav.test/h/"
        pages, cursor = await pull_all(connector, session)
        assert [[(one.id, one.deleted) for one in page.documents] for page in pages] == [
            [("/h/c/a", False)],
            [("/h/c/b", True)],
            [("/h/c/c", False)],
        ]
        assert [page.begins_full for page in pages] == [True, False, False]
        pages, _ = await pull_all(connector, session, cursor)
        assert [page.documents for page in pages] == [()]
        reports = [body for _, _, body, _ in session.asked if b"<D:sync-collection" in body]
        assert [re.findall(rb"<D:sync-token>([^<]*)<", body) for body in reports] == [[b""], [b"t1"], [b"t2"]]
        depths = {(method, depth) for method, _, body, depth in session.asked}
        # RFC 6578 wants a depth of 0 for sync-collection; RFC 4791 wants none for calendar-multiget.
        assert depths == {("PROPFIND", "1"), ("REPORT", "0"), ("REPORT", None)}


async def test_a_server_that_tells_the_same_part_for_ever_is_not_followed() -> None:
    part = "<d:response><d:href>/h/c/</d:href><d:status>HTTP/1.1 507 Insufficient Storage</d:status></d:response>"
    async with canned(
        multistatus(properties("/h/c/", CALENDAR_TYPE, token("t3"), REPORTS)),
        multistatus(part, rest=token("t1")),
        multistatus(part, rest=token("t1")),
    ) as session:
        session.settings["home"] = "https://dav.test/h/"
        page = await connector.pull(session, None)
        with pytest.raises(RemoteUnavailable):
            await connector.pull(session, page.cursor)


async def test_times_without_a_zone_are_of_the_calendars_own() -> None:
    zone = (
        "<c:calendar-timezone>BEGIN:VCALENDAR&#13;\nBEGIN:VTIMEZONE&#13;\nTZID:America/New_York&#13;\nEND:VTIMEZONE&#13;\n"
        "END:VCALENDAR</c:calendar-timezone>"
    )
    text = calendar_of(text_of("a").replace("DTSTART:20260302T090000Z", "DTSTART:20260302T090000"))
    async with canned(
        multistatus(properties("/h/c/", CALENDAR_TYPE, token("t1"), zone)),
        multistatus(properties("/h/c/a", "<d:getetag>1</d:getetag>"), rest=token("t1")),
        multistatus(properties("/h/c/a", f"<c:calendar-data>{text}</c:calendar-data>")),
    ) as session:
        session.settings["home"] = "https://dav.test/h/"
        (document,) = (await connector.pull(session, None)).documents
        (record,) = connector.map(document, context(START), None).records
        assert isinstance(record, dict)
        assert record["startsAt"] == "2026-03-02T14:00:00+00:00"


@pytest.mark.parametrize(
    ("data", "deleted"),
    [("", False), ("BEGIN:VCALENDAR\nEND:VCALENDAR", True), ("BEGIN:VCALENDAR\nBEGIN:VEVENT", False), ("?", False)],
)
async def test_what_a_resource_may_hold_instead_of_an_event(data: str, deleted: bool) -> None:
    async with canned(
        multistatus(properties("/h/c/", CALENDAR_TYPE, token("t1"))),
        multistatus(properties("/h/c/a", "<d:getetag>1</d:getetag>"), rest=token("t1")),
        multistatus(properties("/h/c/a", f"<c:calendar-data>{data}</c:calendar-data>")),
    ) as session:
        session.settings["home"] = "https://dav.test/h/"
        (document,) = (await connector.pull(session, None)).documents
        assert document.deleted is deleted
        if not deleted:
            with pytest.raises(RecordRefused):
                connector.map(document, context(START), None)


@pytest.mark.parametrize("name", ["a:b@c.ics", "what?#.ics", "50%.ics", "a b.ics"])
async def test_names_that_mean_something_in_addresses(name: str) -> None:
    href = f"/h/c/{quote(name)}"
    # The library reads a question mark as one, once it has a host before it.
    host = "" if "?" in name else "https://dav.test"
    async with canned(
        multistatus(properties("/h/c/", CALENDAR_TYPE, token("t1"))),
        multistatus(properties(href, "<d:getetag>1</d:getetag>"), rest=token("t1")),
        multistatus(properties(href, f"<c:calendar-data>{calendar_of(text_of('a'))}</c:calendar-data>")),
        multistatus(properties("/h/c/", CALENDAR_TYPE, token("t2"))),
        multistatus(
            f"<d:response><d:href>{host}{href}</d:href><d:status>HTTP/1.1 404 Gone</d:status></d:response>",
            rest=token("t2"),
        ),
    ) as session:
        session.settings["home"] = "https://dav.test/h/"
        page = await connector.pull(session, None)
        gone = await connector.pull(session, page.cursor)
        assert [(one.id, one.deleted) for one in (*page.documents, *gone.documents)] == [
            (f"/h/c/{name}", False),
            (f"/h/c/{name}", True),
        ]
        assert quoted(f"/h/c/{name}").encode() in session.asked[2][2]


async def test_what_a_server_keeps_to_itself_is_not_taken_for_gone() -> None:
    refused = properties("/h/c/b", "<c:calendar-data/>", status="HTTP/1.1 404 Not Found")
    gone = "<d:response><d:href>/h/c/c</d:href><d:status>HTTP/1.1 404 Not Found</d:status></d:response>"
    names = "abcd"
    async with canned(
        multistatus(properties("/h/c/", CALENDAR_TYPE, token("t1"))),
        multistatus(*(properties(f"/h/c/{name}", "<d:getetag>1</d:getetag>") for name in names), rest=token("t1")),
        multistatus(
            properties("/h/c/a", f"<c:calendar-data>{calendar_of(text_of('a'))}</c:calendar-data>"), refused, gone
        ),
    ) as session:
        session.settings["home"] = "https://dav.test/h/"
        documents = (await connector.pull(session, None)).documents
        assert [(one.id, one.deleted) for one in documents] == [(f"/h/c/{name}", name == "c") for name in names]
        for document in (documents[1], documents[3]):
            with pytest.raises(RecordRefused, match="did not give"):
                connector.map(document, context(START), None)


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + place)} "{f"&{chr(97 + place)};" * 10}">' for place in range(9))
    + ']><d:multistatus xmlns:d="DAV:">&j;</d:multistatus>'
)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "{",
        "<html><body>Sign in</body></html>",
        "<d:multistatus xmlns:d='DAV:'><d:response>",
        "<d:multistatus xmlns:d='DAV:'><d:response><d:status>x</d:status></d:response></d:multistatus>",
        multistatus(properties("/h/c/", CALENDAR_TYPE, status="HTTP/1.1 500 Oops")),
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><d:multistatus xmlns:d="DAV:">&e;</d:multistatus>',
        BOMB,
        httpx.Response(200, text="<html/>"),
        httpx.Response(204),
    ],
)
async def test_no_mad_answer_is_taken_for_nothing_there(
    answer: str | httpx.Response, caplog: pytest.LogCaptureFixture
) -> None:
    known = {"token": "t0", "ctag": None, "zone": None}
    cursor = {"home": "https://dav.test/h/", "calendars": {"/h/c/": known}, "queue": [], "lot": [], "more": False}
    async with canned(answer) as session:
        with pytest.raises((RemoteUnavailable, CursorExpired)):
            await connector.pull(session, cursor)
        session.answers = [multistatus(properties("/h/c/", CALENDAR_TYPE, token("t9"), REPORTS)), answer]
        with pytest.raises(RemoteUnavailable):
            await connector.pull(session, cursor)
        session.answers = [answer]
        entry = {"path": "/h/c/", "syncs": True, "ctag": None, "zone": None}
        with pytest.raises(RemoteUnavailable):
            await connector.pull(session, {**cursor, "queue": [entry], "lot": ["a"]})
    assert "Sign in" not in caplog.text
