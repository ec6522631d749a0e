"""Invitations: coaching sessions as calendar objects (iCalendar, RFC 5545), and the outbox that brings them out.

A series, and each single session, has one object with a UID for ever. Every change that a calendar must know of grows
its `sequence` in the transaction of the change, and asks for a job; the job renders the object as the tables have it
then, hands it on (workers/invitations.py), and notes what sequence was delivered. So a job that runs twice, or late,
hands on the same object under the same UID and SEQUENCE, and two changes at once are one delivery.

A series is one master with its rule; an occurrence that was moved, or is called otherwise, is a component of its own
with RECURRENCE-ID; a cancelled one is an EXDATE. Times are the wall clock of the series' zone, whose definition
(VTIMEZONE) is in the object, so that nothing shifts with daylight saving. A single session is told in the team's zone.

What is talked about stays here: an object tells who meets when and what it is called, neither agenda nor notes, and is
marked CLASS:PRIVATE.

What comes back by a calendar sync is known by its UID (`domain.meetings.COACHING_UID`) and is no meeting with a
customer, whoever is invited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import icalendar

from domain import actions, jobs
from domain.jobs import ClaimedJob
from domain.meetings import COACHING_UID
from domain.models import CoachingInvitation, CoachingSeries, CoachingSession, InvitationWay, SessionState
from domain.models.base import new_id
from domain.recurrence import instant_of, wall_of

if TYPE_CHECKING:
    from domain.database import Connection

DELIVER_KIND = "deliver_invitation"
AGAIN = timedelta(hours=6)
"""After so long, what could not be delivered is tried again, for the connection may have come or come back."""
WRITABLE = ("caldav", "google_calendar", "microsoft365")
"""Kinds of calendar connections that can be written to, by preference."""
PRODUCT = "-//Sideline//Coaching sessions//EN"
LISTED_UNTIL = "until:"
"""How the state begins of an invitation whose occurrences lie in a calendar one by one, up to a moment that follows."""
LIST_AGAIN = timedelta(days=60)
"""They are listed further when they reach less far ahead than this."""
NOBODYS = ".invalid"
"""Addresses of erased people end so: nothing is sent to them."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is invited."""

    id: UUID
    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Override:
    """An occurrence that is not as its series has it; `starts_at` None: it does not take place."""

    occurrence_at: datetime
    starts_at: datetime | None
    duration_minutes: int
    title: str


@dataclass(frozen=True, slots=True)
class Invitation:
    """A calendar object as the tables have it now.

    Args:
        row: The outbox row.
        organizer: The coach.
        guests: The rep and the co-coaches.
        title: What it is called.
        first_local: Wall clock of the (first) start.
        timezone: Whose wall clock.
        duration_minutes: How long.
        withdrawn: Whether it does not take place as a whole.
        rule: Of a series: its RRULE.
        until: Of a series that ends: the last moment that an occurrence may start.
        overrides: Of a series: what is not as the rule has it.
    """

    row: CoachingInvitation
    organizer: Person
    guests: tuple[Person, ...]
    title: str
    first_local: datetime
    timezone: str
    duration_minutes: int
    withdrawn: bool
    rule: str | None = None
    until: datetime | None = None
    overrides: tuple[Override, ...] = ()

    @property
    def everybody(self) -> tuple[Person, ...]:
        """All who can be told."""
        return tuple(one for one in (self.organizer, *self.guests) if not one.email.endswith(NOBODYS))


async def touch_session(connection: Connection, team_id: UUID, session: CoachingSession) -> None:
    """Tell calendars of a change of a session, in the caller's transaction. One that is over and that no calendar knows
    of is told to none."""
    if session.series_id is not None:
        await touch_series(connection, team_id, session.series_id, session.coach_id)
        return
    if session.starts_at < datetime.now(UTC):
        known = await connection.fetchval(
            "SELECT true FROM coaching_invitations WHERE team_id = $1 AND session_id = $2", team_id, session.id
        )
        if not known:
            return
    await _touch(connection, team_id, "session_id", session.id, session.coach_id)


async def touch_series(connection: Connection, team_id: UUID, series_id: UUID, coach_id: UUID) -> None:
    """Tell calendars of a change of a series, in the caller's transaction."""
    await _touch(connection, team_id, "series_id", series_id, coach_id)


async def _touch(connection: Connection, team_id: UUID, column: str, subject_id: UUID, coach_id: UUID) -> None:
    """Served by coaching_invitations_series_key and coaching_invitations_session_key."""
    row = await connection.fetchrow(
        f"""
        INSERT INTO coaching_invitations AS i (id, team_id, {column}, uid, organizer_id) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (team_id, {column}) WHERE {column} IS NOT NULL
        DO UPDATE SET sequence = i.sequence + 1, due_at = now(), attempts = 0 RETURNING id, uid, sequence
        """,
        new_id(),
        team_id,
        subject_id,
        f"{COACHING_UID}{subject_id.hex}@sideline",
        coach_id,
    )
    assert row is not None
    await _ask(connection, team_id, row["id"], row["sequence"])


