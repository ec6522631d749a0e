"""How roles are scored: which definitions there are, their history, and setting and removing them.

A definition says for a role and a kind which metrics count, with which weights. Its versions follow one another as
those of a goal do (domain/goals.py): a change counts from today on, so that no score of the past ever changes. The
formula is in domain/scoring.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import access, audit, events
from domain.access import Sight, Viewer
from domain.audit import AuditAction, NewEntry
from domain.errors import Conflict, Invalid, NotFound
from domain.idempotency import digest_of_input, once
from domain.identity import calendar_of
from domain.metrics import METRICS
from domain.models.base import new_id
from domain.models.goals import GoalPeriod
from domain.models.scores import ScoreKind
from domain.records import EARLIEST, LATEST
from domain.rows import gathered
from domain.scoring import DEFAULT_CAP, HUNDRED

if TYPE_CHECKING:
    from domain.database import Connection

MOST_METRICS = 20
"""Of one definition."""
LARGEST_CAP = Decimal(10)
_STEP = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Weighting:
    """A metric and what it weighs, in percent."""

    metric: str
    weight: Decimal


@dataclass(frozen=True, slots=True)
class DefinitionVersion:
    """How a score is made, and from when to when.

    Args:
        number: Grows by one with every change.
        weightings: The metrics with their weights, 100 together.
        cap: What an attainment counts at most; 2 is 200 %.
        effective_from: The first day.
        effective_to: The last day; None while it goes on; the day before the first where it was replaced before it
            counted.
        set_by_id: Who set it.
        set_at: When.
    """

    number: int
    weightings: tuple[Weighting, ...]
    cap: Decimal
    effective_from: date
    effective_to: date | None
    set_by_id: UUID | None
    set_at: datetime

    def to_json(self) -> dict[str, Any]:
        """As it is kept under an idempotency key."""
        return {
            "version": self.number,
            "weights": [[one.metric, str(one.weight)] for one in self.weightings],
            "cap": str(self.cap),
            "effectiveFrom": self.effective_from.isoformat(),
            "effectiveTo": None if self.effective_to is None else self.effective_to.isoformat(),
            "setBy": None if self.set_by_id is None else str(self.set_by_id),
            "setAt": self.set_at.isoformat(),
        }

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> DefinitionVersion:
        """The same back."""
        return cls(
            data["version"],
            tuple(Weighting(metric, Decimal(weight)) for metric, weight in data["weights"]),
            Decimal(data["cap"]),
            date.fromisoformat(data["effectiveFrom"]),
            None if data["effectiveTo"] is None else date.fromisoformat(data["effectiveTo"]),
            None if data["setBy"] is None else UUID(data["setBy"]),
            datetime.fromisoformat(data["setAt"]),
        )


@dataclass(frozen=True, slots=True)
class DefinitionView:
    """A definition with its newest version."""

    id: UUID
    team_id: UUID
    role_id: UUID
    kind: ScoreKind
    newest: DefinitionVersion

    def to_json(self) -> dict[str, Any]:
        """As it is kept under an idempotency key."""
        return {
            "id": str(self.id),
            "role": str(self.role_id),
            "kind": self.kind.value,
            "newest": self.newest.to_json(),
        }

    @classmethod
    def of_json(cls, team_id: UUID, data: Mapping[str, Any]) -> DefinitionView:
        """The same back."""
        newest = DefinitionVersion.of_json(data["newest"])
        return cls(UUID(data["id"]), team_id, UUID(data["role"]), ScoreKind(data["kind"]), newest)


_VERSION = "version, metrics, weights, cap, effective_from, effective_to, set_by_id, set_at"
# Served by score_definitions_team_id_id_key, score_definitions_role_key and score_versions_version_key.
_NEWEST = f"""
    SELECT d.id, d.team_id, d.role_id, d.kind, v.*
    FROM score_definitions d CROSS JOIN LATERAL (
        SELECT {_VERSION} FROM score_versions v WHERE v.team_id = d.team_id AND v.definition_id = d.id
        ORDER BY version DESC LIMIT 1
    ) v"""


def _version(row: Any) -> DefinitionVersion:
    weightings = tuple(
        Weighting(metric, weight)
        for metric, weight in zip(row["metrics"], row["weights"], strict=True)
        if metric in METRICS
    )
    return DefinitionVersion(
        row["version"],
        weightings,
        row["cap"],
        row["effective_from"],
        row["effective_to"],
        row["set_by_id"],
        row["set_at"],
    )


def _definition(row: Any) -> DefinitionView:
    return DefinitionView(row["id"], row["team_id"], row["role_id"], ScoreKind(row["kind"]), _version(row))


async def list_definitions(
    connection: Connection,
    roles: Sight,
    today: date,
    *,
    role_id: UUID | None = None,
    kind: ScoreKind | None = None,
    include_ended: bool = False,
) -> list[DefinitionView]:
    """The definitions of the roles in sight, by role and kind: at most two a role."""
    arguments: list[object] = [role_id, None if kind is None else kind.value, include_ended, today]
    condition = roles.filter("d.role_id", arguments, team_column="d.team_id")
    rows = await connection.fetch(
        f"""
        {_NEWEST} WHERE {condition} AND ($1::uuid IS NULL OR d.role_id = $1) AND ($2::text IS NULL OR d.kind = $2)
            AND ($3 OR v.effective_to IS NULL OR v.effective_to >= $4::date)
        ORDER BY d.role_id, d.kind
        """,
        *arguments,
    )
    return [_definition(row) for row in rows]


async def definitions_by_id(connection: Connection, roles: Sight, ids: Sequence[UUID]) -> dict[UUID, DefinitionView]:
    """Definitions by their rows, those in sight; ended ones too."""
    arguments: list[object] = [list(ids)]
    condition = roles.filter("d.role_id", arguments, team_column="d.team_id")
    rows = await connection.fetch(f"{_NEWEST} WHERE d.id = ANY ($1::uuid[]) AND {condition}", *arguments)
    return {row["id"]: _definition(row) for row in rows}


async def histories(connection: Connection, team_id: UUID, ids: Sequence[UUID]) -> dict[UUID, list[DefinitionVersion]]:
    """Every version of some definitions that are in sight already, the newest first."""
    rows = await connection.fetch(
        f"SELECT definition_id, {_VERSION} FROM score_versions WHERE team_id = $1 AND definition_id = ANY ($2::uuid[]) "
        "ORDER BY version DESC",
        team_id,
        list(ids),
    )
    return gathered(ids, rows, "definition_id", _version)


@dataclass(frozen=True, slots=True)
class SetDefinition:
    """What to set.

    Args:
        role_id: Whose.
        kind: Which score.
        weightings: The metrics with their weights, 100 together.
        cap: What an attainment counts at most.
        effective_from: The first day; without one, the start of the fiscal year for a definition that never was, today
            for others.
        expected_version: The version that the definition was seen in; 0 for none.
        idempotency_key: The sender's.
    """

    role_id: UUID
    kind: ScoreKind
    weightings: tuple[Weighting, ...]
    cap: Decimal = DEFAULT_CAP
    effective_from: date | None = None
    expected_version: int | None = None
    idempotency_key: str | None = None


def _check(request: SetDefinition) -> None:
    path = ("input", "components")
    if not 1 <= len(request.weightings) <= MOST_METRICS:
        raise Invalid(f"components: give from 1 to {MOST_METRICS} metrics.", path=path)
    seen: set[str] = set()
    for place, one in enumerate(request.weightings):
        metric = METRICS[one.metric]
        if not metric.goalable:
            raise Invalid(
                f"components: {metric.label} takes no goal, since more of it is not better, and a score is the "
                "attainment of goals; `metrics { key goalable }` tells which take one.",
                path=(*path, str(place), "metric"),
            )
        if one.metric in seen:
            raise Invalid(f"components: {metric.label} is there twice.", path=(*path, str(place), "metric"))
        seen.add(one.metric)
        if not 0 < one.weight <= HUNDRED or one.weight != one.weight.quantize(_STEP):
            raise Invalid(
                "components: a weight is above 0 and at most 100, with at most two decimal places.",
                path=(*path, str(place), "weight"),
            )
    total = sum((one.weight for one in request.weightings), Decimal(0))
    if total != HUNDRED:
        raise Invalid(f"components: the weights are percents; they make {total:f}, not 100.", path=path)
    if not 1 <= request.cap <= LARGEST_CAP or request.cap != request.cap.quantize(_STEP):
        raise Invalid(
            f"cap: from 1 to {LARGEST_CAP}, with at most two decimal places; 2 counts up to 200 % of a goal.",
            path=("input", "cap"),
        )
    check_day(request.effective_from, "effectiveFrom")


def check_day(day: date | None, name: str) -> None:
    """Refuse a day out of the years that are kept.

    Raises:
        Invalid: it is.
    """
    if day is not None and not EARLIEST.date() <= day < LATEST.date():
        raise Invalid(f"{name}: choose a day from {EARLIEST:%Y} to {LATEST.year - 1}.", path=("input", name))


async def set_definition(
    connection: Connection, viewer: Viewer, request: SetDefinition, now: datetime
) -> DefinitionView:
    """Say how a role is scored, in the caller's transaction.

    What holds ends the day before the new version begins; versions that would have begun later fall away. Setting what
    is set already changes nothing.

    Raises:
        Forbidden: the viewer may not.
        Invalid: the input does not fit.
        NotFound: there is no such role.
        Conflict: the definition has moved on, or the idempotency key was used for another input.
    """
    access.require_score_management(viewer)
    _check(request)
    digest = digest_of_input(
        "setScoreDefinition",
        [
            request.role_id,
            request.kind,
            [[one.metric, f"{one.weight.normalize():f}"] for one in request.weightings],
            f"{request.cap.normalize():f}",
            request.effective_from,
            request.expected_version,
        ],
    )

    async def work() -> dict[str, Any]:
        return (await _set(connection, viewer, request, now)).to_json()

    return DefinitionView.of_json(viewer.team_id, await once(connection, viewer, request.idempotency_key, digest, work))


async def _set(connection: Connection, viewer: Viewer, request: SetDefinition, now: datetime) -> DefinitionView:
    team_id = viewer.team_id
    calendar = calendar_of(viewer)
    today = calendar.today(now)
    known = await connection.fetchval(
        "SELECT true FROM roles WHERE team_id = $1 AND id = $2 FOR KEY SHARE", team_id, request.role_id
    )
    if not known:
        raise NotFound("No such role.", path=("input", "roleId"))
    # The upsert locks the row, so that two managers take turns.
    definition_id = await connection.fetchval(
        """
        INSERT INTO score_definitions AS d (id, team_id, role_id, kind) VALUES ($1, $2, $3, $4)
        ON CONFLICT (team_id, role_id, kind) DO UPDATE SET kind = d.kind RETURNING id
        """,
        new_id(),
        team_id,
        request.role_id,
        request.kind.value,
    )
    versions = (await histories(connection, team_id, [definition_id]))[definition_id]
    current = _current(versions[0] if versions else None, today)
    _expect(request.expected_version, current)
    begin = request.effective_from
    if begin is None:
        begin = today if versions else calendar.period(GoalPeriod.YEAR, today).first
    if versions and begin < today:
        raise Invalid(
            "effectiveFrom: a score that has been defined before changes from today on, so that no score of the past "
            "changes.",
            path=("input", "effectiveFrom"),
        )
    if current is not None and _says_already(current, request, begin):
        return DefinitionView(definition_id, team_id, request.role_id, request.kind, current)
    await _cut(connection, team_id, definition_id, versions, begin)
    new = DefinitionVersion(
        versions[0].number + 1 if versions else 1,
        request.weightings,
        request.cap,
        begin,
        None,
        viewer.user_id,
        now,
    )
    await connection.execute(
        f"INSERT INTO score_versions (id, team_id, definition_id, {_VERSION}) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        new_id(),
        team_id,
        definition_id,
        new.number,
        [one.metric for one in new.weightings],
        [one.weight for one in new.weightings],
        new.cap,
        new.effective_from,
        new.effective_to,
        new.set_by_id,
        new.set_at,
    )
    before = None if current is None else _told(request.role_id, request.kind, current)
    entry = NewEntry(
        AuditAction.SCORE_DEFINITION_SET,
        ("ScoreDefinition", definition_id),
        before,
        _told(request.role_id, request.kind, new),
    )
    await audit.record(connection, viewer, [entry])
    await events.mark_changed(connection, team_id)
    return DefinitionView(definition_id, team_id, request.role_id, request.kind, new)


def _told(role_id: UUID, kind: ScoreKind, version: DefinitionVersion) -> dict[str, Any]:
    """A version as the audit log tells it."""
    return {
        "role_id": role_id,
        "kind": kind.value,
        "version": version.number,
        "weights": {one.metric: f"{one.weight:f}" for one in version.weightings},
        "cap": f"{version.cap:f}",
        "effective_from": version.effective_from.isoformat(),
    }


def _current(version: DefinitionVersion | None, today: date) -> DefinitionVersion | None:
    """The newest version unless the definition has ended."""
    if version is None or (version.effective_to is not None and version.effective_to < today):
        return None
    return version


def _expect(expected: int | None, current: DefinitionVersion | None) -> None:
    number = 0 if current is None else current.number
    if expected is not None and expected != number:
        raise Conflict(
            f"expectedVersion: the definition is at version {number} by now, not {expected}; look at it again, and "
            "send that version.",
            path=("input", "expectedVersion"),
        )


def _says_already(current: DefinitionVersion, request: SetDefinition, begin: date) -> bool:
    return (
        current.effective_to is None
        and current.effective_from <= begin
        and current.cap == request.cap
        and current.weightings == request.weightings
    )


async def _cut(
    connection: Connection,
    team_id: UUID,
    definition_id: UUID,
    versions: Sequence[DefinitionVersion],
    begin: date,
) -> list[DefinitionVersion]:
    """End what holds the day before, and void what would have begun later. Returns the versions as they stand then."""
    eve = begin - timedelta(days=1)
    cut = []
    for version in versions:
        if version.effective_to is None or version.effective_to > eve:
            end = max(eve, version.effective_from - timedelta(days=1))
            if version.effective_to != end:
                await connection.execute(
                    "UPDATE score_versions SET effective_to = $4 "
                    "WHERE team_id = $1 AND definition_id = $2 AND version = $3",
                    team_id,
                    definition_id,
                    version.number,
                    end,
                )
                version = replace(version, effective_to=end)
        cut.append(version)
    return cut


@dataclass(frozen=True, slots=True)
class RemoveDefinition:
    """What to end.

    Args:
        definition_id: Which.
        effective_from: The first day without it; today without one.
        expected_version: The version that the definition was seen in.
        idempotency_key: The sender's.
    """

    definition_id: UUID
    effective_from: date | None = None
    expected_version: int | None = None
    idempotency_key: str | None = None


async def remove_definition(
    connection: Connection, viewer: Viewer, request: RemoveDefinition, now: datetime
) -> DefinitionView:
    """End a definition, in the caller's transaction; its history and the scores of the past stay. One that has ended by
    then is left as it is.

    Raises:
        Forbidden: the viewer may not.
        Invalid: the day does not fit.
        NotFound: there is no such definition.
        Conflict: the definition has moved on, or the idempotency key was used for another input.
    """
    access.require_score_management(viewer)
    check_day(request.effective_from, "effectiveFrom")
    digest = digest_of_input(
        "removeScoreDefinition", [request.definition_id, request.effective_from, request.expected_version]
    )

    async def work() -> dict[str, Any]:
        return (await _remove(connection, viewer, request, now)).to_json()

    return DefinitionView.of_json(viewer.team_id, await once(connection, viewer, request.idempotency_key, digest, work))


async def _remove(connection: Connection, viewer: Viewer, request: RemoveDefinition, now: datetime) -> DefinitionView:
    team_id, today = viewer.team_id, calendar_of(viewer).today(now)
    begin = request.effective_from or today
    if begin < today:
        raise Invalid(
            "effectiveFrom: a definition ends today at the earliest, so that no score of the past changes.",
            path=("input", "effectiveFrom"),
        )
    row = await connection.fetchrow(
        "SELECT id, role_id, kind FROM score_definitions WHERE team_id = $1 AND id = $2 FOR NO KEY UPDATE",
        team_id,
        request.definition_id,
    )
    if row is None:
        raise NotFound("No such score definition.", path=("input", "definitionId"))
    versions = (await histories(connection, team_id, [row["id"]]))[row["id"]]
    _expect(request.expected_version, _current(versions[0], today))
    kind = ScoreKind(row["kind"])
    cut = await _cut(connection, team_id, row["id"], versions, begin)
    if cut != versions:
        entry = NewEntry(
            AuditAction.SCORE_DEFINITION_REMOVED,
            ("ScoreDefinition", row["id"]),
            _told(row["role_id"], kind, versions[0]),
            {"effective_to": str(cut[0].effective_to)},
        )
        await audit.record(connection, viewer, [entry])
        await events.mark_changed(connection, team_id)
    return DefinitionView(row["id"], team_id, row["role_id"], kind, cut[0])
