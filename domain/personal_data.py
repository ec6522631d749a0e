"""All data of a person, for the person or an Admin: newline-delimited JSON, streamed.

Each line is an object whose `record` says what it is. Ids are those of the API. The last line has the number of lines
before it: without it the export broke off. Fields that hold nothing are null or left out.

    export          person, team, timezone, madeAt, format (1)
    profile         id, name, email, formattedName, givenName, familyName, externalIds, scimExternalId, scimUserName,
                    active, isRep, dealsAccess, startedOn, endedOn, createdAt, changedAt, erasedAt
    place           role {id, name, permissions}, groups [{id, name}] from the person's own upwards,
                    manager {id, name}; names of others only where the reader may see them
    goal            id, metric, period, versions [{version, target, effectiveFrom, effectiveTo, setBy, setAt}],
                    statuses [{periodStart, status, changedAt}]
    daysOff         id, from, to, reason, createdAt
    activity        as activities come in (README, domain/records.py) with its source; emails with their body
    rollupDay       day, and each base sum that is not 0
    token           id, kind (api, session), name, scopes, createdAt, expiresAt, revokedAt, lastUsedAt; never the token
    webhookEndpoint id, url, description, types, state, createdAt
    connection      id, kind, name, accountName, settings, state, createdAt, lastSyncedAt: the person's own calendars;
                    never their secrets, and their documents as the activities that they came to
    job             id, kind, state, createdAt, finishedAt: what the person asked for
    exportedFile    id, connection, format, columns, arguments, rows, createdAt, readyAt, expiresAt: what the person had
                    made into a file
    comment, mention, review, scorecard, feedbackRequest, playlist
                    what the person said and scored, and what was said and scored of their film; their fields stand in
                    domain/film_personal_data.py
    refusedRecord   source, position, code, reason, text, createdAt: records of the person's that wait in quarantine
    coachingPlan    id, title, agenda, status, startsOn, endsOn, closedOn, user, coach, focus [{metric, target}],
                    items [{title, dueOn, doneAt}]: those in which the person takes part; no drafts about the person
    coachingSession id, title, agenda, startsAt, durationMinutes, state, heldAt, user, coach: those in which the person
                    takes part
    coachingNote    id, plan, session, author, visibility, body, createdAt, editedAt: the person's own, and what was
                    shared with the person; private notes of coaches are the coaches' own. Agendas, sessions and notes
                    are in the person's own export alone, not in one that an Admin makes
    liveCall        id, direction, counterpart, startedAt, answeredAt, endedAt, endReason: the person's own, while kept
    liveCallJoined  call, mode, state, requestedAt, joinedAt, leftAt, reason: calls that the person was on
    liveCallNote    call, atSecond, text, private, createdAt: notes that the person wrote; private ones in the
                    person's own export alone
    scheduledAction id, kind, title, dueAt, recurrence, timezone, state, source, createdBy, createdAt, endedAt: the
                    person's own and what the person made; of coaching sessions in the person's own export alone
    message         channel, state, createdAt, endedAt: what went out to the person, not what it said
    reportSnapshot  id, title, fromDay, toDay, createdAt, expiresAt: made for the person
    accolade        id, title, message, milestone, level, value, achievedOn, grantedBy, grantedAt, revokedAt,
                    revokedReason
    auditEntry      position, at, action, actor, subjectType, subjectId, by whom and about what: entries by the person
                    with their address, entries about the person with before and after; addresses of others and what
                    was changed of others are theirs
    end             records

Left out: idempotency keys and events, which tell for some days what the goals tell; digests, keys and hashes.

Pages are read in statements of their own, so that a slow reader holds no connection. What changes meanwhile may be
there as it was or as it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from domain import access, audit, bodies, erased_names
from domain.access import Sight, Viewer
from domain.access_actions import PRIVATE_KINDS
from domain.activity_records import ACTIVITIES, activity_record
from domain.audit import AuditAction, NewEntry
from domain.bodies import Sealer
from domain.database import acquire, transaction
from domain.errors import NotFound
from domain.film_personal_data import film_records
from domain.ids import encode_id
from domain.metrics import BASE_SUM_NAMES

if TYPE_CHECKING:
    from domain.database import Connection

FORMAT = 1
PAGE_ROWS = 500
AUDIT_PAGE_ROWS = 5_000
"""Entries that are looked at for one page; few of them are the person's."""
LINES_BYTES = 65_536
"""About so much is handed on at once."""

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PersonalExport:
    """An export that is allowed, written down, and ready to be read.

    Args:
        team_id: The team.
        user_id: The person.
        sight: Whose names the reader may see.
        keys: The team's data keys.
        own: Whether it is the person's own, or the operator's: coaching sessions and what was noted of coaching are not
            for an Admin.
    """

    team_id: UUID
    user_id: UUID
    sight: Sight
    keys: Mapping[UUID, Sealer]
    own: bool = True

    async def lines(self) -> AsyncIterator[bytes]:
        """The lines, some at a time; memory stays flat.

        Raises:
            Unavailable: a body cannot be opened.
        """
        held, count = bytearray(), 0
        for section in _SECTIONS:
            async for record in section(self):
                held += orjson.dumps(record, default=_plain) + b"\n"
                count += 1
                if len(held) >= LINES_BYTES:
                    yield bytes(held)
                    held.clear()
        held += orjson.dumps({"record": "end", "records": count}) + b"\n"
        yield bytes(held)