async def _ask(connection: Connection, team_id: UUID, invitation_id: UUID, mark: object) -> None:
    await jobs.create_job(
        connection,
        team_id,
        DELIVER_KIND,
        run_key=f"{DELIVER_KIND}:{invitation_id}:{mark}",
        arguments={"invitation_id": str(invitation_id)},
        exclusive_key=f"{DELIVER_KIND}:{invitation_id}",
    )


async def ask_again(connection: Connection, team_id: UUID, now: datetime, limit: int = 200) -> int:
    """Ask for jobs for what is due and undelivered, in the caller's transaction. Returns how many. Served by
    coaching_invitations_due_idx."""
    rows = await connection.fetch(
        """
        UPDATE coaching_invitations SET due_at = $2::timestamptz + $3::interval WHERE id IN (
            SELECT id FROM coaching_invitations WHERE team_id = $1 AND delivered_sequence < sequence AND due_at <= $2
            ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED
        ) RETURNING id
        """,
        team_id,
        now,
        AGAIN,
        limit,
    )
    for row in rows:
        await _ask(connection, team_id, row["id"], now.isoformat())
    return len(rows)


async def list_further(connection: Connection, team_id: UUID, now: datetime, limit: int = 200) -> int:
    """Ask for jobs for the invitations whose occurrences lie in a calendar one by one, and not far enough ahead, in the
    caller's transaction. Returns how many. A team is looked after when a series needs more sessions, which is before
    what is listed of it ends. Served by coaching_invitations_team_id_id_key."""
    rows = await connection.fetch(
        """
        UPDATE coaching_invitations SET sequence = sequence + 1, due_at = $2, attempts = 0 WHERE id IN (
            SELECT id FROM coaching_invitations WHERE team_id = $1 AND delivered_sequence = sequence AND NOT withdrawn
                AND CASE WHEN starts_with(etag, $3) THEN substr(etag, length($3) + 1)::timestamptz < $4 END
            ORDER BY id LIMIT $5 FOR UPDATE SKIP LOCKED
        ) RETURNING id, sequence
        """,
        team_id,
        now,
        LISTED_UNTIL,
        now + LIST_AGAIN,
        limit,
    )
    for row in rows:
        await _ask(connection, team_id, row["id"], row["sequence"])
    return len(rows)


async def read_invitation(connection: Connection, team_id: UUID, invitation_id: UUID) -> Invitation | None:
    """An invitation as the tables have it; None when what it was for is gone."""
    found = await connection.fetchrow(
        "SELECT * FROM coaching_invitations WHERE team_id = $1 AND id = $2", team_id, invitation_id
    )
    if found is None:
        return None
    row = CoachingInvitation._init_from_db(**dict(found))
    if row.series_id is not None:
        return await _of_series(connection, team_id, row)
    return await _of_session(connection, team_id, row)


async def _of_series(connection: Connection, team_id: UUID, row: CoachingInvitation) -> Invitation:
    found = await connection.fetchrow(
        "SELECT * FROM coaching_series WHERE team_id = $1 AND id = $2", team_id, row.series_id
    )
    assert found is not None, "its invitation goes with it"
    series = CoachingSeries._init_from_db(**dict(found))
    organizer, guests = await _people(connection, team_id, "series_id", series.id, series.coach_id, series.user_id)
    zone = actions.zone_named(series.timezone)
    first = datetime.fromisoformat(series.first_local)
    until = None
    if series.ended_on is not None:
        until = instant_of(datetime.combine(series.ended_on, time(23, 59, 59)), zone)
    overrides = []
    for one in await connection.fetch(
        """
        SELECT occurrence_at, starts_at, duration_minutes, title, state FROM coaching_sessions
        WHERE team_id = $1 AND series_id = $2 AND ($3::timestamptz IS NULL OR occurrence_at <= $3)
            AND (state = 'CANCELLED' OR starts_at <> occurrence_at OR duration_minutes <> $4 OR title <> $5)
        ORDER BY occurrence_at
        """,
        team_id,
        series.id,
        until,
        series.duration_minutes,
        series.title,
    ):
        off = one["state"] == SessionState.CANCELLED
        overrides.append(
            Override(one["occurrence_at"], None if off else one["starts_at"], one["duration_minutes"], one["title"])
        )
    return Invitation(
        row,
        organizer,
        guests,
        series.title,
        first,
        series.timezone,
        series.duration_minutes,
        withdrawn=until is not None and instant_of(first, zone) > until,
        rule=series.rule,
        until=until,
        overrides=tuple(overrides),
    )


