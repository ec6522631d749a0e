"""What can be asked and changed about scores."""

import strawberry

from api.permissions import requires
from api.resolvers import scores as resolvers
from api.schema.errors import UserError, told
from api.schema.fields import Info, reading, writing
from api.schema.nodes import Connection
from api.schema.scores import (
    Comparison,
    GroupScore,
    RangeInput,
    RemoveScoreDefinitionInput,
    ScoreDefinition,
    ScoreDefinitionPayload,
    ScoredRep,
    ScoreKind,
    SetScoreDefinitionInput,
    group_scores,
    scored_reps,
)
from domain import periods
from domain.models.people import Permission
from domain.paging import page_request


@strawberry.type
class ScoreQuery:
    """Fields of Query."""

    @reading(
        "The active reps in sight, and who else has a score, ranked by a score, the highest first; without TEAM_VIEW "
        "the viewer alone. The group filter needs TEAM_VIEW. Targets and attainments are shown of those whose goals "
        "the viewer may see."
    )
    async def scores(
        self,
        info: Info,
        range: RangeInput,
        kind: ScoreKind,
        compare: Comparison | None = periods.Comparison.PREVIOUS_PERIOD,
        role_id: strawberry.ID | None = None,
        group_id: strawberry.ID | None = None,
        search: str | None = None,
        first: int | None = None,
        after: str | None = None,
    ) -> Connection[ScoredRep]:
        question = resolvers.ask_scores(info.context, range, compare)
        request = page_request(first, after)
        page, total = await resolvers.leaderboard(question, kind, request, role_id, group_id, search)
        return await scored_reps(question, page, total)

    @reading("The score of each group in sight, by name; empty without TEAM_VIEW.")
    async def group_scores(
        self,
        info: Info,
        range: RangeInput,
        kind: ScoreKind,
        compare: Comparison | None = periods.Comparison.PREVIOUS_PERIOD,
    ) -> list[GroupScore]:
        question = resolvers.ask_scores(info.context, range, compare)
        name = "/".join(str(part) for part in info.path.as_list())
        return await group_scores(resolvers.GroupQuestion(question, kind, name))

    @reading(
        "How roles are scored: the viewer's own role, those of the people in sight, all of them with MANAGE_TEAM. At "
        "most two a role, one of each kind."
    )
    async def score_definitions(
        self,
        info: Info,
        role_id: strawberry.ID | None = None,
        kind: ScoreKind | None = None,
        include_ended: bool | None = False,
    ) -> list[ScoreDefinition]:
        found = await resolvers.list_definitions(info.context, role_id, kind, include_ended=bool(include_ended))
        return [ScoreDefinition.of(one) for one in found]


@strawberry.type
class ScoreMutation:
    """Fields of Mutation."""

    @writing(
        "Say how people of a role are scored, from today on: scores of the past stay.",
        requires(Permission.MANAGE_TEAM),
    )
    async def set_score_definition(self, info: Info, input: SetScoreDefinitionInput) -> ScoreDefinitionPayload:
        async def work() -> ScoreDefinitionPayload:
            found = await resolvers.set_definition(info.context, input)
            return ScoreDefinitionPayload(definition=ScoreDefinition.of(found), errors=[])

        return await told(work(), _refused)

    @writing("Score a role no more; scores of the past stay.", requires(Permission.MANAGE_TEAM))
    async def remove_score_definition(self, info: Info, input: RemoveScoreDefinitionInput) -> ScoreDefinitionPayload:
        async def work() -> ScoreDefinitionPayload:
            found = await resolvers.remove_definition(info.context, input)
            return ScoreDefinitionPayload(definition=ScoreDefinition.of(found), errors=[])

        return await told(work(), _refused)


def _refused(errors: list[UserError]) -> ScoreDefinitionPayload:
    return ScoreDefinitionPayload(definition=None, errors=errors)