async def begin_export(viewer: Viewer, user_id: UUID) -> PersonalExport:
    """Get an export of a person's data ready; one of somebody else's stands in the audit log before a byte is given.

    Raises:
        Forbidden: the viewer may not.
        NotFound: there is no such user.
        Unavailable: the keys that open bodies are not set.
    """
    access.require_personal_export(viewer, user_id)
    async with transaction(viewer.team_id) as connection:
        keys = await _ready(connection, viewer.team_id, user_id)
        if user_id != viewer.user_id:
            await audit.record(connection, viewer, [_told(user_id)])
        sight = await access.see_users(connection, viewer)
    return PersonalExport(viewer.team_id, user_id, sight, keys, own=user_id == viewer.user_id)


async def begin_export_for_operator(team_id: UUID, user_id: UUID) -> PersonalExport:
    """The same as the operator.

    Raises:
        NotFound: there is no such user.
        Unavailable: the keys that open bodies are not set.
    """
    async with transaction(team_id) as connection:
        keys = await _ready(connection, team_id, user_id)
        await audit.record_for_operator(connection, team_id, [_told(user_id)])
    return PersonalExport(team_id, user_id, Sight(team_id, True, frozenset()), keys)


def _told(user_id: UUID) -> NewEntry:
    return NewEntry(AuditAction.PERSON_EXPORTED, ("User", user_id))


async def _ready(connection: Connection, team_id: UUID, user_id: UUID) -> Mapping[UUID, Sealer]:
    known = await connection.fetchval("SELECT true FROM users WHERE team_id = $1 AND id = $2", team_id, user_id)
    if not known:
        raise NotFound("No such user.", path=("person",))
    return await bodies.sealers(connection, team_id)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return format(value, "f")
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def _fields(row: Any, *names: str) -> Record:
    return {_camel(name): row[name] for name in names}


async def _fetch(export: PersonalExport, statement: str, *arguments: object) -> list[Any]:
    """Rows of a statement whose first parameters are the team and the person."""
    async with acquire(export.team_id) as connection:
        rows: list[Any] = await connection.fetch(statement, export.team_id, export.user_id, *arguments)
    return rows


async def _head(export: PersonalExport) -> AsyncIterator[Record]:
    (team,) = await _fetch(export, "SELECT name, timezone FROM teams WHERE id = $1 AND $2::uuid IS NOT NULL")
    yield {
        "record": "export",
        "person": encode_id("User", export.user_id),
        "team": team["name"],
        "timezone": team["timezone"],
        "madeAt": datetime.now(UTC),
        "format": FORMAT,
    }


async def _profile(export: PersonalExport) -> AsyncIterator[Record]:
    for row in await _fetch(export, "SELECT * FROM users WHERE team_id = $1 AND id = $2"):
        yield {
            "record": "profile",
            "id": encode_id("User", row["id"]),
            **_fields(row, "name", "email", "formatted_name", "given_name", "family_name", "external_ids"),
            **_fields(row, "scim_external_id", "scim_user_name", "active", "is_rep", "deals_access"),
            **_fields(row, "started_on", "ended_on", "created_at", "changed_at", "erased_at"),
        }


