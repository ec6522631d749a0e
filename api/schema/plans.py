"""Coaching plans: focus metrics before and since, action items, notes, templates."""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import strawberry

from api.permissions import requires
from api.schema.errors import UserError, told
from api.schema.fields import Info, reading, writing
from api.schema.metrics import Metric
from api.schema.nodes import Node, global_id
from api.schema.people import User
from domain import access_plans, models, plan_progress, plans
from domain.models.people import Permission

PlanStatus = strawberry.enum(
    models.PlanStatus,
    name="CoachingPlanStatus",
    description="DRAFT: those who coach alone know of it. ACTIVE: it goes on. COMPLETED, ABANDONED: it has ended.",
)
NoteVisibility = strawberry.enum(
    models.NoteVisibility,
    name="CoachingNoteVisibility",
    description="SHARED: for the rep too. PRIVATE: for those who coach; for nobody else does it exist.",
)
Verdict = strawberry.enum(
    plan_progress.Verdict,
    name="CoachingVerdict",
    description="What the interval says. BETTER, WORSE: all of it lies on one side of no effect. UNCLEAR: it does not.",
)


async def person(info: Info, user_id: UUID) -> User:
    """Somebody who takes part in what the viewer sees: known by name, in sight or not."""
    from api.resolvers.plans import loaders

    return User.of(await loaders(info.context).people.load(user_id))


async def people_of(info: Info, ids: Iterable[UUID]) -> list[User]:
    """Some people who take part in what the viewer sees."""
    from api.resolvers.plans import loaders

    return [User.of(row) for row in await loaders(info.context).people.load_many(ids)]


@strawberry.type(
    description="A focus metric before and since the plan began, against peers over the same time. The method stands "
    "in docs/plans.md."
)
class FocusComparison:
    before_from: date = strawberry.field(description="The first day of before.")
    before_to: date = strawberry.field(description="The last day of before.")
    now_from: date | None = strawberry.field(description="The first day of since; null while it has not begun.")
    now_to: date | None = strawberry.field(description="The last day of since: yesterday, or the day of the closing.")
    change: Decimal | None = strawberry.field(description="now - before, of the rep.")
    peer_count: int = strawberry.field(description="Peers who have a value both before and since.")
    peer_change: Decimal | None = strawberry.field(description="The median change of the peers over the same days.")
    effect: Decimal | None = strawberry.field(description="change - peerChange: what is left of the rep's own.")
    low: Decimal | None = strawberry.field(description="The lower end of the effect's interval.")
    high: Decimal | None = strawberry.field(description="The upper end of the effect's interval.")
    confidence: float = strawberry.field(description="Of the interval.")
    verdict: Verdict | None = strawberry.field(
        description="What the interval says; null without one, and for a metric neither way of which is better."
    )
    reason: str | None = strawberry.field(description="Why there is no comparison, or no interval.")

    @classmethod
    def of(cls, found: plan_progress.Comparison) -> "FocusComparison":
        return cls(
            before_from=found.before_days.first,
            before_to=found.before_days.last,
            now_from=None if found.now_days is None else found.now_days.first,
            now_to=None if found.now_days is None else found.now_days.last,
            change=found.change,
            peer_count=found.peer_count,
            peer_change=found.peer_change,
            effect=found.effect,
            low=found.low,
            high=found.high,
            confidence=plan_progress.CONFIDENCE,
            verdict=found.verdict,
            reason=found.reason,
        )


@strawberry.type(
    description="A metric that a plan is about. Values of rates are rates; of all else, so much per working week. Null "
    "where there is no value, or the viewer may not see the rep's numbers."
)
class PlanFocus:
    metric: Metric = strawberry.field(description="Which.")
    target: Decimal | None = strawberry.field(description="Where it is to go.")
    plan: strawberry.Private[plans.PlanView]

    async def _found(self, info: Info) -> plan_progress.Comparison | None:
        from api.resolvers.plans import loaders

        return await loaders(info.context).progress.load((self.plan.plan.id, self.metric.value, self.plan))

    @strawberry.field(description="The value in the days before the plan began.")
    async def before(self, info: Info) -> Decimal | None:
        found = await self._found(info)
        return None if found is None else found.before

    @strawberry.field(description="The value since, up to yesterday or to the day the plan was closed.")
    async def now(self, info: Info) -> Decimal | None:
        found = await self._found(info)
        return None if found is None else found.now

    @strawberry.field(description="Both against peers; null where the viewer may not see the rep's numbers.")
    async def comparison(self, info: Info) -> FocusComparison | None:
        found = await self._found(info)
        return None if found is None else FocusComparison.of(found)