async def _of_session(connection: Connection, team_id: UUID, row: CoachingInvitation) -> Invitation:
    found = await connection.fetchrow(
        "SELECT s.*, t.timezone FROM coaching_sessions s JOIN teams t ON t.id = s.team_id "
        "WHERE s.team_id = $1 AND s.id = $2",
        team_id,
        row.session_id,
    )
    assert found is not None, "its invitation goes with it"
    organizer, guests = await _people(
        connection, team_id, "session_id", found["id"], found["coach_id"], found["user_id"]
    )
    return Invitation(
        row,
        organizer,
        guests,
        found["title"],
        wall_of(found["starts_at"], actions.zone_named(found["timezone"])),
        found["timezone"],
        found["duration_minutes"],
        withdrawn=found["state"] == SessionState.CANCELLED,
    )


async def _people(
    connection: Connection, team_id: UUID, column: str, subject_id: UUID, coach_id: UUID, user_id: UUID
) -> tuple[Person, tuple[Person, ...]]:
    rows = await connection.fetch(
        f"""
        SELECT u.id, u.name, u.email FROM users u WHERE u.team_id = $1 AND (u.id = ANY ($2::uuid[]) OR u.id IN (
            SELECT user_id FROM co_coaches WHERE team_id = $1 AND {column} = $3)) ORDER BY u.id
        """,
        team_id,
        [coach_id, user_id],
        subject_id,
    )
    people = [Person(row["id"], row["name"], row["email"]) for row in rows]
    organizer = next(one for one in people if one.id == coach_id)
    return organizer, tuple(one for one in people if one.id != coach_id)