async def _place(export: PersonalExport) -> AsyncIterator[Record]:
    rows = await _fetch(
        export,
        """
        SELECT r.id AS role_id, r.name AS role, r.permissions, m.id AS manager_id, m.name AS manager
        FROM users u JOIN roles r ON r.team_id = u.team_id AND r.id = u.role_id
        LEFT JOIN users m ON m.team_id = u.team_id AND m.id = u.manager_id WHERE u.team_id = $1 AND u.id = $2
        """,
    )
    groups = await _fetch(
        export,
        """
        WITH RECURSIVE above AS (
            SELECT g.id, g.name, g.parent_id, 0 AS depth FROM groups g
            JOIN users u ON u.team_id = g.team_id AND u.group_id = g.id WHERE u.team_id = $1 AND u.id = $2
            UNION ALL
            SELECT g.id, g.name, g.parent_id, a.depth + 1
            FROM groups g JOIN above a ON g.team_id = $1 AND g.id = a.parent_id
        )
        SELECT id, name FROM above ORDER BY depth
        """,
    )
    for row in rows:
        manager = None
        if row["manager_id"] is not None:
            seen = export.sight.sees(export.team_id, row["manager_id"])
            manager = {"id": encode_id("User", row["manager_id"]), "name": row["manager"] if seen else None}
        yield {
            "record": "place",
            "role": {"id": encode_id("Role", row["role_id"]), "name": row["role"], "permissions": row["permissions"]},
            "groups": [{"id": encode_id("Group", group["id"]), "name": group["name"]} for group in groups],
            "manager": manager,
        }


async def _goals(export: PersonalExport) -> AsyncIterator[Record]:
    """Served by goals_subject_key, goal_versions_version_key and goal_states_key."""
    for goal in await _fetch(
        export, "SELECT id, metric, period FROM goals WHERE team_id = $1 AND user_id = $2 ORDER BY id"
    ):
        async with acquire(export.team_id) as connection:
            versions = await connection.fetch(
                "SELECT * FROM goal_versions WHERE team_id = $1 AND goal_id = $2 ORDER BY version",
                export.team_id,
                goal["id"],
            )
            states = await connection.fetch(
                "SELECT * FROM goal_states WHERE team_id = $1 AND goal_id = $2 ORDER BY period_start",
                export.team_id,
                goal["id"],
            )
        yield {
            "record": "goal",
            "id": encode_id("Goal", goal["id"]),
            **_fields(goal, "metric", "period"),
            "versions": [
                _fields(row, "version", "target", "effective_from", "effective_to", "set_at")
                | {"setBy": None if row["set_by_id"] is None else encode_id("User", row["set_by_id"])}
                for row in versions
            ],
            "statuses": [_fields(row, "period_start", "status", "changed_at") for row in states],
        }


async def _accolades(export: PersonalExport) -> AsyncIterator[Record]:
    """Served by accolades_user_idx."""
    for row in await _fetch(
        export, "SELECT * FROM accolades WHERE team_id = $1 AND user_id = $2 ORDER BY granted_at, id"
    ):
        yield {
            "record": "accolade",
            "id": encode_id("Accolade", row["id"]),
            **_fields(row, "title", "message", "milestone", "level", "value", "achieved_on"),
            "grantedBy": None if row["granted_by_id"] is None else encode_id("User", row["granted_by_id"]),
            **_fields(row, "granted_at", "revoked_at", "revoked_reason"),
        }