@strawberry.type(description="Something that is to be done within a plan.")
class PlanItem:
    id: strawberry.ID = strawberry.field(description="For updatePlanItem and removePlanItem.")
    title: str = strawberry.field(description="What.")
    due_on: date | None = strawberry.field(description="By when.")
    done_at: datetime | None = strawberry.field(description="When it was done; null while it is not.")
    row: strawberry.Private[models.PlanItem]

    @classmethod
    def of(cls, row: models.PlanItem) -> "PlanItem":
        return cls(id=global_id("PlanItem", row.id), title=row.title, due_on=row.due_on, done_at=row.done_at, row=row)

    @strawberry.field(description="Who said that it is done.")
    async def done_by(self, info: Info) -> User | None:
        return None if self.row.done_by_id is None else await person(info, self.row.done_by_id)


@strawberry.type(description="What somebody wrote down of a plan or of a session.")
class CoachingNote:
    id: strawberry.ID = strawberry.field(description="For editCoachingNote and removeCoachingNote.")
    visibility: NoteVisibility = strawberry.field(description="For whom it is.")
    body: str = strawberry.field(description="The text.")
    created_at: datetime = strawberry.field(description="When it was written.")
    edited_at: datetime | None = strawberry.field(description="When it was last changed.")
    row: strawberry.Private[models.CoachingNote]

    @classmethod
    def of(cls, row: models.CoachingNote) -> "CoachingNote":
        return cls(
            id=global_id("CoachingNote", row.id),
            visibility=models.NoteVisibility(row.visibility),
            body=row.body,
            created_at=row.created_at,
            edited_at=row.edited_at,
            row=row,
        )

    @strawberry.field(description="Who wrote it.")
    async def author(self, info: Info) -> User:
        return await person(info, self.row.author_id)


@strawberry.type(
    description="What a rep and a coach have agreed to work at. Seen by who coaches in it; once it is no draft, also "
    "by the rep, and with TEAM_VIEW by whoever has the rep in scope."
)
class CoachingPlan(Node):
    title: str = strawberry.field(description="What it is called.")
    status: str = strawberry.field(description="DRAFT, ACTIVE, COMPLETED or ABANDONED.")
    starts_on: date = strawberry.field(description="The day from which the focus metrics count as now.")
    ends_on: date | None = strawberry.field(description="When the targets are to be reached.")
    closed_on: date | None = strawberry.field(description="The day it was completed or abandoned.")
    version: int = strawberry.field(description="Grows by one with every change: give it as the expected version.")
    created_at: datetime = strawberry.field(description="When it was made.")
    items: list[PlanItem] = strawberry.field(description="What is to be done.")
    view: strawberry.Private[plans.PlanView]

    @classmethod
    def of(cls, view: plans.PlanView) -> "CoachingPlan":
        plan = view.plan
        return cls(
            id=global_id("CoachingPlan", plan.id),
            title=plan.title,
            status=models.PlanStatus(plan.status).value,
            starts_on=plan.starts_on,
            ends_on=plan.ends_on,
            closed_on=plan.closed_on,
            version=plan.version,
            created_at=plan.created_at,
            items=[PlanItem.of(item) for item in view.items],
            view=view,
        )

    @strawberry.field(description="The rep.")
    async def user(self, info: Info) -> User:
        return await person(info, self.view.plan.user_id)

    @strawberry.field(description="Who coaches.")
    async def coach(self, info: Info) -> User:
        return await person(info, self.view.plan.coach_id)

    @strawberry.field(description="Who coaches too.")
    async def co_coaches(self, info: Info) -> list[User]:
        return await people_of(info, self.view.co_coach_ids)

    @strawberry.field(description="What it is about, in its order.")
    def focus(self) -> list[PlanFocus]:
        return [PlanFocus(metric=Metric[one.metric], target=one.target, plan=self.view) for one in self.view.focus]

    @strawberry.field(description="What is to be talked about, for who takes part; null for others.")
    def agenda(self, info: Info) -> str | None:
        readable = access_plans.may_read_plan_texts(info.context.viewer, self.view.circle)
        return self.view.plan.agenda if readable else None

    @strawberry.field(description="The shared notes as one text, the oldest first, for who takes part; else null.")
    async def notes(self, info: Info) -> str | None:
        shared = [row.body for row in await self._rows(info) if row.visibility == models.NoteVisibility.SHARED]
        return "\n\n".join(shared) or None

    @strawberry.field(description="The notes that are for the viewer, the oldest first.")
    async def note_entries(self, info: Info) -> list[CoachingNote]:
        return [CoachingNote.of(row) for row in await self._rows(info)]

    async def _rows(self, info: Info) -> list[models.CoachingNote]:
        from api.resolvers.plans import loaders

        return await loaders(info.context).plan_notes.load((self.view.plan.id, self.view.circle))


