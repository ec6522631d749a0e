"""Lists of goals, and setting and removing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from api.context import Context
from api.schema.goals import Goal, GoalFilter, RemoveGoalsInput, SetGoalsInput
from api.schema.nodes import Connection, connection_read
from domain import goals
from domain.errors import Invalid, ItemError, NotFound, Refused
from domain.goal_events import GoalFilter as DomainGoalFilter
from domain.goal_events import GoalView
from domain.goals import RemoveGoals, SetGoals, Subject
from domain.ids import decode_any_id, decode_derived_goal
from domain.metrics import METRICS
from domain.models.goals import GoalPeriod
from domain.paging import page_request

FILTER_LIMIT = 1_000


def _ids(given: Sequence[str] | None, type_name: str) -> tuple[UUID, ...] | None:
    """The rows of some ids; what is no id of the type finds nothing, as an id never issued."""
    if given is None:
        return None
    if len(given) > FILTER_LIMIT:
        raise Invalid(f"filter: at most {FILTER_LIMIT} ids at once.", path=("filter",))
    decoded = (decode_any_id(one) for one in given)
    return tuple(found[1] for found in decoded if found is not None and found[0] == type_name)


def filter_of(given: GoalFilter | None) -> DomainGoalFilter:
    """A filter as the domain has it.

    Raises:
        Invalid: it names too many ids.
    """
    if given is None:
        return DomainGoalFilter()
    return DomainGoalFilter(
        user_ids=_ids(given.user_ids, "User"),
        group_ids=_ids(given.group_ids, "Group"),
        metrics=None if given.metrics is None else tuple(metric.value for metric in given.metrics),
        periods=None if given.periods is None else tuple(given.periods),
        include_ended=bool(given.include_ended),
    )


async def goals_connection(
    context: Context, wanted: DomainGoalFilter, first: int | None, after: str | None
) -> Connection[Goal]:
    """A page of the goals in sight."""
    sight = await context.goal_sight()
    today = context.calendar.today(context.now)

    request = page_request(first, after)
    return await connection_read(
        context.acquire,
        lambda connection: goals.list_goals(connection, sight, wanted, today, request),
        lambda connection: goals.count_goals(connection, sight, wanted, today),
        Goal.of,
    )


async def find_goal(context: Context, row_id: UUID) -> Goal | None:
    """A goal in sight, or None."""
    found = await context.goals.load(row_id)
    return None if found is None else Goal.of(found)


async def find_derived_goal(context: Context, global_id: str) -> Goal | None:
    """A derived goal in sight by its id; None when there is none any more."""
    decoded = decode_derived_goal(global_id)
    if decoded is None or decoded[2] not in METRICS or decoded[3] not in GoalPeriod.__members__:
        return None
    kind, subject_id, metric, period = decoded
    wanted = DomainGoalFilter(
        group_ids=(subject_id,) if kind == "Group" else None, metrics=(metric,), periods=(GoalPeriod(period),)
    )
    sight = await context.goal_sight()
    async with context.acquire() as connection:
        page = await goals.list_goals(
            connection, sight, wanted, context.calendar.today(context.now), page_request(500, None)
        )
    return next((Goal.of(goal) for goal in page.nodes if goal.derived and goal.subject_id == subject_id), None)


def _subjects(context: Context, given: SetGoalsInput) -> tuple[Subject, ...]:
    subjects: list[Subject] = []
    errors: list[ItemError] = []
    for field, type_name, ids in (("userIds", "User", given.user_ids), ("groupIds", "Group", given.group_ids)):
        for place, one in enumerate(ids or ()):
            path = ("input", field, str(place))
            decoded = decode_any_id(one)
            if decoded is None or decoded[0] != type_name:
                errors.append(ItemError("NOT_FOUND", f"No such {type_name.lower()}.", path))
            else:
                user = type_name == "User"
                subjects.append(Subject(decoded[1] if user else None, None if user else decoded[1], path))
    if given.team:
        subjects.append(Subject(None, None, ("input", "team")))
    if errors:
        raise Refused(errors)
    return tuple(subjects)


def _expected(given: SetGoalsInput) -> dict[UUID, tuple[int, tuple[str, ...]]]:
    found: dict[UUID, tuple[int, tuple[str, ...]]] = {}
    for place, one in enumerate(given.expected_versions or ()):
        path = ("input", "expectedVersions", str(place))
        decoded = decode_any_id(one.subject_id)
        if decoded is None or decoded[0] not in ("User", "Group", "Team"):
            raise NotFound("expectedVersions: no such subject.", path=path)
        found[decoded[1]] = (one.version, path)
    return found


async def set_goals(context: Context, given: SetGoalsInput) -> list[Goal]:
    """Set goals, all or nothing.

    Raises:
        Forbidden, Invalid, NotFound, Conflict, Refused: see domain.goals.set_goals.
    """
    request = SetGoals(
        metric=given.metric.value,
        period=given.period,
        target=given.target,
        subjects=_subjects(context, given),
        effective_from=given.effective_from,
        expected=_expected(given),
        idempotency_key=given.idempotency_key,
    )

    async def work(connection: Any) -> list[GoalView]:
        return await goals.set_goals(connection, context.viewer, request, context.now)

    return [Goal.of(goal) for goal in await context.in_transaction(work)]


async def remove_goals(context: Context, given: RemoveGoalsInput) -> list[Goal]:
    """End goals, all or nothing.

    Raises:
        Forbidden, Invalid, Conflict, Refused: see domain.goals.remove_goals.
    """
    named: list[tuple[UUID | None, tuple[str, ...]]] = []
    for place, one in enumerate(given.goal_ids):
        decoded = decode_any_id(one)
        goal_id = decoded[1] if decoded is not None and decoded[0] == "Goal" else None
        named.append((goal_id, ("input", "goalIds", str(place))))
    request = RemoveGoals(tuple(named), given.effective_from, given.idempotency_key)

    async def work(connection: Any) -> list[GoalView]:
        return await goals.remove_goals(connection, context.viewer, request, context.now)

    return [Goal.of(goal) for goal in await context.in_transaction(work)]
