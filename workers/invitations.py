"""Delivering invitations to coaching sessions, and looking after programs and series.

A session lies in the coach's own calendar where a calendar connection of theirs can be written to; the rep and the
co-coaches are told by mail, if the operator has set a mail server, and else by the calendar's server. Google and
Microsoft 365 always tell them themselves, under UIDs that are not ours. Without such a connection everybody, the coach
too, is told by mail. See domain/plan_invitations.py for what makes a delivery that runs twice the same as one that runs
once.

In mails the organizer is the sender of the mails, in the name of the coach: so an invitation stays one for its guests
when the coach connects a calendar, or takes it away.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from domain import database, plan_invitations, plan_programs, plan_series, sync
from domain.connectors import RateLimited, RemoteRefused, RemoteUnavailable, SignInNeeded
from domain.database import acquire, in_transaction
from domain.errors import NotFound, Unavailable
from domain.jobs import ClaimedJob, Postponed, finish_job
from domain.models import InvitationWay
from domain.plan_invitations import Delivery, Invitation, Person, calendar_text
from workers.connectors import all_connectors
from workers.connectors.base import Placed, Session
from workers.connectors.caldav import writing as caldav
from workers.connectors.google_calendar import writing as google
from workers.connectors.microsoft365 import writing as microsoft
from workers.loops import UNREACHABLE
from workers.mail import Mail, Mailer, MailRefused, MailUnsent
from workers.session import VendorSession, Wire

log = structlog.get_logger(__name__)

MakeMailer = Callable[[], Mailer]


class NoWay(Exception):
    """There is no way to deliver; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Writer:
    """How calendars of a kind are written to.

    Args:
        put: Puts an invitation: session, invitation, whether guests are told by mail, where it was left. Returns where
            it lies.
        remove: Takes one out.
        place_of: Where an invitation will lie, if that can be told beforehand.
        tells_guests: Whether the vendor tells the guests whatever we do.
    """

    put: Callable[[Session, Invitation, bool, Placed | None], Awaitable[Placed]]
    remove: Callable[[Session, str], Awaitable[None]]
    place_of: Callable[[Session, str], str] | None = None
    tells_guests: bool = False


async def _put_into_caldav(session: Session, invitation: Invitation, mailed: bool, known: Placed | None) -> Placed:
    text = calendar_text(invitation, method=None, now=datetime.now(UTC), mailed=mailed)
    return await caldav.put_object(session, invitation.row.uid.partition("@")[0], text, known)


async def _put_into_google(session: Session, invitation: Invitation, _mailed: bool, _known: Placed | None) -> Placed:
    return await google.put_event(session, invitation)


async def _put_into_microsoft(session: Session, invitation: Invitation, _mailed: bool, _known: Placed | None) -> Placed:
    return await microsoft.put_event(session, invitation)


WRITERS = {
    "caldav": Writer(_put_into_caldav, caldav.remove_object),
    "google_calendar": Writer(_put_into_google, google.remove_event, google.place_of, tells_guests=True),
    "microsoft365": Writer(_put_into_microsoft, microsoft.remove_events, microsoft.place_of, tells_guests=True),
}
"""By kind of connection."""