@strawberry.type(description="A metric of a template.")
class TemplateFocus:
    metric: Metric = strawberry.field(description="Which.")
    target: Decimal | None = strawberry.field(description="Where it is to go.")


@strawberry.type(description="An action item of a template.")
class TemplateItem:
    title: str = strawberry.field(description="What.")
    due_days: int | None = strawberry.field(description="So many days after the plan begins.")


@strawberry.type(description="What plans of one sort begin with; for who may coach.")
class CoachingTemplate:
    id: strawberry.ID = strawberry.field(description="For createCoachingPlan.")
    name: str = strawberry.field(description="What it is called.")
    agenda: str | None = strawberry.field(description="What is to be talked about.")
    focus: list[TemplateFocus] = strawberry.field(description="The metrics.")
    items: list[TemplateItem] = strawberry.field(description="What is to be done.")

    @classmethod
    def of(cls, row: models.CoachingTemplate) -> "CoachingTemplate":
        return cls(
            id=global_id("CoachingTemplate", row.id),
            name=row.name,
            agenda=row.agenda,
            focus=[
                TemplateFocus(metric=Metric[one.metric], target=one.target) for one in plans.focus_of_json(row.focus)
            ],
            items=[TemplateItem(title=one.title, due_days=one.due_days) for one in plans.items_of_json(row.items)],
        )


@strawberry.input(description="A metric that a plan is about.")
class PlanFocusInput:
    metric: Metric = strawberry.field(description="Which.")
    target: Decimal | None = strawberry.field(
        default=None, description="Of a rate its value, of all else so much per working week."
    )


@strawberry.input(description="Something to do.")
class PlanItemInput:
    title: str = strawberry.field(description="What.")
    due_on: date | None = strawberry.field(default=None, description="By when.")
    due_days: int | None = strawberry.field(
        default=None, description="Or so many days after the plan begins; a template knows only this."
    )


@strawberry.input(description="A plan whose coach is the viewer.")
class CreateCoachingPlanInput:
    user_id: strawberry.ID = strawberry.field(description="The rep, in the viewer's scope.")
    title: str | None = strawberry.field(default=None, description="What it is called; the template's name without it.")
    template_id: strawberry.ID | None = strawberry.field(default=None, description="What it begins with.")
    focus: list[PlanFocusInput] | None = strawberry.field(
        default=None, description="Metrics; one that the template has too takes its place."
    )
    items: list[PlanItemInput] | None = strawberry.field(
        default=None, description="What is to be done, after what the template says."
    )
    agenda: str | None = strawberry.field(default=None, description="What is to be talked about.")
    co_coach_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Who coaches too.")
    starts_on: date | None = strawberry.field(default=None, description="Its first day; today without it.")
    ends_on: date | None = strawberry.field(default=None, description="When the targets are to be reached.")
    draft: bool | None = strawberry.field(default=False, description="Keep it from the rep until it is begun.")


