"""Scorecards: templates in versions, cards, and calibrations between scorers."""

from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import strawberry

from api.permissions import requires
from api.schema.activities import Activity
from api.schema.dashboards import RangeInput
from api.schema.errors import UserError, told
from api.schema.fields import Info, reading, writing
from api.schema.film import Colleague, colleague
from api.schema.nodes import Connection, Node, global_id
from domain import agreement, models, scorecard_rules, scorecard_templates, scorecards
from domain.calibrations import Report, Scorer
from domain.models.people import Permission

QuestionKind = strawberry.enum(
    scorecard_rules.QuestionKind,
    name="ScorecardQuestionKind",
    description="SCALE: a step from 1 on. YES_NO: yes or no. TEXT: words, which are never scored.",
)
ScorerRelation = strawberry.enum(
    models.Relation,
    name="ScorerRelation",
    description="What a scorer was to the rep when the card was filled. MANAGER: Admin, above the rep in the reporting "
    "line or the groups, or with the right to set the rep's goals.",
)
ScorecardState = strawberry.enum(
    models.ScorecardState,
    name="ScorecardState",
    description="DRAFT: its scorer alone sees it. SUBMITTED: it stands, and counts.",
)
CalibrationState = strawberry.enum(
    models.CalibrationState,
    name="CalibrationState",
    description="OPEN: nobody sees another's card. CLOSED: all see how far they agree.",
)


@strawberry.type(description="A question of a scorecard.")
class ScorecardQuestion:
    key: str = strawberry.field(description="Its name from version to version.")
    text: str = strawberry.field(description="What is asked.")
    kind: QuestionKind = strawberry.field(description="How it is answered.")
    steps: int | None = strawberry.field(description="Of a scale: answers go from 1 to this.")
    weight: Decimal = strawberry.field(description="How much it counts in the score; 0: nothing.")
    required: bool = strawberry.field(description="Whether no card is submitted without it.")
    help: str | None = strawberry.field(description="What the answers mean.")

    @classmethod
    def of(cls, question: scorecard_rules.Question) -> "ScorecardQuestion":
        return cls(
            key=question.key,
            text=question.text,
            kind=question.kind,
            steps=question.steps,
            weight=question.weight,
            required=question.required,
            help=question.help,
        )


@strawberry.type(description="What a template asks, published for good.")
class ScorecardTemplateVersion:
    version: int = strawberry.field(description="The how-manieth.")
    published_at: datetime = strawberry.field(description="When.")
    questions: list[ScorecardQuestion] = strawberry.field(description="What it asks, in order.")
    found: strawberry.Private[scorecard_templates.Version]

    @classmethod
    def of(cls, found: scorecard_templates.Version) -> "ScorecardTemplateVersion":
        return cls(
            version=found.version,
            published_at=found.published_at,
            questions=[ScorecardQuestion.of(one) for one in found.questions],
            found=found,
        )

    @strawberry.field(description="Who published it.")
    async def published_by(self, info: Info) -> Colleague | None:
        if self.found.published_by_id is None:
            return None
        return await colleague(info, self.found.published_by_id)


@strawberry.type(description="A scorecard of the team's.")
class ScorecardTemplate(Node):
    name: str = strawberry.field(description="What it is called.")
    description: str | None = strawberry.field(description="What it is for.")
    archived: bool = strawberry.field(description="Whether it is filled no more.")
    version: int = strawberry.field(description="The version that is filled now.")
    created_at: datetime = strawberry.field(description="When it was made.")
    row: strawberry.Private[models.ScorecardTemplate]

    @classmethod
    def of(cls, row: models.ScorecardTemplate) -> "ScorecardTemplate":
        return cls(
            id=global_id("ScorecardTemplate", row.id),
            name=row.name,
            description=row.description,
            archived=row.archived_at is not None,
            version=row.current_version,
            created_at=row.created_at,
            row=row,
        )

    @strawberry.field(description="What it asks now, in order.")
    async def questions(self, info: Info) -> list[ScorecardQuestion]:
        from api.resolvers.film import film_loaders

        version = await film_loaders(info.context).versions.load((self.row.id, self.row.current_version))
        return [ScorecardQuestion.of(one) for one in version.questions]

    @strawberry.field(description="All its versions, the newest first.")
    async def versions(self, info: Info) -> list[ScorecardTemplateVersion]:
        from api.resolvers.film import film_loaders

        found = await film_loaders(info.context).template_versions.load(self.row.id)
        return [ScorecardTemplateVersion.of(one) for one in found]

    @strawberry.field(description="Who made it.")
    async def created_by(self, info: Info) -> Colleague | None:
        return None if self.row.created_by_id is None else await colleague(info, self.row.created_by_id)


