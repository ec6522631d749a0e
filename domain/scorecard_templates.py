"""Templates of scorecards: what is asked, published in versions.

A version is for good; a template goes on to the next one. A template is never removed, since cards lean on its
versions: archived, it is filled no more, and its name is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import orjson

from domain import access_film, audit
from domain.access import Viewer
from domain.audit import AuditAction, NewEntry
from domain.errors import Conflict, NotFound
from domain.film import check_optional_text, check_text
from domain.models.base import new_id
from domain.models.film_scorecards import ScorecardTemplate
from domain.rows import gathered
from domain.scorecard_rules import Question, check_questions

if TYPE_CHECKING:
    from domain.database import Connection

NAME_LIMIT = 100
DESCRIPTION_LIMIT = 1_000
TEMPLATES_LIMIT = 200
"""Of a team, archived ones aside."""


@dataclass(frozen=True, slots=True)
class Version:
    """A published version of a template.

    Args:
        template_id: Of which.
        version: The how-manieth.
        questions: What it asks.
        published_by_id: Who published it.
        published_at: When.
    """

    template_id: UUID
    version: int
    questions: tuple[Question, ...]
    published_by_id: UUID | None
    published_at: datetime

    @classmethod
    def of(cls, row: Any) -> Version:
        """From its row."""
        questions = tuple(Question.of_json(one) for one in orjson.loads(row["questions"]))
        return cls(row["template_id"], row["version"], questions, row["published_by_id"], row["published_at"])


async def create_template(
    connection: Connection, viewer: Viewer, name: str, description: str | None, questions: Sequence[Question]
) -> ScorecardTemplate:
    """Make a template with its first version, in the caller's transaction.

    Raises:
        Forbidden: the viewer lacks `MANAGE_GOALS`.
        Invalid, Refused: its name or its questions cannot be.
        Conflict: the team has one of that name, or as many as it can have.
    """
    access_film.require_template_making(viewer)
    title = check_text(name, "name", NAME_LIMIT)
    text = check_optional_text(description, "description", DESCRIPTION_LIMIT)
    checked = check_questions(questions)
    count = await connection.fetchval(
        "SELECT count(*) FROM scorecard_templates WHERE team_id = $1 AND archived_at IS NULL", viewer.team_id
    )
    if count >= TEMPLATES_LIMIT:
        raise Conflict(f"The team has {TEMPLATES_LIMIT} templates; archive one first.")
    template_id = new_id()
    try:
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO scorecard_templates (id, team_id, name, description, created_by_id) "
                "VALUES ($1, $2, $3, $4, $5)",
                template_id,
                viewer.team_id,
                title,
                text,
                viewer.user_id,
            )
    except asyncpg.UniqueViolationError as error:
        raise _name_taken(title) from error
    await _publish(connection, viewer, template_id, 1, checked)
    entry = NewEntry(AuditAction.SCORECARD_TEMPLATE_CREATED, ("ScorecardTemplate", template_id), None, {"name": title})
    await audit.record(connection, viewer, [entry])
    return await get_template(connection, viewer.team_id, template_id)


def _name_taken(name: str) -> Conflict:
    return Conflict(f"name: the team has a template {name!r}; choose another name.", path=("input", "name"))


async def _publish(
    connection: Connection, viewer: Viewer, template_id: UUID, version: int, questions: Sequence[Question]
) -> None:
    await connection.execute(
        "INSERT INTO scorecard_versions (id, team_id, template_id, version, questions, published_by_id) "
        "VALUES ($1, $2, $3, $4, $5, $6)",
        new_id(),
        viewer.team_id,
        template_id,
        version,
        orjson.dumps([question.to_json() for question in questions]).decode(),
        viewer.user_id,
    )


async def get_template(
    connection: Connection, team_id: UUID, template_id: UUID, *, lock: bool = False
) -> ScorecardTemplate:
    """A template of the team's.

    Raises:
        NotFound: there is none such.
    """
    row = await connection.fetchrow(
        f"SELECT * FROM scorecard_templates WHERE team_id = $1 AND id = $2{' FOR UPDATE' if lock else ''}",
        team_id,
        template_id,
    )
    if row is None:
        raise NotFound("No such scorecard template.", path=("input", "templateId"))
    return ScorecardTemplate._init_from_db(**dict(row))


@dataclass(frozen=True, slots=True)
class TemplateChange:
    """What to change of a template; None stays.

    Args:
        name: Its name.
        description: What it is for.
        archived: Whether it is filled no more.
        questions: What it asks from now on: a new version.
        expected_version: The version that the editor saw.
    """

    name: str | None = None
    description: str | None = None
    archived: bool | None = None
    questions: tuple[Question, ...] | None = None
    expected_version: int | None = None


async def update_template(
    connection: Connection, viewer: Viewer, template_id: UUID, change: TemplateChange, *, now: datetime
) -> ScorecardTemplate:
    """Change a template or publish a new version of it, in the caller's transaction; cards that were begun stay.

    Raises:
        NotFound: the team has none such.
        Forbidden: it is somebody else's, and the viewer lacks `MANAGE_TEAM`.
        Conflict: it has gone on to another version since, or the name is taken.
        Invalid, Refused: its name or its questions cannot be.
    """
    template = await get_template(connection, viewer.team_id, template_id, lock=True)
    access_film.require_template_change(viewer, template.created_by_id)
    if change.expected_version not in (None, template.current_version):
        raise Conflict(
            f"expectedVersion: the template is at version {template.current_version}; look at it again.",
            path=("input", "expectedVersion"),
        )
    name = template.name if change.name is None else check_text(change.name, "name", NAME_LIMIT)
    description = template.description
    if change.description is not None:
        description = check_optional_text(change.description, "description", DESCRIPTION_LIMIT)
    archived_at = template.archived_at
    if change.archived is not None and change.archived != (archived_at is not None):
        archived_at = now if change.archived else None
    version = template.current_version
    if change.questions is not None:
        questions = check_questions(change.questions)
        if questions != (await get_version(connection, viewer.team_id, template_id, version)).questions:
            version += 1
            await _publish(connection, viewer, template_id, version, questions)
    before = (template.name, template.description, template.archived_at, template.current_version)
    if (name, description, archived_at, version) == before:
        return template
    try:
        async with connection.transaction():
            await connection.execute(
                "UPDATE scorecard_templates SET name = $3, description = $4, archived_at = $5, current_version = $6 "
                "WHERE team_id = $1 AND id = $2",
                viewer.team_id,
                template_id,
                name,
                description,
                archived_at,
                version,
            )
    except asyncpg.UniqueViolationError as error:
        raise _name_taken(name) from error
    was = {"name": template.name, "version": template.current_version, "archived": template.archived_at is not None}
    entry = NewEntry(
        AuditAction.SCORECARD_TEMPLATE_UPDATED,
        ("ScorecardTemplate", template_id),
        was,
        {"name": name, "version": version, "archived": archived_at is not None},
    )
    await audit.record(connection, viewer, [entry])
    return await get_template(connection, viewer.team_id, template_id)


async def list_templates(connection: Connection, team_id: UUID, *, archived: bool) -> list[ScorecardTemplate]:
    """The team's templates by name; with those that are archived, or without."""
    rows = await connection.fetch(
        "SELECT * FROM scorecard_templates WHERE team_id = $1 AND ($2 OR archived_at IS NULL) ORDER BY name, id",
        team_id,
        archived,
    )
    return [ScorecardTemplate._init_from_db(**dict(row)) for row in rows]