@strawberry.input(description="What to change of a plan; what is left out stays.")
class UpdateCoachingPlanInput:
    plan_id: strawberry.ID = strawberry.field(description="Which.")
    title: str | None = strawberry.field(default=None, description="What it is called.")
    agenda: str | None = strawberry.field(default=None, description="What is to be talked about; empty for nothing.")
    status: PlanStatus | None = strawberry.field(default=None, description="Begin it, close it, open it again.")
    starts_on: date | None = strawberry.field(default=None, description="Its first day.")
    ends_on: date | None = strawberry.field(default=None, description="When the targets are to be reached.")
    no_end: bool | None = strawberry.field(default=False, description="Take that day away.")
    focus: list[PlanFocusInput] | None = strawberry.field(default=None, description="In place of those of before.")
    co_coach_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Who coaches too, in place of those of before."
    )
    coach_id: strawberry.ID | None = strawberry.field(default=None, description="Hand it on to one of the co-coaches.")
    expected_version: int | None = strawberry.field(
        default=None, description="Refuse if the plan is not at this version any more."
    )


@strawberry.input(description="Something to do, for a plan.")
class AddPlanItemInput:
    plan_id: strawberry.ID = strawberry.field(description="Which plan.")
    title: str = strawberry.field(description="What.")
    due_on: date | None = strawberry.field(default=None, description="By when.")


@strawberry.input(description="What to change of an action item; the rep says done, the rest is for who coaches.")
class UpdatePlanItemInput:
    item_id: strawberry.ID = strawberry.field(description="Which.")
    done: bool | None = strawberry.field(default=None, description="Whether it is done.")
    title: str | None = strawberry.field(default=None, description="What.")
    due_on: date | None = strawberry.field(default=None, description="By when.")
    no_due: bool | None = strawberry.field(default=False, description="Take that day away.")


@strawberry.input(description="An action item.")
class PlanItemIdInput:
    item_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.input(description="A template, new or in place of an old one.")
class SaveCoachingTemplateInput:
    name: str = strawberry.field(description="What it is called; no two have one name.")
    template_id: strawberry.ID | None = strawberry.field(default=None, description="The one whose place it takes.")
    agenda: str | None = strawberry.field(default=None, description="What is to be talked about.")
    focus: list[PlanFocusInput] | None = strawberry.field(default=None, description="The metrics.")
    items: list[PlanItemInput] | None = strawberry.field(default=None, description="What is to be done.")


@strawberry.input(description="A template.")
class CoachingTemplateInput:
    template_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.input(description="A note of a plan or of a session, one of them.")
class AddCoachingNoteInput:
    body: str = strawberry.field(description="The text.")
    visibility: NoteVisibility | None = strawberry.field(
        default=models.NoteVisibility.SHARED, description="For whom; what a rep writes is shared."
    )
    plan_id: strawberry.ID | None = strawberry.field(default=None, description="Of this plan.")
    session_id: strawberry.ID | None = strawberry.field(default=None, description="Of this session.")


@strawberry.input(description="What to change of a note of one's own; what is left out stays.")
class EditCoachingNoteInput:
    note_id: strawberry.ID = strawberry.field(description="Which.")
    body: str | None = strawberry.field(default=None, description="The text.")
    visibility: NoteVisibility | None = strawberry.field(default=None, description="For whom.")


@strawberry.input(description="A note of one's own.")
class CoachingNoteInput:
    note_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.type(description="The plan as it stands.")
class CoachingPlanPayload:
    plan: CoachingPlan | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")

    @classmethod
    def refused(cls, errors: list[UserError]) -> "CoachingPlanPayload":
        return cls(plan=None, errors=errors)


@strawberry.type(description="The template as it stands.")
class CoachingTemplatePayload:
    template: CoachingTemplate | None = strawberry.field(description="Null when it was refused, or removed.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")

    @classmethod
    def refused(cls, errors: list[UserError]) -> "CoachingTemplatePayload":
        return cls(template=None, errors=errors)