@strawberry.type(description="An answer to a question.")
class ScorecardAnswer:
    question: ScorecardQuestion = strawberry.field(description="The question, as the card's version asks it.")
    scale: int | None = strawberry.field(description="The step of a scale.")
    yes: bool | None = strawberry.field(description="Yes or no.")
    text: str | None = strawberry.field(description="Words.")
    remark: str | None = strawberry.field(description="What else was said of it.")


@strawberry.type(description="What somebody answered of an activity, by a template.")
class Scorecard(Node):
    state: ScorecardState = strawberry.field(description="Whether it is submitted.")
    relation: ScorerRelation = strawberry.field(description="What the scorer was to the rep when it was filled.")
    version: int = strawberry.field(description="The version of the template that it was filled on.")
    score: Decimal | None = strawberry.field(
        description="0 to 100: the mean of the answers, each from nothing to full, by the questions' weights. Null for "
        "a draft, and where nothing of weight was answered."
    )
    note: str | None = strawberry.field(description="What was said of the whole.")
    revision: int = strawberry.field(description="Grows with every saving.")
    created_at: datetime = strawberry.field(description="When it was begun.")
    submitted_at: datetime | None = strawberry.field(description="When it was submitted.")
    card: strawberry.Private[scorecards.Card]

    @classmethod
    def of(cls, card: scorecards.Card) -> "Scorecard":
        return cls(
            id=global_id("Scorecard", card.id),
            state=card.state,
            relation=card.relation,
            version=card.version,
            score=card.score,
            note=card.note,
            revision=card.revision,
            created_at=card.created_at,
            submitted_at=card.submitted_at,
            card=card,
        )

    @strawberry.field(description="What it is about; null where the viewer may not see it any more.")
    async def activity(self, info: Info) -> Activity | None:
        from api.resolvers.film import film_activity

        return await film_activity(info.context, self.card.activity_id)

    @strawberry.field(description="Whose activity it is about.")
    async def rep(self, info: Info) -> Colleague:
        return await colleague(info, self.card.user_id)

    @strawberry.field(description="Who filled it.")
    async def scorer(self, info: Info) -> Colleague:
        return await colleague(info, self.card.scorer_id)

    @strawberry.field(description="The template.")
    async def template(self, info: Info) -> ScorecardTemplate:
        from api.resolvers.film import film_loaders

        row = await film_loaders(info.context).templates.load(self.card.template_id)
        assert row is not None, "a template with cards is not removed"
        return ScorecardTemplate.of(row)

    @strawberry.field(description="What was answered, in the order of the questions.")
    async def answers(self, info: Info) -> list[ScorecardAnswer]:
        from api.resolvers.film import film_loaders

        version = await film_loaders(info.context).versions.load((self.card.template_id, self.card.version))
        given = {answer.key: answer for answer in self.card.answers}
        return [
            ScorecardAnswer(
                question=ScorecardQuestion.of(question),
                scale=given[question.key].scale,
                yes=given[question.key].yes,
                text=given[question.key].text,
                remark=given[question.key].remark,
            )
            for question in version.questions
            if question.key in given
        ]

    @strawberry.field(description="The calibration that it belongs to.")
    async def calibration(self, info: Info) -> "Calibration | None":
        from api.resolvers.scorecards import find_round

        if self.card.calibration_id is None:
            return None
        found: Calibration | None = await find_round(info.context, self.card.calibration_id)
        return found