async def _actions(export: PersonalExport) -> AsyncIterator[Record]:
    """Served by scheduled_actions_user_idx, scheduled_actions_made_idx, outgoing_messages_user_idx and
    report_snapshots_user_idx."""
    place = UUID(int=0)
    while rows := await _fetch(
        export,
        "SELECT * FROM scheduled_actions WHERE team_id = $1 AND (user_id = $2 OR created_by_id = $2) AND id > $3 "
        "AND ($4 OR kind <> ALL ($5::text[])) ORDER BY id LIMIT $6",
        place,
        export.own,
        list(PRIVATE_KINDS),
        PAGE_ROWS,
    ):
        for row in rows:
            yield {
                "record": "scheduledAction",
                "id": encode_id("ScheduledAction", row["id"]),
                **_fields(row, "kind", "title", "due_at", "recurrence", "timezone", "state", "source"),
                "createdBy": None if row["created_by_id"] is None else encode_id("User", row["created_by_id"]),
                **_fields(row, "created_at", "ended_at"),
            }
        place = rows[-1]["id"]
    for row in await _fetch(
        export,
        "SELECT channel, state, created_at, ended_at FROM outgoing_messages WHERE team_id = $1 AND user_id = $2 "
        "ORDER BY id",
    ):
        yield {"record": "message", **_fields(row, "channel", "state", "created_at", "ended_at")}
    for row in await _fetch(
        export,
        "SELECT id, title, from_day, to_day, created_at, expires_at FROM report_snapshots "
        "WHERE team_id = $1 AND user_id = $2 ORDER BY id",
    ):
        yield {
            "record": "reportSnapshot",
            "id": encode_id("ReportSnapshot", row["id"]),
            **_fields(row, "title", "from_day", "to_day", "created_at", "expires_at"),
        }


async def _days_off(export: PersonalExport) -> AsyncIterator[Record]:
    for row in await _fetch(
        export, "SELECT * FROM days_off WHERE team_id = $1 AND user_id = $2 ORDER BY first_day, id"
    ):
        yield {
            "record": "daysOff",
            "id": encode_id("DaysOff", row["id"]),
            "from": row["first_day"],
            "to": row["last_day"],
            **_fields(row, "reason", "created_at"),
        }


async def _activities(export: PersonalExport) -> AsyncIterator[Record]:
    """Served by activities_user_idx."""
    at, row_id = datetime.min.replace(tzinfo=UTC), UUID(int=0)
    while rows := await _fetch(
        export,
        f"{ACTIVITIES} WHERE a.team_id = $1 AND a.user_id = $2 AND a.occurred_at >= $3 "
        "AND (a.occurred_at, a.id) > ($3, $4) ORDER BY a.occurred_at, a.id LIMIT $5",
        at,
        row_id,
        PAGE_ROWS,
    ):
        for row in rows:
            yield {"record": "activity", "source": row["source"], **activity_record(row, export.keys, with_body=True)}
        at, row_id = rows[-1]["occurred_at"], rows[-1]["id"]


async def _rollups(export: PersonalExport) -> AsyncIterator[Record]:
    """Served by the primary key of rollup_days."""
    day = datetime.min.date()
    while rows := await _fetch(
        export,
        "SELECT * FROM rollup_days WHERE team_id = $1 AND user_id = $2 AND day > $3 ORDER BY day LIMIT $4",
        day,
        PAGE_ROWS,
    ):
        for row in rows:
            sums = {_camel(name): row[name] for name in BASE_SUM_NAMES if row[name]}
            if sums:
                yield {"record": "rollupDay", "day": row["day"], **sums}
        day = rows[-1]["day"]


