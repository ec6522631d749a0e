"""Scorecards, their templates, and calibrations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from api.context import Context
from api.resolvers.dashboards import days_of
from api.resolvers.film import activity_id_of, film_loaders, user_ids_of
from api.schema.nodes import Connection, connection_of, connection_read
from domain import access, calibrations, models, scorecard_templates
from domain import scorecards as cards
from domain.calibrations import NewRound, Report
from domain.ids import decode_id
from domain.models.people import Permission
from domain.paging import page_request
from domain.scorecard_rules import Answer, Question
from domain.scorecard_templates import TemplateChange
from domain.scorecards import Card, CardDraft, CardFilter

if TYPE_CHECKING:
    from api.schema.dashboards import RangeInput
    from api.schema.scorecards import (
        CreateScorecardTemplateInput,
        SaveScorecardInput,
        ScorecardFilter,
        ScorecardQuestionInput,
        StartCalibrationInput,
        SubmitScorecardInput,
        UpdateScorecardTemplateInput,
    )


def _questions(given: Sequence[ScorecardQuestionInput]) -> tuple[Question, ...]:
    return tuple(Question(one.key, one.text, one.kind, one.steps, one.weight, one.required, one.help) for one in given)


def _template_id(given: str) -> UUID:
    return decode_id(given, "ScorecardTemplate", path=("input", "templateId"))


def _card_id(given: str) -> UUID:
    return decode_id(given, "Scorecard", path=("input", "scorecardId"))


async def list_templates(context: Context, *, archived: bool) -> list[models.ScorecardTemplate]:
    """The team's templates."""
    async with context.acquire() as connection:
        return await scorecard_templates.list_templates(connection, context.viewer.team_id, archived=archived)


async def create_template(context: Context, given: CreateScorecardTemplateInput) -> models.ScorecardTemplate:
    """Make a template. Raises what the domain does."""

    async def work(connection: Any) -> models.ScorecardTemplate:
        return await scorecard_templates.create_template(
            connection, context.viewer, given.name, given.description, _questions(given.questions)
        )

    return await context.in_transaction(work)


async def update_template(context: Context, given: UpdateScorecardTemplateInput) -> models.ScorecardTemplate:
    """Change a template or publish a version. Raises what the domain does."""
    template_id = _template_id(given.template_id)
    questions = None if given.questions is None else _questions(given.questions)
    change = TemplateChange(given.name, given.description, given.archived, questions, given.expected_version)

    async def work(connection: Any) -> models.ScorecardTemplate:
        return await scorecard_templates.update_template(
            connection, context.viewer, template_id, change, now=context.now
        )

    return await context.in_transaction(work)


async def find_template(context: Context, row_id: UUID) -> Any:
    """A template of the team's."""
    from api.schema.scorecards import ScorecardTemplate

    row = await film_loaders(context).templates.load(row_id)
    return None if row is None else ScorecardTemplate.of(row)


async def save_card(context: Context, given: SaveScorecardInput) -> Card:
    """Save a draft. Raises what the domain does."""
    draft = CardDraft(
        activity_id=activity_id_of(given.activity_id),
        template_id=_template_id(given.template_id),
        answers=tuple(Answer(one.question, one.scale, one.yes, one.text, one.remark) for one in given.answers),
        note=given.note,
        expected_revision=given.expected_revision,
    )

    async def work(connection: Any) -> Card:
        return await cards.save_card(connection, context.viewer, draft, now=context.now)

    return await context.in_transaction(work)


async def submit_card(context: Context, given: SubmitScorecardInput) -> Card:
    """Submit a draft. Raises what the domain does."""
    card_id = _card_id(given.scorecard_id)

    async def work(connection: Any) -> Card:
        return await cards.submit_card(
            connection, context.viewer, card_id, expected_revision=given.expected_revision, now=context.now
        )

    return await context.in_transaction(work)


async def remove_card(context: Context, given: str) -> None:
    """Take a card away. Raises what the domain does."""
    card_id = _card_id(given)

    async def work(connection: Any) -> None:
        await cards.remove_card(connection, context.viewer, card_id)

    await context.in_transaction(work)


async def find_card(context: Context, row_id: UUID) -> Any:
    """A scorecard in sight."""
    from api.schema.scorecards import Scorecard

    card = await film_loaders(context).cards.load(row_id)
    return None if card is None else Scorecard.of(card)