def _decimal(value: Fraction) -> Decimal:
    return scorecard_rules.rounded(value)


@strawberry.type(description="How some values lie.")
class ScoreSpread:
    count: int = strawberry.field(description="How many there are.")
    mean: Decimal = strawberry.field(description="Their mean.")
    lowest: Decimal = strawberry.field(description="The lowest.")
    highest: Decimal = strawberry.field(description="The highest.")
    width: Decimal = strawberry.field(description="From the lowest to the highest.")
    deviation: Decimal = strawberry.field(description="The mean distance from the mean.")

    @classmethod
    def of(cls, found: agreement.Spread) -> "ScoreSpread":
        return cls(
            count=found.count,
            mean=_decimal(found.mean),
            lowest=_decimal(found.lowest),
            highest=_decimal(found.highest),
            width=_decimal(found.width),
            deviation=_decimal(found.deviation),
        )


@strawberry.type(description="How far the answers to a question lie apart.")
class QuestionDisagreement:
    question: ScorecardQuestion = strawberry.field(description="The question.")
    answers: ScoreSpread | None = strawberry.field(
        description="Of the answers, each from 0 to 1; null where nobody answered."
    )


@strawberry.type(description="What a closed calibration came to.")
class CalibrationResult:
    scores: ScoreSpread | None = strawberry.field(description="Of the scores, 0 to 100; null without any.")
    questions: list[QuestionDisagreement] = strawberry.field(
        description="The questions that are scored, by how far their answers lie apart, the farthest first."
    )
    scorecards: list[Scorecard] = strawberry.field(description="The cards, the highest first.")


@strawberry.type(description="Somebody who scores in a calibration.")
class CalibrationScorer:
    submitted_at: datetime | None = strawberry.field(description="When the card came; null while it has not.")
    found: strawberry.Private[Scorer]

    @strawberry.field(description="Who.")
    async def scorer(self, info: Info) -> Colleague:
        return await colleague(info, self.found.scorer_id)


@strawberry.type(description="A round in which several score one activity by one template, apart from each other.")
class Calibration(Node):
    state: CalibrationState = strawberry.field(description="Whether it goes on.")
    version: int = strawberry.field(description="The version of the template that is filled.")
    due_on: date | None = strawberry.field(description="Until when.")
    created_at: datetime = strawberry.field(description="When it was called.")
    closed_at: datetime | None = strawberry.field(description="When it ended.")
    row: strawberry.Private[models.Calibration]

    @classmethod
    def of(cls, row: models.Calibration) -> "Calibration":
        return cls(
            id=global_id("Calibration", row.id),
            state=models.CalibrationState(row.state),
            version=row.version,
            due_on=row.due_on,
            created_at=row.created_at,
            closed_at=row.closed_at,
            row=row,
        )

    @strawberry.field(description="What is scored; null where the viewer may not see it any more.")
    async def activity(self, info: Info) -> Activity | None:
        from api.resolvers.film import film_activity

        return await film_activity(info.context, self.row.activity_id)

    @strawberry.field(description="The template.")
    async def template(self, info: Info) -> ScorecardTemplate:
        from api.resolvers.film import film_loaders

        row = await film_loaders(info.context).templates.load(self.row.template_id)
        assert row is not None, "a template with rounds is not removed"
        return ScorecardTemplate.of(row)

    @strawberry.field(description="Who called it.")
    async def organizer(self, info: Info) -> Colleague:
        return await colleague(info, self.row.organizer_id)

    @strawberry.field(description="Who scores, and who has.")
    async def scorers(self, info: Info) -> list[CalibrationScorer]:
        from api.resolvers.film import film_loaders

        return [
            CalibrationScorer(submitted_at=one.submitted_at, found=one)
            for one in await film_loaders(info.context).scorers.load(self.row.id)
        ]

    @strawberry.field(description="How far they agree; null while it is open.")
    async def result(self, info: Info) -> CalibrationResult | None:
        from api.resolvers.film import film_loaders

        found = await film_loaders(info.context).results.load(self.row.id)
        if found is None:
            return None
        apart = sorted(
            found.questions, key=lambda one: Fraction(-1) if one.spread is None else one.spread.width, reverse=True
        )
        return CalibrationResult(
            scores=None if found.scores is None else ScoreSpread.of(found.scores),
            questions=[
                QuestionDisagreement(
                    question=ScorecardQuestion.of(one.question),
                    answers=None if one.spread is None else ScoreSpread.of(one.spread),
                )
                for one in apart
            ],
            scorecards=[Scorecard.of(card) for card in found.cards],
        )


