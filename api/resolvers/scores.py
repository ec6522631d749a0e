"""What was asked about scores, and the few statements that answer it; setting and removing definitions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from uuid import UUID

from api.context import Context
from api.resolvers.dashboards import RangeArgument, days_of
from domain import access, score_board, scores
from domain.access import Sight
from domain.errors import NotFound
from domain.ids import decode_id
from domain.models.scores import ScoreKind
from domain.pacing import rounded
from domain.paging import Page, PageRequest
from domain.periods import Comparison, Days, NamedRange, TrendInterval, compared_with, intervals, named_range
from domain.score_board import Asked, Chosen, RankedScore
from domain.scores import DefinitionView, RemoveDefinition, SetDefinition, Weighting
from domain.scoring import DEFAULT_CAP, Score

if TYPE_CHECKING:
    from api.schema.scores import RemoveScoreDefinitionInput, SetScoreDefinitionInput

Steps = Sequence[tuple[Days, Decimal | None]]


def _shown(value: Fraction | None) -> Decimal | None:
    return None if value is None else rounded(value)


@dataclass(frozen=True)
class ScoreQuestion:
    """Scores over a range, with a comparison.

    Args:
        context: The request's.
        days: The range.
        previous: The range of the comparison.
    """

    context: Context
    days: Days
    previous: Days | None

    @property
    def asked(self) -> Asked:
        """The range."""
        return Asked(self.days, self.days)

    @property
    def compared(self) -> Asked | None:
        """The range of the comparison."""
        return None if self.previous is None else Asked(self.previous, self.previous)

    async def sees_goals(self, user_id: UUID) -> bool:
        """Whether the viewer may see the targets that a person's score is made of."""
        sight = await self.context.goal_sight()
        return sight.sees(self.context.viewer.team_id, user_id, None)

    async def scores_of(self, user_id: UUID) -> list[tuple[Score, Score | None]]:
        """A person's scores; those of many people come together."""
        found = await self.context.scores.load((user_id, self.asked))
        before: Mapping[ScoreKind, Score] = {}
        if self.compared is not None:
            before = await self.context.scores.load((user_id, self.compared))
        return [(one, before.get(kind)) for kind, one in found.items()]

    def trend(self, user_id: UUID, kind: ScoreKind) -> Callable[[TrendInterval], Awaitable[Steps]]:
        """A person's score over the steps of the range; those of many people come together."""

        async def steps(interval: TrendInterval) -> Steps:
            listed = list(intervals(self.days, interval, self.context.calendar))
            keys = [(user_id, Asked(step, self.days)) for step in listed]
            found = await self.context.scores.load_many(keys)
            return [
                (step, _shown(one[kind].value) if kind in one else None)
                for step, one in zip(listed, found, strict=True)
            ]

        return steps


@dataclass(frozen=True)
class GroupQuestion:
    """The scores of groups.

    Args:
        question: The range and the comparison.
        kind: Which score.
        name: Tells this question from others of the same request.
    """

    question: ScoreQuestion
    kind: ScoreKind
    name: str

    @property
    def context(self) -> Context:
        """The request's."""
        return self.question.context

    async def _members(self) -> Mapping[UUID, Sequence[UUID]]:
        async def load() -> Mapping[UUID, Sequence[UUID]]:
            groups = await self.context.groups_in_sight()
            async with self.context.acquire() as connection:
                return await score_board.members_of(connection, groups)

        return await self.context.once(f"{self.name}:members", load)

    async def _scores(self, asked: Sequence[Asked]) -> list[dict[UUID, tuple[Fraction | None, int]]]:
        members = await self._members()
        users = await self.context.users_in_sight()
        everybody = users.narrowed(user_id for people in members.values() for user_id in people)
        async with self.context.acquire() as connection:
            board = await score_board.load_scores(
                connection, Chosen(everybody), self.context.calendar, self.context.now, [self.kind], asked
            )
        return [score_board.group_scores(board, members, self.kind, one) for one in asked]

    async def rows(self) -> list[tuple[UUID, Fraction | None, Fraction | None, int]]:
        """Each group with its score, that of the comparison, and how many members have one."""
        compared = self.question.compared
        found = await self._scores([self.question.asked, *([] if compared is None else [compared])])
        before = found[1] if compared is not None else {}
        return [
            (group_id, value, before.get(group_id, (None, 0))[0], count)
            for group_id, (value, count) in found[0].items()
        ]

    def trend(self, group_id: UUID) -> Callable[[TrendInterval], Awaitable[Steps]]:
        """A group's score over the steps of the range; all groups' come together."""

        async def steps(interval: TrendInterval) -> Steps:
            listed = list(intervals(self.question.days, interval, self.context.calendar))

            async def load() -> list[dict[UUID, tuple[Fraction | None, int]]]:
                return await self._scores([Asked(step, self.question.days) for step in listed])

            found = await self.context.once(f"{self.name}:trend:{interval}", load)
            return [(step, _shown(one[group_id][0])) for step, one in zip(listed, found, strict=True)]

        return steps