async def card_filter(context: Context, given: ScorecardFilter | None) -> CardFilter:
    """Which scorecards.

    Raises:
        NotFound: the rep is not in sight.
        Forbidden: the rep is somebody else, and the viewer lacks `TEAM_VIEW`.
    """
    if given is None:
        return CardFilter()
    user_id = None
    if given.user_id is not None:
        path = ("filter", "userId")
        user_id = decode_id(given.user_id, "User", path=path)
        access.require_seen(await context.users_in_sight(), user_id, "user", path=path)
        if user_id != context.viewer.user_id:
            access.require(context.viewer, Permission.TEAM_VIEW)
    return CardFilter(
        user_id=user_id,
        scorer_id=None if given.scorer_id is None else decode_id(given.scorer_id, "User", path=("filter", "scorerId")),
        template_id=None
        if given.template_id is None
        else decode_id(given.template_id, "ScorecardTemplate", path=("filter", "templateId")),
        relations=None if given.relations is None else tuple(given.relations),
        states=None if given.states is None else tuple(given.states),
        since=given.since,
        until=given.until,
    )


async def cards_connection(
    context: Context, wanted: CardFilter, first: int | None, after: str | None
) -> Connection[Any]:
    """A page of the scorecards in sight."""
    from api.schema.scorecards import Scorecard

    sight = await context.film_sight()

    return await connection_read(
        context.acquire,
        lambda connection: cards.list_cards(connection, sight, wanted, page_request(first, after)),
        lambda connection: cards.count_cards(connection, sight, wanted),
        Scorecard.of,
    )


async def cards_of_activity(
    context: Context, activity_id: UUID, first: int | None, after: str | None
) -> Connection[Any]:
    """A page of the scorecards in sight of an activity; the first pages of many come together."""
    from api.schema.scorecards import Scorecard

    request, loaders = page_request(first, after), film_loaders(context)
    if request.cursor is not None:
        return await cards_connection(context, CardFilter(activity_id=activity_id), first, after)
    page = await loaders.cards_of.load((activity_id, request))
    return connection_of(page, Scorecard.of, lambda: loaders.card_counts.load(activity_id))


async def start_round(context: Context, given: StartCalibrationInput) -> models.Calibration:
    """Call a round. Raises what the domain does."""
    new = NewRound(
        activity_id_of(given.activity_id),
        _template_id(given.template_id),
        user_ids_of(given.scorer_ids, "scorerIds"),
        given.due_on,
    )

    async def work(connection: Any) -> models.Calibration:
        return await calibrations.start(connection, context.viewer, new)

    return await context.in_transaction(work)


async def close_round(context: Context, given: str) -> models.Calibration:
    """Close a round. Raises what the domain does."""
    calibration_id = decode_id(given, "Calibration", path=("input", "calibrationId"))

    async def work(connection: Any) -> models.Calibration:
        return await calibrations.close(connection, context.viewer, calibration_id, now=context.now)

    return await context.in_transaction(work)


async def find_round(context: Context, row_id: UUID) -> Any:
    """A calibration in sight."""
    from api.schema.scorecards import Calibration

    row = await film_loaders(context).rounds.load(row_id)
    return None if row is None else Calibration.of(row)


async def rounds_connection(
    context: Context, template: str | None, is_open: bool | None, first: int | None, after: str | None
) -> Connection[Any]:
    """A page of the calibrations in sight."""
    from api.schema.scorecards import Calibration

    template_id = None if template is None else decode_id(template, "ScorecardTemplate", path=("templateId",))
    sight = await context.film_sight()

    request = page_request(first, after)
    return await connection_read(
        context.acquire,
        lambda connection: calibrations.list_rounds(connection, sight, template_id, is_open, request),
        lambda connection: calibrations.count_rounds(connection, sight, template_id, is_open),
        Calibration.of,
    )


async def calibration_report(context: Context, template: str, given: RangeInput) -> Report:
    """How scorers agreed over a range. Raises NotFound for no template."""
    template_id = decode_id(template, "ScorecardTemplate", path=("templateId",))
    days = days_of(context, given)
    sight = await context.film_sight()
    async with context.acquire() as connection:
        return await calibrations.report(connection, sight, template_id, context.viewer.timezone, days.first, days.last)