@strawberry.type(description="How somebody scores, against those who scored the same.")
class ScorerBias:
    count: int = strawberry.field(description="Over how many calibrations.")
    bias: Decimal = strawberry.field(
        description="By how many points more than the others do on average; below 0: fewer."
    )
    deviation: Decimal = strawberry.field(description="The mean distance from the others' mean, whichever way.")
    found: strawberry.Private[UUID]

    @strawberry.field(description="Who.")
    async def scorer(self, info: Info) -> Colleague:
        return await colleague(info, self.found)


@strawberry.type(description="How far the scorers of a template agreed over a range.")
class CalibrationReport:
    calibrations: int = strawberry.field(description="How many calibrations with two scores or more closed.")
    scores: int = strawberry.field(description="How many scores they hold.")
    alpha: float | None = strawberry.field(
        description="Krippendorff's alpha for interval data: 1 is full agreement, 0 what chance would bring; from 0.8 "
        "on scores can be depended on. Null where there is nothing to tell it from."
    )
    mean_width: Decimal | None = strawberry.field(
        description="Points from the lowest to the highest score, mean over the calibrations."
    )
    scorers: list[ScorerBias] = strawberry.field(description="How each scores, the most generous first.")

    @classmethod
    def of(cls, found: Report) -> "CalibrationReport":
        return cls(
            calibrations=found.rounds,
            scores=found.scores,
            alpha=found.alpha,
            mean_width=None if found.mean_width is None else _decimal(found.mean_width),
            scorers=[
                ScorerBias(
                    count=one.count, bias=_decimal(one.mean), deviation=_decimal(one.deviation), found=one.scorer
                )
                for one in found.scorers
            ],
        )


@strawberry.input(description="A question to ask.")
class ScorecardQuestionInput:
    key: str = strawberry.field(
        description="Its name, the same from version to version: small letters, digits, underscores."
    )
    text: str = strawberry.field(description="What is asked.")
    kind: QuestionKind = strawberry.field(description="How it is answered.")
    steps: int | None = strawberry.field(default=None, description="Of a scale: from 1 to this; 2 to 10.")
    weight: Decimal = strawberry.field(default=Decimal(1), description="How much it counts; TEXT counts nothing.")
    required: bool = strawberry.field(default=True, description="Whether no card is submitted without it.")
    help: str | None = strawberry.field(default=None, description="What the answers mean.")


@strawberry.input(description="A template with its first version.")
class CreateScorecardTemplateInput:
    name: str = strawberry.field(description="What it is called, once on the team.")
    questions: list[ScorecardQuestionInput] = strawberry.field(description="What it asks: 1 to 50, one of them scored.")
    description: str | None = strawberry.field(default=None, description="What it is for.")


@strawberry.input(description="What to change of a template; what is left out stays.")
class UpdateScorecardTemplateInput:
    template_id: strawberry.ID = strawberry.field(description="Which.")
    name: str | None = strawberry.field(default=None, description="What it is called.")
    description: str | None = strawberry.field(default=None, description="What it is for; empty for nothing.")
    archived: bool | None = strawberry.field(default=None, description="Whether it is filled no more.")
    questions: list[ScorecardQuestionInput] | None = strawberry.field(
        default=None, description="What it asks from now on: published as a new version. Cards that were begun stay."
    )
    expected_version: int | None = strawberry.field(
        default=None, description="The version that was seen; another one refuses the change."
    )