async def writable_connections(connection: Connection, team_id: UUID, row: CoachingInvitation) -> list[UUID]:
    """The organizer's calendar connections that work and can be written to: the one that it lies in first."""
    rows = await connection.fetch(
        """
        SELECT id FROM integrations
        WHERE team_id = $1 AND owner_id = $2 AND state = 'ACTIVE' AND kind = ANY ($3::text[])
        ORDER BY (id = $4) DESC NULLS LAST, array_position($3::text[], kind::text), id
        """,
        team_id,
        row.organizer_id,
        list(WRITABLE),
        row.integration_id,
    )
    return [one["id"] for one in rows]


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an invitation was delivered.

    Args:
        way: By which way.
        integration_id: The connection that it lies in.
        place: Where it lies.
        etag: Its state there.
        mailed_to: Who was told by mail, lower case.
        remark: Why it does not lie in a calendar that is connected.
    """

    way: InvitationWay
    integration_id: UUID | None = None
    place: str | None = None
    etag: str | None = None
    mailed_to: tuple[str, ...] = ()
    remark: str | None = None


async def finish_delivery(connection: Connection, job: ClaimedJob, invitation: Invitation, delivery: Delivery) -> bool:
    """Note what was delivered, in the caller's transaction; end the job if nothing has changed meanwhile. Returns
    whether the job has ended.

    Raises:
        LeaseLost: the job is not the holder's any more.
    """
    sequence = await connection.fetchval(
        """
        UPDATE coaching_invitations SET delivered_sequence = $3, way = $4, integration_id = $5, place = $6, etag = $7,
            mailed_to = $8, withdrawn = $9, attempts = 0, last_error = $10
        WHERE team_id = $1 AND id = $2 RETURNING sequence
        """,
        job.team_id,
        invitation.row.id,
        invitation.row.sequence,
        delivery.way.value,
        delivery.integration_id,
        delivery.place,
        delivery.etag,
        list(delivery.mailed_to),
        invitation.withdrawn,
        None if delivery.remark is None else delivery.remark[:1000],
    )
    if sequence is not None and sequence > invitation.row.sequence:
        return False
    await jobs.finish_job(connection, job)
    return True


async def note_telling(connection: Connection, team_id: UUID, invitation_id: UUID, addresses: Sequence[str]) -> None:
    """Keep who is about to be told by mail, lower case: whoever dies before the delivery is noted, they are told of
    what becomes of the invitation. `finish_delivery` says who was reached."""
    await connection.execute(
        "UPDATE coaching_invitations SET mailed_to = ARRAY(SELECT DISTINCT unnest(mailed_to || $3::text[])) "
        "WHERE team_id = $1 AND id = $2",
        team_id,
        invitation_id,
        list(addresses),
    )


async def note_placing(
    connection: Connection, team_id: UUID, invitation_id: UUID, integration_id: UUID, place: str
) -> None:
    """Keep where an invitation is about to be put: whoever dies before the delivery is noted, it is taken out there
    when it is withdrawn."""
    await connection.execute(
        "UPDATE coaching_invitations SET integration_id = $3, place = $4, etag = NULL WHERE team_id = $1 AND id = $2 "
        "AND (integration_id, place) IS DISTINCT FROM ($3, $4)",
        team_id,
        invitation_id,
        integration_id,
        place,
    )


async def note_failure(connection: Connection, team_id: UUID, invitation_id: UUID, reason: str, now: datetime) -> None:
    """Keep why an invitation could not be delivered, for the coach to see; it is tried again by and by."""
    await connection.execute(
        "UPDATE coaching_invitations SET last_error = $3, attempts = attempts + 1, due_at = $4 "
        "WHERE team_id = $1 AND id = $2",
        team_id,
        invitation_id,
        reason[:1000],
        now + AGAIN,
    )


async def invitations_of(
    connection: Connection, team_id: UUID, column: str, ids: Sequence[UUID]
) -> dict[UUID, CoachingInvitation]:
    """The invitations of some sessions or series that the viewer coaches; one statement."""
    rows = await connection.fetch(
        f"SELECT * FROM coaching_invitations WHERE team_id = $1 AND {column} = ANY ($2::uuid[])", team_id, list(ids)
    )
    return {row[column]: CoachingInvitation._init_from_db(**dict(row)) for row in rows}


def calendar_text(
    invitation: Invitation,
    *,
    method: str | None,
    now: datetime,
    organizer: Person | None = None,
    guests: Sequence[Person] | None = None,
    mailed: bool = False,
) -> bytes:
    """The object as iCalendar text.

    Args:
        invitation: What it tells.
        method: `REQUEST` or `CANCEL` for a message (iTIP, RFC 5546); None for what lies in a calendar.
        now: The clock.
        organizer: Who invites; the coach if None.
        guests: Who is invited; those of the invitation if None.
        mailed: Whether the guests are told by mail, so that the calendar's server need not (SCHEDULE-AGENT, RFC 6638).
    """
    calendar = icalendar.Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    if method is not None:
        calendar.add("method", method)
    zone = actions.zone_named(invitation.timezone)
    length = timedelta(minutes=invitation.duration_minutes)
    cancelled = method == "CANCEL" or invitation.withdrawn

    def component(title: str, wall: datetime, length: timedelta) -> icalendar.Event:
        event = icalendar.Event()
        event.add("uid", invitation.row.uid)
        event.add("dtstamp", now.astimezone(UTC).replace(microsecond=0))
        event.add("sequence", invitation.row.sequence)
        event.add("summary", title)
        event.add("dtstart", wall.replace(tzinfo=zone))
        event.add("dtend", wall_of(instant_of(wall, zone) + length, zone).replace(tzinfo=zone))
        event.add("status", "CANCELLED" if cancelled else "CONFIRMED")
        event.add("class", "PRIVATE")
        event.add("organizer", _address(organizer or invitation.organizer, {}))
        for guest in invitation.guests if guests is None else guests:
            if guest.email.endswith(NOBODYS):
                continue
            parameters = {"partstat": "NEEDS-ACTION", "rsvp": "TRUE", "role": "REQ-PARTICIPANT"}
            if mailed:
                parameters["schedule-agent"] = "CLIENT"
            event.add("attendee", _address(guest, parameters), encode=False)
        return event

    first = invitation.first_local
    master = component(invitation.title, first, length)
    calendar.add_component(master)
    if invitation.rule is not None:
        rule = icalendar.vRecur.from_ical(invitation.rule)
        if invitation.until is not None and not invitation.withdrawn:
            rule["UNTIL"] = [invitation.until]
        master.add("rrule", rule)
        gone = [wall_of(one.occurrence_at, zone) for one in invitation.overrides if one.starts_at is None]
        if gone and not cancelled:
            master.add("exdate", [wall.replace(tzinfo=zone) for wall in gone])
        for one in invitation.overrides:
            if one.starts_at is None or cancelled:
                continue
            moved = component(one.title, wall_of(one.starts_at, zone), timedelta(minutes=one.duration_minutes))
            moved.add("recurrence-id", wall_of(one.occurrence_at, zone).replace(tzinfo=zone))
            calendar.add_component(moved)
    # From the year before: a zone's rules of then are what the first occurrences go by.
    calendar.add_missing_timezones(first_date=first.date() - timedelta(days=366))
    return bytes(calendar.to_ical())


def _address(person: Person, parameters: dict[str, str]) -> Any:
    address = icalendar.vCalAddress(f"mailto:{person.email}")
    address.params["CN"] = icalendar.vText(person.name.replace('"', "'"))
    for name, value in parameters.items():
        address.params[name.upper()] = icalendar.vText(value)
    return address