class Inviter:
    """Carries out deliveries.

    Args:
        wire: The worker's HTTP pool.
        make_mailer: Connects to the mail server; None if there is none.
        mail_from: The address that mails come from.
    """

    def __init__(self, wire: Wire, make_mailer: MakeMailer | None, mail_from: str) -> None:
        self._wire = wire
        self._make_mailer = make_mailer
        self._mail_from = mail_from.rpartition("<")[2].rstrip("> ").strip()

    async def deliver(self, job: ClaimedJob, changed: Callable[[], None]) -> None:
        """Deliver an invitation as it is now; a job's handler.

        Raises:
            Postponed, Unavailable: it is tried again by and by; the reason stands with the invitation.
        """
        invitation_id = UUID(job.arguments["invitation_id"])
        while True:
            async with acquire(job.team_id) as connection:
                invitation = await plan_invitations.read_invitation(connection, job.team_id, invitation_id)
            if invitation is None or invitation.row.delivered_sequence >= invitation.row.sequence:
                async with acquire(job.team_id) as connection:
                    await finish_job(connection, job)
                return
            delivery = await self._deliver_or_tell(job, invitation)

            async def finish(
                connection: Any, invitation: Invitation = invitation, delivery: Delivery = delivery
            ) -> bool:
                return await plan_invitations.finish_delivery(connection, job, invitation, delivery)

            if await in_transaction(job.team_id, finish):
                changed()
                return

    async def _deliver_or_tell(self, job: ClaimedJob, invitation: Invitation) -> Delivery:
        try:
            return await self._deliver(job.team_id, invitation)
        except RateLimited as limited:
            raise Postponed(limited.message, timedelta(seconds=limited.retry_after_seconds)) from limited
        except RemoteUnavailable as away:
            await self._note(job, invitation, away.message)
            raise Unavailable(away.message) from away
        except MailUnsent as unsent:
            await self._note(job, invitation, str(unsent))
            raise Unavailable(str(unsent)) from unsent
        except NoWay as none:
            # A calendar that is connected, or a mail server that is set, may come at any time.
            await self._note(job, invitation, str(none))
            raise Postponed(str(none), plan_invitations.AGAIN) from none

    async def _note(self, job: ClaimedJob, invitation: Invitation, reason: str) -> None:
        async with acquire(job.team_id) as connection:
            await plan_invitations.note_failure(connection, job.team_id, invitation.row.id, reason, datetime.now(UTC))

    async def _deliver(self, team_id: UUID, invitation: Invitation) -> Delivery:
        row = invitation.row
        if invitation.withdrawn and row.delivered_sequence < 0 and not row.mailed_to and row.place is None:
            # Nobody ever heard of it.
            return Delivery(InvitationWay(row.way or InvitationWay.MAIL))
        reasons: list[str] = []
        placed = await self._into_calendar(team_id, invitation, reasons)
        if placed is None:
            if self._make_mailer is None:
                raise NoWay(
                    "No calendar connection of the coach's can be written to, and no mail server is set "
                    f"(SIDELINE_SMTP_URL): connect a CalDAV calendar. {' '.join(reasons)}".rstrip()
                )
            mailed = await self._mail(team_id, invitation, invitation.everybody)
            return Delivery(InvitationWay.MAIL, mailed_to=mailed, remark=" ".join(reasons) or None)
        integration_id, place, tells_guests = placed
        mailed = ()
        if self._make_mailer is not None:
            guests = [one for one in invitation.everybody if one.id != invitation.organizer.id]
            # Who was told by mail before is told by mail that this is off: the vendor's is another one.
            mailed = await self._mail(team_id, invitation, () if tells_guests else guests)
        if place is None:
            return Delivery(InvitationWay.CALENDAR, integration_id, mailed_to=mailed)
        return Delivery(InvitationWay.CALENDAR, integration_id, place.place, place.etag, mailed)

    async def _into_calendar(
        self, team_id: UUID, invitation: Invitation, reasons: list[str]
    ) -> tuple[UUID, Placed | None, bool] | None:
        """Put the object into the coach's calendar, or take it out; None if no connection can be written to, and why is
        added to the reasons. Returns the connection, where it lies, and whether the vendor tells the guests."""
        row = invitation.row
        async with acquire(team_id) as connection:
            ids = await plan_invitations.writable_connections(connection, team_id, row)
        for integration_id in ids:
            opened = await self._open(team_id, integration_id)
            if opened is None:
                continue
            writer, session = opened
            known = None
            if row.integration_id == integration_id and row.place is not None:
                known = Placed(row.place, row.etag)
            try:
                place = None if writer.place_of is None else writer.place_of(session, row.uid)
                if invitation.withdrawn:
                    place = place if known is None else known.place
                    if place is not None:
                        await writer.remove(session, place)
                    return integration_id, None, writer.tells_guests
                if place is not None:
                    async with acquire(team_id) as connection:
                        await plan_invitations.note_placing(connection, team_id, row.id, integration_id, place)
                placed = await writer.put(session, invitation, self._make_mailer is not None, known)
                return integration_id, placed, writer.tells_guests
            except (SignInNeeded, RemoteRefused) as refused:
                reasons.append(refused.message)
                log.warning("invitation.calendar_refused", integration=str(integration_id), reason=refused.message)
        return None

    async def _open(self, team_id: UUID, integration_id: UUID) -> tuple[Writer, Session] | None:
        try:
            async with acquire(team_id) as connection:
                integration, secrets = await sync.open_integration(connection, team_id, integration_id, self._wire.box)
        except NotFound:
            return None
        writer, connector = WRITERS.get(integration.kind), all_connectors().get(integration.kind)
        if writer is None or connector is None:
            return None
        async with acquire(team_id) as connection:
            ours = await sync.settings_of_ours(connection, integration, connector.manifest)
        session = VendorSession(self._wire, integration, connector.manifest, secrets, datetime.now(UTC), ours)
        return writer, session

    async def _mail(self, team_id: UUID, invitation: Invitation, people: Sequence[Person]) -> tuple[str, ...]:
        """Tell people by mail; who was told before and is not invited any more is told that too. Who is about to be
        told is noted first, so that a delivery that breaks off leaves nobody behind. Returns who knows of it now."""
        assert self._make_mailer is not None
        sender = Person(invitation.organizer.id, f"{invitation.organizer.name} (Sideline)", self._mail_from)
        told = {one.email.lower(): one for one in people}
        off = [one for one in invitation.row.mailed_to if one not in told]
        method = "CANCEL" if invitation.withdrawn else "REQUEST"
        if not invitation.withdrawn:
            async with acquire(team_id) as connection:
                await plan_invitations.note_telling(connection, team_id, invitation.row.id, list(told))
        mailer = self._make_mailer()
        reached = []
        try:
            for address, method_of, guests in (
                *((one, method, tuple(told.values())) for one in told),
                *((one, "CANCEL", (Person(invitation.row.id, one, one),)) for one in off),
            ):
                if method_of == "CANCEL" and address not in invitation.row.mailed_to:
                    continue
                text = calendar_text(
                    invitation, method=method_of, now=datetime.now(UTC), organizer=sender, guests=guests
                )
                try:
                    await mailer.send(_mail_of(invitation, address, method_of, text))
                except MailRefused as refused:
                    log.warning("invitation.mail_refused", invitation=str(invitation.row.id), reason=str(refused))
                    continue
                if method_of == "REQUEST":
                    reached.append(address)
        finally:
            await mailer.close()
        return tuple(reached)