async def templates_by_id(connection: Connection, team_id: UUID, ids: Sequence[UUID]) -> dict[UUID, ScorecardTemplate]:
    """Templates of the team by their ids."""
    rows = await connection.fetch(
        "SELECT * FROM scorecard_templates WHERE team_id = $1 AND id = ANY ($2::uuid[])", team_id, list(ids)
    )
    return {row["id"]: ScorecardTemplate._init_from_db(**dict(row)) for row in rows}


async def versions_of(connection: Connection, team_id: UUID, ids: Sequence[UUID]) -> dict[UUID, list[Version]]:
    """All versions of some templates, the newest first. Served by scorecard_versions_version_key."""
    rows = await connection.fetch(
        "SELECT * FROM scorecard_versions WHERE team_id = $1 AND template_id = ANY ($2::uuid[]) ORDER BY version DESC",
        team_id,
        list(ids),
    )
    return gathered(ids, rows, "template_id", Version.of)


async def versions_by_key(
    connection: Connection, team_id: UUID, keys: Sequence[tuple[UUID, int]]
) -> dict[tuple[UUID, int], Version]:
    """Versions by template and number. Served by scorecard_versions_version_key."""
    rows = await connection.fetch(
        """
        SELECT v.* FROM unnest($2::uuid[], $3::int[]) w (template_id, version)
        JOIN scorecard_versions v ON v.team_id = $1 AND v.template_id = w.template_id AND v.version = w.version
        """,
        team_id,
        [template_id for template_id, _ in keys],
        [version for _, version in keys],
    )
    return {(row["template_id"], row["version"]): Version.of(row) for row in rows}


async def get_version(connection: Connection, team_id: UUID, template_id: UUID, version: int) -> Version:
    """A version that is known to be there."""
    return (await versions_by_key(connection, team_id, [(template_id, version)]))[template_id, version]
