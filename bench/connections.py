"""Pages of 100 nodes, each with the people that it names, against one statement that joins them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from bench.floors import Floored, measure_all, serving
from bench.growing import populate
from bench.measure import Comparison
from bench.people import Staff
from domain.ids import encode_id

ACTIVITIES = 100_000
PAGE = 100
GOAL = 2.0
_PAGE_INFO = "pageInfo { hasNextPage endCursor }"


def _connection(field: str, node: Callable[[Any], dict[str, Any]]) -> Callable[[Sequence[Any]], dict[str, Any]]:
    """The answer of a connection, from one row a node and one more if there is more."""

    def shape(rows: Sequence[Any]) -> dict[str, Any]:
        page = {"hasNextPage": len(rows) > PAGE, "endCursor": None}
        return {field: {"nodes": [node(row) for row in rows[:PAGE]], "pageInfo": page}}

    return shape


def _users(staff: Staff) -> Floored:
    def node(row: Any) -> dict[str, Any]:
        user_id, name, email, active, group_id, group, manager_id, manager, role_id, role = row
        return {
            "id": user_id,
            "name": name,
            "email": email,
            "active": active,
            "group": None if group_id is None else {"id": group_id, "name": group},
            "manager": None if manager_id is None else {"id": manager_id, "name": manager},
            "role": {"id": role_id, "name": role},
        }

    return Floored(
        f"{PAGE} users with group, manager and role",
        f"{{ users(first: {PAGE}) {{ nodes {{ id name email active group {{ id name }} manager {{ id name }} "
        f"role {{ id name }} }} {_PAGE_INFO} }} }}",
        f"""
        SELECT u.id, u.name, u.email, u.active, g.id, g.name, m.id, m.name, r.id, r.name FROM users u
        JOIN roles r ON r.id = u.role_id LEFT JOIN groups g ON g.id = u.group_id
        LEFT JOIN users m ON m.id = u.manager_id
        WHERE u.team_id = $1 ORDER BY u.name, u.id LIMIT {PAGE + 1}
        """,
        _connection("users", node),
        arguments=(staff.team_id,),
        goal=GOAL,
    )


_COMMON = {"id": "id", "occurredAt": "occurred_at", "source": "source", "externalId": "external_id"}
_KINDS: dict[str, tuple[str, str, dict[str, str]]] = {
    "emails": (
        "email",
        "EmailActivity",
        {"subject": "name", "bounced": "bounced", "openCount": "open_count", "repliedAt": "replied_at"},
    ),
    "calls": (
        "call",
        "CallActivity",
        {"durationSeconds": "duration_seconds", "connected": "connected", "disposition": "disposition"},
    ),
    "meetings": (
        "meeting",
        "MeetingActivity",
        {"title": "name", "startsAt": "starts_at", "endsAt": "ends_at", "status": "upper(a.status)"},
    ),
    "conversations": (
        "conversation",
        "ConversationActivity",
        {"seconds": "duration_seconds", "talkRatio": "talk_ratio::float8", "questionsAsked": "questions_asked"},
    ),
    "opportunities": (
        "opportunity",
        "OpportunityActivity",
        {"name": "name", "stage": "stage", "amount": "amount::text", "createdOn": "created_on", "won": "won"},
    ),
}
_ALIASES = {"seconds": "seconds: durationSeconds"}


def _column(column: str) -> str:
    return column if "(" in column else f"a.{column}"


def _fields(columns: dict[str, str]) -> str:
    return " ".join(_ALIASES.get(name, name) for name in columns)


def _kind(staff: Staff, title: str) -> Floored:
    kind, type_name, columns = _KINDS[title]
    names = [*_COMMON, *columns]

    def node(row: Any) -> dict[str, Any]:
        *values, user_id, user = row
        return {**dict(zip(names, values, strict=True)), "user": {"id": user_id, "name": user}}

    return Floored(
        f"{PAGE} newest {title} of the team with their reps",
        f"{{ activities(first: {PAGE}, filter: {{kinds: [{kind.upper()}]}}) {{ nodes {{ {_fields(_COMMON)} "
        f"... on {type_name} {{ {_fields(columns)} }} user {{ id name }} }} {_PAGE_INFO} }} }}",
        f"""
        SELECT {", ".join(_column(column) for column in (*_COMMON.values(), *columns.values()))}, u.id, u.name
        FROM activities a JOIN users u ON u.id = a.user_id
        WHERE a.team_id = $1 AND a.kind = '{kind}' ORDER BY a.occurred_at DESC, a.id DESC LIMIT {PAGE + 1}
        """,
        _connection("activities", node),
        arguments=(staff.team_id,),
        goal=GOAL,
    )


def _mixed(staff: Staff, title: str, where: str, field: str, arguments: Sequence[Any], document: str) -> Floored:
    """Activities of all kinds, each with its own fields."""
    shown = {kind: (name, tuple(columns)) for kind, name, columns in _KINDS.values()}
    all_columns = {name: column for _kind, _name, columns in _KINDS.values() for name, column in columns.items()}
    places = {name: place for place, name in enumerate(all_columns, len(_COMMON) + 3)}
    common = tuple(enumerate(_COMMON))

    def node(row: Any) -> dict[str, Any]:
        values = tuple(row)
        found = {"__typename": None, **{name: values[place] for place, name in common}}
        found["user"] = {"id": values[len(_COMMON)], "name": values[len(_COMMON) + 1]}
        kind = values[len(_COMMON) + 2]
        name, columns = shown.get(kind, (None, ()))
        found["__typename"] = name or "".join(part.title() for part in kind.split("_")) + "Activity"
        for column in columns:
            found[column] = values[places[column]]
        return found

    fields = " ".join(f"... on {name} {{ {_fields(columns)} }}" for _kind, name, columns in _KINDS.values())
    inner = _connection("activities", node)

    def shape(rows: Sequence[Any]) -> dict[str, Any]:
        answer = inner(rows)
        return answer if field == "activities" else {field: answer}

    return Floored(
        title,
        document.replace(
            "PAGE",
            f"nodes {{ __typename {_fields(_COMMON)} user {{ id name }} {fields} }} {_PAGE_INFO}",
        ),
        f"""
        SELECT {", ".join(f"a.{column}" for column in _COMMON.values())}, u.id, u.name, a.kind,
            {", ".join(_column(column) for column in all_columns.values())}
        FROM activities a JOIN users u ON u.id = a.user_id
        WHERE a.team_id = $1 {where} ORDER BY a.occurred_at DESC, a.id DESC LIMIT {PAGE + 1}
        """,
        shape,
        {} if len(arguments) < 2 else {"user": encode_id("User", arguments[1])},
        arguments,
        GOAL,
    )


def _goals(staff: Staff) -> Floored:
    def node(row: Any) -> dict[str, Any]:
        goal_id, metric, period, user_id, user, version, target, first, last = row
        shown = {"version": version, "target": target, "effectiveFrom": first, "effectiveTo": last}
        return {
            "id": goal_id,
            "metric": metric,
            "period": period,
            **shown,
            "subject": {"id": user_id, "name": user},
            "history": [shown],
        }

    reps: list[UUID] = sorted(staff.reps)[: PAGE + 20]
    shown = "version target effectiveFrom effectiveTo"
    return Floored(
        f"goals of {PAGE} reps with their history",
        f"query($reps: [ID!]) {{ goals(first: {PAGE}, filter: {{userIds: $reps, metrics: [CALLS_LOGGED]}}) "
        f"{{ nodes {{ id metric period {shown} subject {{ ... on User {{ id name }} }} history {{ {shown} }} }} "
        f"{_PAGE_INFO} }} }}",
        f"""
        SELECT g.id, g.metric, g.period, u.id, u.name, v.version, trim_scale(v.target)::text, v.effective_from,
            v.effective_to
        FROM goals g JOIN goal_versions v ON v.team_id = g.team_id AND v.goal_id = g.id
        JOIN users u ON u.id = g.user_id
        WHERE g.team_id = $1 AND g.metric = 'CALLS_LOGGED' AND g.user_id = ANY ($2::uuid[])
        ORDER BY g.metric, g.period, g.user_id LIMIT {PAGE + 1}
        """,
        _connection("goals", node),
        {"reps": [encode_id("User", one) for one in reps]},
        (staff.team_id, reps),
        GOAL,
    )


async def measure(database_url: str, redis_url: str, activities: int = ACTIVITIES) -> list[Comparison]:
    """Pages out of a team with so many activities."""
    staff = (await populate(database_url, activities)).staff
    questions = [
        _users(staff),
        _mixed(
            staff,
            f"{PAGE} newest activities of the team, of all kinds, with their reps",
            "",
            "activities",
            (staff.team_id,),
            f"{{ activities(first: {PAGE}) {{ PAGE }} }}",
        ),
        _mixed(
            staff,
            f"{PAGE} newest activities of one rep, of all kinds",
            "AND a.user_id = $2",
            "node",
            (staff.team_id, staff.reps[5]),
            f"query($user: ID!) {{ node(id: $user) {{ ... on User {{ activities(first: {PAGE}) {{ PAGE }} }} }} }}",
        ),
        *(_kind(staff, title) for title in _KINDS),
        _goals(staff),
    ]
    async with serving(database_url, redis_url) as app:
        return await measure_all(app, database_url, staff.token, questions)