def _mail_of(invitation: Invitation, address: str, method: str, text: bytes) -> Mail:
    row = invitation.row
    first = f"{invitation.first_local:%A, %d %B %Y, %H:%M} ({invitation.timezone})"
    if method == "CANCEL":
        subject, says = f"Cancelled: {invitation.title}", "does not take place."
    else:
        subject = invitation.title if row.sequence == 0 else f"Updated: {invitation.title}"
        says = f"recurs ({invitation.rule}), from {first} on." if invitation.rule else f"is on {first}."
    return Mail(
        # The same for each attempt at the same change.
        name=f"{row.uid.partition('@')[0]}.{row.sequence}.{method.lower()}.{_mark(address)}",
        to=address,
        subject=subject,
        text=f"{invitation.title}, with {invitation.organizer.name}, {says}\n\nAgenda and notes are in Sideline.\n",
        calendar=text.decode(),
        calendar_method=method,
    )


def _mark(address: str) -> str:
    return address.encode().hex()[-24:]


async def look_after() -> bool:
    """Bring programs in line with the reporting line, make sessions of series ahead of time, and ask for deliveries
    that are due; a loop's step."""
    now = datetime.now(UTC)
    async with acquire(database.ALL_TEAMS) as connection:
        teams = await plan_programs.teams_with_work(connection, now)
    for team_id in teams:

        async def programs(connection: Any, team_id: UUID = team_id) -> bool:
            done = await plan_programs.reconcile_due(connection, team_id, now)
            return done.begun + done.ended > 0

        async def ahead(connection: Any, team_id: UUID = team_id) -> int:
            return await plan_series.make_due(connection, team_id, now)

        async def outbox(connection: Any, team_id: UUID = team_id) -> None:
            await plan_invitations.ask_again(connection, team_id, now)
            await plan_invitations.list_further(connection, team_id, now)

        try:
            while await in_transaction(team_id, programs):
                pass
            while await in_transaction(team_id, ahead):
                pass
            await in_transaction(team_id, outbox)
        except UNREACHABLE:
            raise
        except Exception:
            # One team's trouble is not the others': it is tried again with a later step.
            log.exception("plans.look_after_failed", team=str(team_id))
    return False