async def _tokens(export: PersonalExport) -> AsyncIterator[Record]:
    for row in await _fetch(export, "SELECT * FROM tokens WHERE team_id = $1 AND user_id = $2 ORDER BY id"):
        yield {
            "record": "token",
            "id": encode_id("Token", row["id"]),
            **_fields(row, "kind", "name", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at"),
        }


async def _endpoints(export: PersonalExport) -> AsyncIterator[Record]:
    for row in await _fetch(export, "SELECT * FROM webhook_endpoints WHERE team_id = $1 AND owner_id = $2 ORDER BY id"):
        yield {
            "record": "webhookEndpoint",
            "id": encode_id("WebhookEndpoint", row["id"]),
            **_fields(row, "url", "description", "types", "state", "created_at"),
        }


async def _connections(export: PersonalExport) -> AsyncIterator[Record]:
    for row in await _fetch(export, "SELECT * FROM integrations WHERE team_id = $1 AND owner_id = $2 ORDER BY id"):
        yield {
            "record": "connection",
            "id": encode_id("Integration", row["id"]),
            **_fields(row, "kind", "name", "account_name", "state", "created_at", "last_synced_at"),
            "settings": orjson.loads(row["settings"]),
        }


async def _jobs(export: PersonalExport) -> AsyncIterator[Record]:
    for row in await _fetch(
        export,
        "SELECT id, kind, state, created_at, finished_at FROM jobs WHERE team_id = $1 AND requested_by_id = $2 "
        "ORDER BY id",
    ):
        yield {
            "record": "job",
            "id": encode_id("Job", row["id"]),
            **_fields(row, "kind", "state", "created_at", "finished_at"),
        }


async def _exports(export: PersonalExport) -> AsyncIterator[Record]:
    """Served by exports_user_idx."""
    for row in await _fetch(
        export, "SELECT * FROM exports WHERE team_id = $1 AND user_id = $2 ORDER BY created_at, id"
    ):
        yield {
            "record": "exportedFile",
            "id": encode_id("Export", row["id"]),
            **_fields(row, "connection", "format", "columns", "rows", "created_at", "ready_at", "expires_at"),
            "arguments": orjson.loads(row["arguments"]),
        }


async def _coaching(export: PersonalExport) -> AsyncIterator[Record]:
    """Served by the indexes of plans, sessions, co_coaches and notes on who takes part."""
    part = "(x.user_id = $2 OR x.coach_id = $2 OR x.id IN (SELECT c.{0} FROM co_coaches c WHERE c.team_id = $1 "
    part += "AND c.user_id = $2 AND c.{0} IS NOT NULL))"
    for row in await _fetch(
        export,
        f"""
        SELECT x.*, (SELECT coalesce(json_agg(json_build_object('metric', f.metric, 'target', f.target::text)
                ORDER BY f.position), '[]') FROM plan_focuses f WHERE f.team_id = $1 AND f.plan_id = x.id) AS focus,
            (SELECT coalesce(json_agg(json_build_object('title', i.title, 'dueOn', i.due_on, 'doneAt', i.done_at)
                ORDER BY i.id), '[]') FROM plan_items i WHERE i.team_id = $1 AND i.plan_id = x.id) AS items
        FROM coaching_plans x WHERE x.team_id = $1 AND {part.format("plan_id")}
            AND (x.status <> 'DRAFT' OR x.user_id <> $2 AND {"true" if export.own else "false"}) ORDER BY x.id
        """,
    ):
        yield {
            "record": "coachingPlan",
            "id": encode_id("CoachingPlan", row["id"]),
            **_fields(row, "title", *(["agenda"] if export.own else []), "status", "starts_on", "ends_on", "closed_on"),
            "user": encode_id("User", row["user_id"]),
            "coach": encode_id("User", row["coach_id"]),
            "focus": orjson.loads(row["focus"]),
            "items": orjson.loads(row["items"]),
        }
    if not export.own:
        return
    for row in await _fetch(
        export,
        f"SELECT x.* FROM coaching_sessions x WHERE x.team_id = $1 AND {part.format('session_id')} "
        "ORDER BY x.starts_at, x.id",
    ):
        yield {
            "record": "coachingSession",
            "id": encode_id("CoachingSession", row["id"]),
            **_fields(row, "title", "agenda", "starts_at", "duration_minutes", "state", "held_at"),
            "user": encode_id("User", row["user_id"]),
            "coach": encode_id("User", row["coach_id"]),
        }
    for row in await _fetch(
        export,
        """
        SELECT n.* FROM coaching_notes n
        LEFT JOIN coaching_plans p ON p.team_id = $1 AND p.id = n.plan_id
        LEFT JOIN coaching_sessions s ON s.team_id = $1 AND s.id = n.session_id
        WHERE n.team_id = $1 AND (n.author_id = $2
            OR n.visibility = 'SHARED' AND (p.user_id = $2 AND p.status <> 'DRAFT' OR s.user_id = $2)) ORDER BY n.id
        """,
    ):
        yield {
            "record": "coachingNote",
            "id": encode_id("CoachingNote", row["id"]),
            "plan": None if row["plan_id"] is None else encode_id("CoachingPlan", row["plan_id"]),
            "session": None if row["session_id"] is None else encode_id("CoachingSession", row["session_id"]),
            "author": encode_id("User", row["author_id"]),
            **_fields(row, "visibility", "body", "created_at", "edited_at"),
        }


async def _film(export: PersonalExport) -> AsyncIterator[Record]:
    async for record in film_records(partial(_fetch, export), own=export.own):
        yield record


async def _live_calls(export: PersonalExport) -> AsyncIterator[Record]:
    """Served by the indexes on (team_id, user_id, started_at) and (team_id, author_id, id)."""
    for row in await _fetch(
        export, "SELECT * FROM live_calls WHERE team_id = $1 AND user_id = $2 ORDER BY started_at, id"
    ):
        yield {
            "record": "liveCall",
            "id": encode_id("LiveCall", row["id"]),
            **_fields(row, "direction", "counterpart", "started_at", "answered_at", "ended_at", "end_reason"),
        }
    for row in await _fetch(
        export, "SELECT * FROM live_call_participants WHERE team_id = $1 AND user_id = $2 ORDER BY requested_at, id"
    ):
        yield {
            "record": "liveCallJoined",
            "call": encode_id("LiveCall", row["call_id"]),
            **_fields(row, "mode", "state", "requested_at", "joined_at", "left_at", "reason"),
        }
    for row in await _fetch(
        export,
        "SELECT * FROM live_call_notes WHERE team_id = $1 AND author_id = $2 AND ($3 OR NOT private) ORDER BY id",
        export.own,
    ):
        yield {
            "record": "liveCallNote",
            "call": encode_id("LiveCall", row["call_id"]),
            **_fields(row, "at_second", "text", "private", "created_at"),
        }


async def _refused(export: PersonalExport) -> AsyncIterator[Record]:
    """Records whose field `user` is the person's address or id. Served by quarantined_records_position_key."""
    (person,) = await _fetch(export, "SELECT email, external_ids FROM users WHERE team_id = $1 AND id = $2")
    names = {name.lower() for name in (person["email"], *person["external_ids"])}
    upload_id, position = UUID(int=0), 0
    while rows := await _fetch(
        export,
        """
        SELECT q.*, i.source FROM quarantined_records q
        JOIN imports i ON i.team_id = q.team_id AND i.id = q.upload_id
        WHERE q.team_id = $1 AND $2::uuid IS NOT NULL AND (q.upload_id, q.position) > ($3, $4)
        ORDER BY q.upload_id, q.position LIMIT $5
        """,
        upload_id,
        position,
        PAGE_ROWS,
    ):
        for row in rows:
            user = erased_names.user_of(row["record"])
            if user is not None and user.lower() in names:
                yield {
                    "record": "refusedRecord",
                    **_fields(row, "source", "position", "code", "reason", "created_at"),
                    "text": row["record"],
                }
        upload_id, position = rows[-1]["upload_id"], rows[-1]["position"]


async def _audit(export: PersonalExport) -> AsyncIterator[Record]:
    """Served by audit_entries_position_key."""
    position = 0
    while rows := await _fetch(
        export,
        # The person's tokens, and emails of theirs that somebody read, are named by their owner in the details.
        """
        SELECT position, at, action, actor_id, subject_type, subject_id, details,
            coalesce(actor_id = $2, false) OR coalesce(subject_id = $2, false) OR coalesce($2::text IN (
                details::jsonb #>> '{after,user_id}', details::jsonb #>> '{before,user_id}',
                details::jsonb #>> '{after,owner}'
            ), false) AS theirs
        FROM audit_entries WHERE team_id = $1 AND position > $3 ORDER BY position LIMIT $4
        """,
        position,
        AUDIT_PAGE_ROWS,
    ):
        for row in rows:
            if row["theirs"]:
                yield _entry(row, export.user_id)
        position = rows[-1]["position"]


def _entry(row: Any, user_id: UUID) -> Record:
    told = {} if row["details"] is None else orjson.loads(row["details"])
    kind, subject_id = row["subject_type"], row["subject_id"]
    entry = {
        "record": "auditEntry",
        **_fields(row, "position", "at", "action"),
        "actor": None if row["actor_id"] is None else encode_id("User", row["actor_id"]),
        "subjectType": kind,
        "subjectId": None if kind is None or subject_id is None else encode_id(kind, subject_id),
    }
    if row["actor_id"] == user_id:
        entry["address"] = told.get("address")
    if subject_id == user_id:
        entry |= {"before": told.get("before"), "after": told.get("after")}
    return entry


_SECTIONS = (
    _head,
    _profile,
    _place,
    _goals,
    _days_off,
    _actions,
    _accolades,
    _activities,
    _rollups,
    _tokens,
    _endpoints,
    _connections,
    _jobs,
    _coaching,
    _exports,
    _live_calls,
    _film,
    _refused,
    _audit,
)
