"""Erasing a person on request: what is about them goes, the numbers stay.

An Admin asks for it (`eraseUser`; the operator with `sideline person erase`). In one transaction, at once: the person's
access ends if it has not ended before, tokens and sessions go, the name, address and ids of the row give way to a
placeholder, the reasons of days off, the words of accolades, idempotency keys, webhook endpoints and connections of
theirs (calendars, with secrets and documents) go, the team's exported files, which may name them, lose their keys, and
what they were called is kept as keyed digests (domain/erased_names.py), by which importers refuse their records from
then on without keeping them. Then a job removes in lots what there may be much of:

    activities   the person's, with keys, bodies of emails, and documents that came to nothing else
    film         what was said of their film, and what they wrote of others' (domain/film_erasure.py)
    refused      quarantined records that name the person
    documents    kept or quarantined ones of the team's connections that name the person and came to no activity, and
                 what a connection shows of them
    exports      the pieces of the team's exported files
    live calls   what was said of calls of theirs, notes on them and by them, and where they were rung
    audit        details of entries about the person, by the person (each holds their network address), or with an
                 address or the name of theirs; what was done, when, to what and by which id stays, and the chain
                 verifies

Raw uploads of before, which may name the person, are waited for: they go when their job has ended.

The job may die anywhere and be run again: each lot commits with the job's cursor, and all of them are the same when
done twice.

Of coaching plans and sessions goes what domain/plan_erasure.py says, at once.

What stays: the row with its id, its place in the groups and the reporting line, the days of employment and days off,
goals with their history, and the rollups. So that all numbers of the team stay: the person's rollups are closed, and no
import, correction or rebuild touches them any more. What the person's own system hands over to somebody else later (a
deal with a new owner) counts for the new owner too.

Texts of others that mention the person (a colleague's email, a group's name) are the others'.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from domain import (
    access,
    administration,
    audit,
    erased_names,
    events,
    film_erasure,
    imports,
    jobs,
    kept_documents,
    live_calls,
    people,
    plan_erasure,
)
from domain.access import Sight, Viewer
from domain.audit import AuditAction, NewEntry
from domain.database import ALL_TEAMS, Reach, in_transaction
from domain.errors import Invalid, NotFound
from domain.exports import files as export_files
from domain.jobs import ClaimedJob, Postponed
from domain.models import User

if TYPE_CHECKING:
    from domain.database import Connection

KIND = jobs.ERASE_KIND
"""The kind of job that erases the rest."""
PLACEHOLDER = "Erased person"
ACTIVITY_LOT = 2_000
TEXT_LOT = 2_000
_BEGINNING = str(UUID(int=0))
"""Smaller than any id."""
UPLOADS_WAIT = timedelta(seconds=30)
"""How often uploads that are under way are looked at again."""


def placeholder_address(user_id: UUID) -> str:
    """An address that nobody has and no mail goes to (RFC 2606), unique for the person."""
    return f"erased-{user_id.hex}@erased.invalid"


async def erase_user(connection: Connection, viewer: Viewer, user_id: UUID, *, now: datetime) -> tuple[User, UUID]:
    """Erase a person, in the caller's transaction; the rest is the job's. Asking again changes nothing, and lets a job
    that failed try again.

    Returns:
        The person as they stand now, and the job.

    Raises:
        Forbidden: the viewer is not an Admin.
        NotFound: there is no such user.
        Invalid: it is the viewer.
        Conflict: it is the last Admin.
        Unavailable: no key is set to key the digests of names with.
    """
    access.require_admin(viewer)
    if user_id == viewer.user_id:
        raise Invalid("userId: nobody erases themselves; another Admin does.", path=("input", "userId"))
    write = partial(audit.record, connection, viewer)
    return await _erase(connection, viewer.team_id, user_id, now, write, viewer.user_id)


async def erase_for_operator(
    connection: Connection, team_id: UUID, user_id: UUID, *, now: datetime
) -> tuple[User, UUID]:
    """The same as the operator."""
    write = partial(audit.record_for_operator, connection, team_id)
    return await _erase(connection, team_id, user_id, now, write, None)


async def _erase(
    connection: Connection,
    team_id: UUID,
    user_id: UUID,
    now: datetime,
    write: Callable[[list[NewEntry]], Awaitable[None]],
    requested_by_id: UUID | None,
) -> tuple[User, UUID]:
    # Importers hold this row FOR SHARE: those that were under way have done with the person's records, those to come
    # read the names anew.
    timezone = await connection.fetchval("SELECT timezone FROM teams WHERE id = $1 FOR NO KEY UPDATE", team_id)
    user = await _user(connection, team_id, user_id)
    erased = user.erased_at is not None
    if not erased:
        await _keep_names(connection, user)
        await _take_away(connection, user, now.astimezone(ZoneInfo(timezone)).date())
        await administration.require_an_admin(connection, team_id)
        await connection.execute("UPDATE teams SET erasures = erasures + 1 WHERE id = $1", team_id)
    job_id = await jobs.create_job(
        connection,
        team_id,
        KIND,
        run_key=f"{KIND}:{user_id}",
        arguments={"user_id": str(user_id)},
        requested_by_id=requested_by_id,
    )
    if erased:
        await jobs.restart_job(connection, team_id, job_id)
        return user, job_id
    await events.mark_changed(connection, team_id)
    after = {"deactivated": True} if user.active else None
    await write([NewEntry(AuditAction.USER_ERASED, ("User", user_id), None, after)])
    return await _user(connection, team_id, user_id), job_id


async def _user(connection: Connection, team_id: UUID, user_id: UUID) -> User:
    found = (await people.users_by_id(connection, Sight(team_id, True, frozenset()), [user_id]))[0]
    if found is None:
        raise NotFound("No such user.", path=("input", "userId"))
    return found


async def _keep_names(connection: Connection, user: User) -> None:
    """Keep what the person is and was called as digests."""
    names = {user.email, *user.external_ids, user.scim_user_name, *await _former_names(connection, user)}
    display = {user.name, user.formatted_name}
    if user.given_name and user.family_name:
        display |= {f"{user.given_name} {user.family_name}", f"{user.family_name}, {user.given_name}"}
    key = await erased_names.make_key(connection, user.team_id)
    await erased_names.keep(connection, key, user.team_id, user.id, _there(names), _there(display))


def _there(names: Iterable[str | None]) -> list[str]:
    return [name for name in names if name]


async def _former_names(connection: Connection, user: User) -> set[str]:
    """Addresses and ids that the person had before, as the audit log tells. Served by its index on subjects."""
    rows = await connection.fetch(
        "SELECT details FROM audit_entries WHERE team_id = $1 AND subject_id = $2 AND details IS NOT NULL",
        user.team_id,
        user.id,
    )
    found: set[str] = set()
    for row in rows:
        told = orjson.loads(row["details"])
        for side in (told.get("before"), told.get("after")):
            if isinstance(side, Mapping):
                found |= {side[name] for name in ("email", "scim_user_name") if isinstance(side.get(name), str)}
                found |= {one for one in side.get("external_ids") or () if isinstance(one, str)}
    return found


async def _take_away(connection: Connection, user: User, today: date) -> None:
    """End the person's access and put a placeholder where the person's own data was."""
    last_day = max(today, user.started_on or date.min)
    # The role is what a person may do: nothing. Group, manager and days are where their numbers count.
    await connection.execute(
        """
        UPDATE users SET name = $3, email = $4, external_ids = '{}', scim_external_id = NULL, scim_user_name = NULL,
            formatted_name = NULL, given_name = NULL, family_name = NULL, deals_access = false, active = false,
            ended_on = CASE WHEN active THEN $5 ELSE ended_on END, erased_at = now(), changed_at = now(),
            role_id = coalesce(
                (SELECT id FROM roles WHERE team_id = $1 AND built_in AND NOT is_admin ORDER BY id LIMIT 1), role_id
            )
        WHERE team_id = $1 AND id = $2
        """,
        user.team_id,
        user.id,
        PLACEHOLDER,
        placeholder_address(user.id),
        last_day,
    )
    for statement in (
        "DELETE FROM tokens WHERE team_id = $1 AND user_id = $2",
        "UPDATE days_off SET reason = NULL WHERE team_id = $1 AND user_id = $2 AND reason IS NOT NULL",
        "DELETE FROM idempotency_keys WHERE team_id = $1 AND user_id = $2",
        # What was earned stays, as counts do; what somebody said to it goes.
        "UPDATE accolades SET title = CASE WHEN rule_id IS NULL THEN 'Accolade' ELSE title END, message = NULL, "
        "revoked_reason = NULL WHERE team_id = $1 AND user_id = $2",
        "DELETE FROM user_writes WHERE team_id = $1 AND user_id = $2",
        # What was to be done for the person, with its history, and what was to be told them. What the person had made
        # for others is cancelled as it comes due: nobody's rights are there for it.
        "DELETE FROM scheduled_actions WHERE team_id = $1 AND user_id = $2",
        "DELETE FROM outgoing_messages WHERE team_id = $1 AND user_id = $2",
        # Their files have the person's name in them.
        "DELETE FROM report_snapshots WHERE team_id = $1 AND (user_id = $2 OR whole_team OR $2 = ANY (subjects))",
        # They send with the rights of their owner, and nobody has those any more.
        "DELETE FROM webhook_endpoints WHERE team_id = $1 AND owner_id = $2",
    ):
        await connection.execute(statement, user.team_id, user.id)
    await connection.execute(
        "DELETE FROM outgoing_messages WHERE team_id = $1 AND lower(address) = lower($2)", user.team_id, user.email
    )
    await plan_erasure.erase(connection, user.team_id, user.id, user.email, datetime.now(UTC))
    await kept_documents.erase_connections(connection, user.team_id, user.id)
    await export_files.remove_for_erasure(connection, user.team_id)


@dataclass(frozen=True, slots=True)
class Lot:
    """What one transaction of a step did.

    Args:
        removed: How many rows lost what they held.
        after: From where the next one goes on; None when the step is done.
    """

    removed: int
    after: Any = None


Step: TypeAlias = Callable[["Connection", UUID, UUID, Any], Awaitable[Lot]]
"""Does one lot: in the team, of the user, from where the last one ended (None at the beginning)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an erasure stands; the job's cursor.

    Args:
        step: The step that is next; None when all are done.
        after: From where it goes on.
        removed: How many rows have lost what they held.
    """

    step: str | None = "activities"
    after: Any = None
    removed: int = 0

    def following(self, lot: Lot) -> Place:
        """Where it stands after a lot."""
        removed = self.removed + lot.removed
        if lot.after is not None:
            return Place(self.step, lot.after, removed)
        names = [*STEPS, None]
        return Place(names[names.index(self.step) + 1], None, removed)


async def run(job: ClaimedJob, on_progress: Callable[[], Any] | None = None) -> None:
    """Remove the rest of what there is about a person; a job's handler.

    Raises:
        Postponed: uploads of before are under way, and the rest is done.
        LeaseLost: another worker has the job.
        Unavailable: no key is set to know the person's names with.
    """
    user_id = UUID(job.arguments["user_id"])
    place = Place(**job.cursor)
    while place.step is not None:
        reach, do = STEPS[place.step]

        async def work(connection: Connection, do: Step = do, place: Place = place) -> Place:
            lot = await do(connection, job.team_id, user_id, place.after)
            following = place.following(lot)
            await jobs.save_progress(connection, job, asdict(following), following.removed, None)
            return following

        place = await in_transaction(job.team_id if reach is None else reach, work)
        if on_progress is not None:
            on_progress()

    async def uploads(connection: Connection) -> int:
        return await imports.remove_chunks_of_team(connection, job.team_id)

    while await in_transaction(job.team_id, uploads):
        pass

    async def finish(connection: Connection) -> bool:
        erased_at = await connection.fetchval(
            "SELECT erased_at FROM users WHERE team_id = $1 AND id = $2", job.team_id, user_id
        )
        if await imports.uploads_under_way(connection, job.team_id, erased_at):
            return False
        await erased_names.forget_display_names(connection, job.team_id, user_id)
        await jobs.finish_job(connection, job)
        return True

    if not await in_transaction(job.team_id, finish):
        raise Postponed("Uploads that began before are read to their end first.", UPLOADS_WAIT)


async def _activities(connection: Connection, team_id: UUID, user_id: UUID, _after: Any) -> Lot:
    """Served by activities_user_idx and activity_keys_key."""
    await connection.execute("SELECT 1 FROM teams WHERE id = $1 FOR NO KEY UPDATE", team_id)
    gone = await connection.fetch(
        """
        WITH lot AS (
            SELECT id, occurred_at FROM activities WHERE team_id = $1 AND user_id = $2
            ORDER BY occurred_at DESC, id DESC LIMIT $3
        ), gone AS (
            DELETE FROM activities a USING lot WHERE a.id = lot.id AND a.occurred_at = lot.occurred_at
            RETURNING a.id, a.source, a.external_id
        ), keys AS (
            DELETE FROM activity_keys k USING gone
            WHERE k.team_id = $1 AND k.source = gone.source AND k.external_id = gone.external_id AND k.id = gone.id
        ), texts AS (
            DELETE FROM email_bodies b USING gone WHERE b.team_id = $1 AND b.id = gone.id
        ), film AS (
            DELETE FROM films f USING gone WHERE f.team_id = $1 AND f.id = gone.id
        )
        SELECT source, external_id FROM gone
        """,
        team_id,
        user_id,
        ACTIVITY_LOT,
    )
    await kept_documents.forget_with_activities(connection, team_id, [tuple(row) for row in gone], ended=False)
    return Lot(len(gone), True if gone else None)


async def _film(connection: Connection, team_id: UUID, user_id: UUID, _after: Any) -> Lot:
    removed = await film_erasure.erase_film(connection, team_id, user_id)
    return Lot(removed, True if removed else None)


async def _refused(connection: Connection, team_id: UUID, user_id: UUID, after: Any) -> Lot:
    """Served by quarantined_records_position_key."""
    search = await erased_names.search_for(connection, team_id, user_id)
    upload_id, position = after or (_BEGINNING, 0)
    rows = await connection.fetch(
        """
        SELECT id, upload_id, position, reason, record FROM quarantined_records
        WHERE team_id = $1 AND (upload_id, position) > ($2::uuid, $3::bigint) ORDER BY upload_id, position LIMIT $4
        """,
        team_id,
        UUID(upload_id),
        position,
        TEXT_LOT,
    )
    if search is None or not rows:
        return Lot(0)
    naming = [row["id"] for row in rows if search.finds(row["record"]) or search.finds(row["reason"])]
    await connection.execute(
        "DELETE FROM quarantined_records WHERE team_id = $1 AND id = ANY ($2::uuid[])", team_id, naming
    )
    return Lot(len(naming), [str(rows[-1]["upload_id"]), rows[-1]["position"]])


async def _documents(connection: Connection, team_id: UUID, user_id: UUID, after: Any) -> Lot:
    search = await erased_names.search_for(connection, team_id, user_id)
    if search is None:
        return Lot(0)
    count, last = await kept_documents.erase_documents(connection, team_id, search, UUID(after or _BEGINNING))
    return Lot(count, None if last is None else str(last))


async def _refused_documents(connection: Connection, team_id: UUID, user_id: UUID, after: Any) -> Lot:
    search = await erased_names.search_for(connection, team_id, user_id)
    if search is None:
        return Lot(0)
    count, last = await kept_documents.erase_refused_documents(connection, team_id, search, UUID(after or _BEGINNING))
    return Lot(count, None if last is None else str(last))


async def _connections(connection: Connection, team_id: UUID, user_id: UUID, _after: Any) -> Lot:
    search = await erased_names.search_for(connection, team_id, user_id)
    return Lot(0 if search is None else await kept_documents.erase_from_connections(connection, team_id, search))


async def _exports(connection: Connection, team_id: UUID, _user_id: UUID, _after: Any) -> Lot:
    removed = await export_files.remove_pieces(connection, team_id)
    return Lot(removed, True if removed else None)


async def _audit(connection: Connection, team_id: UUID, user_id: UUID, after: Any) -> Lot:
    """The owner's alone: PostgreSQL lets nobody else touch the log. Served by audit_entries_position_key."""
    search = await erased_names.search_for(connection, team_id, user_id)
    # What was written afterwards is about a person who has no name any more.
    end = await connection.fetchval(
        "SELECT max(position) FROM audit_entries WHERE team_id = $1 AND subject_id = $2 AND action = $3",
        team_id,
        user_id,
        AuditAction.USER_ERASED.value,
    )
    rows = await connection.fetch(
        """
        SELECT position, actor_id, subject_type, subject_id, details FROM audit_entries
        WHERE team_id = $1 AND position > $2 AND ($3::bigint IS NULL OR position < $3) ORDER BY position LIMIT $4
        """,
        team_id,
        after or 0,
        end,
        TEXT_LOT,
    )
    if not rows:
        return Lot(0)
    told = [row["position"] for row in rows if row["details"] is not None and _is_about(row, user_id, search)]
    await connection.execute(
        "UPDATE audit_entries SET details = NULL, salt = NULL WHERE team_id = $1 AND position = ANY ($2::bigint[])",
        team_id,
        told,
    )
    return Lot(len(told), rows[-1]["position"])


async def _live_calls(connection: Connection, team_id: UUID, user_id: UUID, _after: Any) -> Lot:
    return Lot(await live_calls.erase_calls(connection, team_id, user_id))


def _is_about(row: Any, user_id: UUID, search: erased_names.Search | None) -> bool:
    if user_id in (row["actor_id"], row["subject_id"]):
        return True
    details = orjson.loads(row["details"])
    for side in (details.get("before"), details.get("after")):
        # A token of the person's, or an email of theirs that somebody read.
        if isinstance(side, Mapping) and str(user_id) in (side.get("user_id"), side.get("owner")):
            return True
    return search is not None and search.finds_address(row["details"])


STEPS: Mapping[str, tuple[Reach | None, Step]] = {
    "activities": (None, _activities),
    "film": (None, _film),
    "refused": (None, _refused),
    "documents": (None, _documents),
    "refused_documents": (None, _refused_documents),
    "connections": (None, _connections),
    "exports": (None, _exports),
    "live_calls": (None, _live_calls),
    "audit": (ALL_TEAMS, _audit),
}
"""The steps in their order, each with whose connection it needs; None is the team's."""