@strawberry.type(description="The template as it stands.")
class ScorecardTemplatePayload:
    template: ScorecardTemplate | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")

    @classmethod
    def refused(cls, errors: list[UserError]) -> "ScorecardTemplatePayload":
        return cls(template=None, errors=errors)


@strawberry.input(description="An answer: what fits the question's kind, and perhaps a remark.")
class ScorecardAnswerInput:
    question: str = strawberry.field(description="The question's key.")
    scale: int | None = strawberry.field(default=None, description="The step of a scale.")
    yes: bool | None = strawberry.field(default=None, description="Yes or no.")
    text: str | None = strawberry.field(default=None, description="Words.")
    remark: str | None = strawberry.field(default=None, description="What else is to be said of it.")


@strawberry.input(description="A draft: all that is answered so far.")
class SaveScorecardInput:
    activity_id: strawberry.ID = strawberry.field(description="Of what.")
    template_id: strawberry.ID = strawberry.field(description="By which template.")
    answers: list[ScorecardAnswerInput] = strawberry.field(description="All answers; those of before are replaced.")
    note: str | None = strawberry.field(default=None, description="What is to be said of the whole.")
    expected_revision: int | None = strawberry.field(
        default=None, description="The revision that was seen; another one refuses the change."
    )


@strawberry.input(description="A draft that is done.")
class SubmitScorecardInput:
    scorecard_id: strawberry.ID = strawberry.field(description="Which.")
    expected_revision: int | None = strawberry.field(
        default=None, description="The revision that was seen; another one refuses the submission."
    )


@strawberry.input(description="A scorecard.")
class ScorecardInput:
    scorecard_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.type(description="The scorecard as it stands.")
class ScorecardPayload:
    scorecard: Scorecard | None = strawberry.field(description="Null when it was refused, or removed.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")

    @classmethod
    def refused(cls, errors: list[UserError]) -> "ScorecardPayload":
        return cls(scorecard=None, errors=errors)


@strawberry.input(description="A calibration to call.")
class StartCalibrationInput:
    activity_id: strawberry.ID = strawberry.field(description="What is scored.")
    template_id: strawberry.ID = strawberry.field(description="By which template; its current version.")
    scorer_ids: list[strawberry.ID] = strawberry.field(description="By whom: 2 to 30 who may see the activity.")
    due_on: date | None = strawberry.field(default=None, description="Until when.")


@strawberry.input(description="A calibration.")
class CalibrationInput:
    calibration_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.type(description="The calibration as it stands.")
class CalibrationPayload:
    calibration: Calibration | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")

    @classmethod
    def refused(cls, errors: list[UserError]) -> "CalibrationPayload":
        return cls(calibration=None, errors=errors)


@strawberry.input(description="Which scorecards; all conditions must hold.")
class ScorecardFilter:
    user_id: strawberry.ID | None = strawberry.field(default=None, description="Of this rep's activities.")
    scorer_id: strawberry.ID | None = strawberry.field(default=None, description="By this scorer.")
    template_id: strawberry.ID | None = strawberry.field(default=None, description="By this template.")
    relations: list[ScorerRelation] | None = strawberry.field(
        default=None, description="By those who were this to the rep."
    )
    states: list[ScorecardState] | None = strawberry.field(default=None, description="In these states.")
    since: datetime | None = strawberry.field(default=None, name="from", description="Submitted from then on.")
    until: datetime | None = strawberry.field(default=None, name="to", description="Submitted before then.")


