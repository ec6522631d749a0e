"""Manager View, once more: every row of every table, counted in plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

Act = tuple[str, UUID, UUID, datetime]
"""What, by whom, for whom, when."""


async def acts_of(connection: Any, team_id: UUID) -> list[Act]:
    """All coaching of a team, whoever looks."""
    found: list[Act] = []
    roles = {row["id"]: row for row in await connection.fetch("SELECT * FROM roles WHERE team_id = $1", team_id)}
    people = {row["id"]: row for row in await connection.fetch("SELECT * FROM users WHERE team_id = $1", team_id)}

    def coaches(user_id: UUID) -> bool:
        role = roles[people[user_id]["role_id"]]
        return bool(role["is_admin"]) or "TEAM_VIEW" in role["permissions"]

    async def rows(table: str) -> list[Any]:
        return list(await connection.fetch(f"SELECT * FROM {table} WHERE team_id = $1", team_id))

    found += [("review", row["reviewer_id"], row["user_id"], row["created_at"]) for row in await rows("reviews")]
    found += [
        ("scorecard", row["scorer_id"], row["user_id"], row["submitted_at"])
        for row in await rows("scorecards")
        if row["state"] == "SUBMITTED" and row["relation"] == "MANAGER"
    ]
    found += [
        ("comment", row["author_id"], row["user_id"], row["created_at"])
        for row in await rows("comments")
        if row["deleted_at"] is None and coaches(row["author_id"])
    ]
    found += [
        ("session", row["coach_id"], row["user_id"], row["held_at"])
        for row in await rows("coaching_sessions")
        if row["state"] == "HELD"
    ]
    return [act for act in found if act[1] != act[2]]


def counts(
    acts: Collection[Act], seen: Collection[UUID], first: date, last: date, zone: str
) -> dict[tuple[UUID, UUID], Counter[str]]:
    """How often each did what for whom, where both are seen."""
    found: dict[tuple[UUID, UUID], Counter[str]] = {}
    for what, who, rep, at in acts:
        if who in seen and rep in seen and first <= at.astimezone(ZoneInfo(zone)).date() <= last:
            found.setdefault((who, rep), Counter())[what] += 1
    return found


def last_coached(acts: Collection[Act], rep: UUID, seen: Collection[UUID]) -> datetime | None:
    """When somebody last coached a rep, in sight or not; of sessions, those with a coach who is seen."""
    return max((at for what, who, user, at in acts if user == rep and (what != "session" or who in seen)), default=None)