def ask_scores(context: Context, given: RangeArgument | None, comparison: Comparison | None) -> ScoreQuestion:
    """What scores were asked for; this month without a range.

    Raises:
        Invalid: the range does not fit.
    """
    if given is None:
        days = named_range(NamedRange.THIS_MONTH, context.calendar, context.calendar.today(context.now))
    else:
        days = days_of(context, given)
    return ScoreQuestion(context, days, compared_with(days, comparison or Comparison.NONE, context.calendar))


async def leaderboard(
    question: ScoreQuestion,
    kind: ScoreKind,
    request: PageRequest,
    role_id: str | None,
    group_id: str | None,
    search: str | None,
) -> tuple[Page[RankedScore], int]:
    """A page of the reps in sight, ranked by a score.

    Raises:
        Forbidden: the viewer may not filter by group.
        NotFound: the group or the role is not in sight.
        Invalid: the cursor is none of this list.
    """
    context = question.context
    group = None if group_id is None else decode_id(group_id, "Group", path=("groupId",))
    if group is not None:
        access.require_group(context.viewer, await context.groups_in_sight(), group)
    role = None if role_id is None else decode_id(role_id, "Role", path=("roleId",))
    if role is not None:
        access.require_seen(await roles_in_sight(context), role, "role", path=("roleId",))
    asked = [question.asked, *([] if question.compared is None else [question.compared])]
    chosen = Chosen(await context.users_in_sight(), role, group, search)
    async with context.acquire() as connection:
        board = await score_board.load_scores(connection, chosen, context.calendar, context.now, [kind], asked)
    ranked = score_board.rank_scores(board, kind, question.asked, question.compared)
    return score_board.page_of_scores(ranked, request), len(ranked)


async def roles_in_sight(context: Context) -> Sight:
    """The roles whose definitions the viewer may see."""
    users = await context.users_in_sight()

    async def look() -> Sight:
        async with context.acquire() as connection:
            return await access.see_scored_roles(connection, context.viewer, users)

    return await context.once("scored_roles", look)


async def list_definitions(
    context: Context, role_id: str | None, kind: ScoreKind | None, *, include_ended: bool
) -> list[DefinitionView]:
    """The definitions in sight.

    Raises:
        NotFound: the role is not in sight.
    """
    roles = await roles_in_sight(context)
    role = None if role_id is None else decode_id(role_id, "Role", path=("roleId",))
    if role is not None:
        access.require_seen(roles, role, "role", path=("roleId",))
    async with context.acquire() as connection:
        return await scores.list_definitions(
            connection,
            roles,
            context.calendar.today(context.now),
            role_id=role,
            kind=kind,
            include_ended=include_ended,
        )


async def find_definition(context: Context, row_id: UUID) -> Any:
    """A definition in sight, or None."""
    from api.schema.scores import ScoreDefinition

    roles = await roles_in_sight(context)
    async with context.acquire() as connection:
        found = (await scores.definitions_by_id(connection, roles, [row_id])).get(row_id)
    return None if found is None else ScoreDefinition.of(found)


async def set_definition(context: Context, given: SetScoreDefinitionInput) -> DefinitionView:
    """Say how a role is scored. Raises what domain.scores.set_definition does."""
    request = SetDefinition(
        role_id=_role_id(given.role_id),
        kind=given.kind,
        weightings=tuple(Weighting(one.metric.value, one.weight) for one in given.components),
        cap=DEFAULT_CAP if given.cap is None else given.cap,
        effective_from=given.effective_from,
        expected_version=given.expected_version,
        idempotency_key=given.idempotency_key,
    )

    async def work(connection: Any) -> DefinitionView:
        return await scores.set_definition(connection, context.viewer, request, context.now)

    return await context.in_transaction(work)


def _role_id(given: str) -> UUID:
    return decode_id(given, "Role", path=("input", "roleId"))


async def remove_definition(context: Context, given: RemoveScoreDefinitionInput) -> DefinitionView:
    """End a definition. Raises what domain.scores.remove_definition does."""
    try:
        definition_id = decode_id(given.definition_id, "ScoreDefinition", path=("input", "definitionId"))
    except NotFound as error:
        raise NotFound("No such score definition.", path=error.path) from error
    request = RemoveDefinition(definition_id, given.effective_from, given.expected_version, given.idempotency_key)

    async def work(connection: Any) -> DefinitionView:
        return await scores.remove_definition(connection, context.viewer, request, context.now)

    return await context.in_transaction(work)