@strawberry.type
class ScorecardQuery:
    @reading("The team's scorecard templates, by name.")
    async def scorecard_templates(self, info: Info, archived: bool = False) -> list[ScorecardTemplate]:
        from api.resolvers.scorecards import list_templates

        return [ScorecardTemplate.of(row) for row in await list_templates(info.context, archived=archived)]

    @reading(
        "The scorecards that the viewer may see, the last begun first: their own, and submitted ones of reps in sight."
    )
    async def scorecards(
        self, info: Info, first: int | None = None, after: str | None = None, filter: ScorecardFilter | None = None
    ) -> Connection[Scorecard]:
        from api.resolvers.scorecards import card_filter, cards_connection

        return await cards_connection(info.context, await card_filter(info.context, filter), first, after)

    @reading("The calibrations that the viewer may see, the last called first.")
    async def calibrations(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        template_id: strawberry.ID | None = None,
        open: bool | None = None,
    ) -> Connection[Calibration]:
        from api.resolvers.scorecards import rounds_connection

        return await rounds_connection(info.context, template_id, open, first, after)

    @reading(
        "How far scorers of a template agreed in the calibrations in sight that closed within a range.",
        requires(Permission.TEAM_VIEW),
    )
    async def calibration_report(self, info: Info, template_id: strawberry.ID, range: RangeInput) -> CalibrationReport:
        from api.resolvers.scorecards import calibration_report

        return CalibrationReport.of(await calibration_report(info.context, template_id, range))


@strawberry.type
class ScorecardMutation:
    @writing("Make a scorecard template.", requires(Permission.MANAGE_GOALS))
    async def create_scorecard_template(
        self, info: Info, input: CreateScorecardTemplateInput
    ) -> ScorecardTemplatePayload:
        from api.resolvers.scorecards import create_template

        async def work() -> ScorecardTemplatePayload:
            template = ScorecardTemplate.of(await create_template(info.context, input))
            return ScorecardTemplatePayload(template=template, errors=[])

        return await told(work(), ScorecardTemplatePayload.refused)

    @writing("Rename or archive a template, or publish a new version. For who made it, and for MANAGE_TEAM.")
    async def update_scorecard_template(
        self, info: Info, input: UpdateScorecardTemplateInput
    ) -> ScorecardTemplatePayload:
        from api.resolvers.scorecards import update_template

        async def work() -> ScorecardTemplatePayload:
            template = ScorecardTemplate.of(await update_template(info.context, input))
            return ScorecardTemplatePayload(template=template, errors=[])

        return await told(work(), ScorecardTemplatePayload.refused)

    @writing("Begin a scorecard, or go on with one's draft of it.")
    async def save_scorecard(self, info: Info, input: SaveScorecardInput) -> ScorecardPayload:
        from api.resolvers.scorecards import save_card

        async def work() -> ScorecardPayload:
            return ScorecardPayload(scorecard=Scorecard.of(await save_card(info.context, input)), errors=[])

        return await told(work(), ScorecardPayload.refused)

    @writing("Submit one's draft: it is scored and stands. A manager's is a review of a conversation.")
    async def submit_scorecard(self, info: Info, input: SubmitScorecardInput) -> ScorecardPayload:
        from api.resolvers.scorecards import submit_card

        async def work() -> ScorecardPayload:
            return ScorecardPayload(scorecard=Scorecard.of(await submit_card(info.context, input)), errors=[])

        return await told(work(), ScorecardPayload.refused)

    @writing("Take a scorecard away: one's own; anybody's as Admin.")
    async def remove_scorecard(self, info: Info, input: ScorecardInput) -> ScorecardPayload:
        from api.resolvers.scorecards import remove_card

        async def work() -> ScorecardPayload:
            await remove_card(info.context, input.scorecard_id)
            return ScorecardPayload(scorecard=None, errors=[])

        return await told(work(), ScorecardPayload.refused)

    @writing("Call several to score one activity, apart from each other. For the rep's managers.")
    async def start_calibration(self, info: Info, input: StartCalibrationInput) -> CalibrationPayload:
        from api.resolvers.scorecards import start_round

        async def work() -> CalibrationPayload:
            return CalibrationPayload(calibration=Calibration.of(await start_round(info.context, input)), errors=[])

        return await told(work(), CalibrationPayload.refused)

    @writing("Close a calibration with what is there. For its organizer, and the rep's managers.")
    async def close_calibration(self, info: Info, input: CalibrationInput) -> CalibrationPayload:
        from api.resolvers.scorecards import close_round

        async def work() -> CalibrationPayload:
            found = await close_round(info.context, input.calibration_id)
            return CalibrationPayload(calibration=Calibration.of(found), errors=[])

        return await told(work(), CalibrationPayload.refused)