@strawberry.type(description="The note as it stands.")
class CoachingNotePayload:
    note: CoachingNote | None = strawberry.field(description="Null when it was refused, or removed.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")

    @classmethod
    def refused(cls, errors: list[UserError]) -> "CoachingNotePayload":
        return cls(note=None, errors=errors)


@strawberry.type
class PlanQuery:
    @reading(
        "Coaching plans that the viewer may see, the newest first, at most 200: those of a rep, or those in which the "
        "viewer takes part."
    )
    async def coaching_plans(self, info: Info, user_id: strawberry.ID | None = None) -> list[CoachingPlan]:
        from api.resolvers.plans import list_plans

        return await list_plans(info.context, user_id)

    @reading("What plans can begin with, by name.", requires(Permission.TEAM_VIEW))
    async def coaching_templates(self, info: Info) -> list[CoachingTemplate]:
        from api.resolvers.plans import list_templates

        return await list_templates(info.context)


@strawberry.type
class PlanMutation:
    @writing("Make a coaching plan for a rep in scope.", requires(Permission.TEAM_VIEW))
    async def create_coaching_plan(self, info: Info, input: CreateCoachingPlanInput) -> CoachingPlanPayload:
        from api.resolvers.plans import create_plan

        return await told(create_plan(info.context, input), CoachingPlanPayload.refused)

    @writing("Change, begin, close or hand on a plan in which one coaches.")
    async def update_coaching_plan(self, info: Info, input: UpdateCoachingPlanInput) -> CoachingPlanPayload:
        from api.resolvers.plans import update_plan

        return await told(update_plan(info.context, input), CoachingPlanPayload.refused)

    @writing("Put something to do into a plan in which one coaches.")
    async def add_plan_item(self, info: Info, input: AddPlanItemInput) -> CoachingPlanPayload:
        from api.resolvers.plans import add_item

        return await told(add_item(info.context, input), CoachingPlanPayload.refused)

    @writing("Say that an action item is done, or change it.")
    async def update_plan_item(self, info: Info, input: UpdatePlanItemInput) -> CoachingPlanPayload:
        from api.resolvers.plans import update_item

        return await told(update_item(info.context, input), CoachingPlanPayload.refused)

    @writing("Take an action item out of a plan in which one coaches.")
    async def remove_plan_item(self, info: Info, input: PlanItemIdInput) -> CoachingPlanPayload:
        from api.resolvers.plans import remove_item

        return await told(remove_item(info.context, input), CoachingPlanPayload.refused)

    @writing("Make or change a template of plans.", requires(Permission.TEAM_VIEW))
    async def save_coaching_template(self, info: Info, input: SaveCoachingTemplateInput) -> CoachingTemplatePayload:
        from api.resolvers.plans import save_template

        return await told(save_template(info.context, input), CoachingTemplatePayload.refused)

    @writing("Forget a template; plans made from it stay.", requires(Permission.TEAM_VIEW))
    async def remove_coaching_template(self, info: Info, input: CoachingTemplateInput) -> CoachingTemplatePayload:
        from api.resolvers.plans import remove_template

        return await told(remove_template(info.context, input), CoachingTemplatePayload.refused)

    @writing("Write something down of a plan or a session in which one takes part.")
    async def add_coaching_note(self, info: Info, input: AddCoachingNoteInput) -> CoachingNotePayload:
        from api.resolvers.plans import add_note

        return await told(add_note(info.context, input), CoachingNotePayload.refused)

    @writing("Change a note of one's own.")
    async def edit_coaching_note(self, info: Info, input: EditCoachingNoteInput) -> CoachingNotePayload:
        from api.resolvers.plans import edit_note

        return await told(edit_note(info.context, input), CoachingNotePayload.refused)

    @writing("Take back a note of one's own.")
    async def remove_coaching_note(self, info: Info, input: CoachingNoteInput) -> CoachingNotePayload:
        from api.resolvers.plans import remove_note

        return await told(remove_note(info.context, input), CoachingNotePayload.refused)
