"""Coaching plans, their templates and notes; and the look-ups that plans and sessions share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from api.context import Context
from api.loading import Loader
from api.schema.plans import (
    AddCoachingNoteInput,
    AddPlanItemInput,
    CoachingNote,
    CoachingNoteInput,
    CoachingNotePayload,
    CoachingPlan,
    CoachingPlanPayload,
    CoachingTemplate,
    CoachingTemplateInput,
    CoachingTemplatePayload,
    CreateCoachingPlanInput,
    EditCoachingNoteInput,
    PlanFocusInput,
    PlanItemIdInput,
    PlanItemInput,
    SaveCoachingTemplateInput,
    UpdateCoachingPlanInput,
    UpdatePlanItemInput,
)
from domain import (
    access_plans,
    models,
    people,
    plan_invitations,
    plan_notes,
    plan_programs,
    plan_progress,
    plan_series,
    plan_sessions,
    plans,
)
from domain.access import Sight
from domain.access_plans import Circle, SessionSight
from domain.ids import decode_id
from domain.metrics import available_metrics
from domain.plan_progress import Comparison, Subject
from domain.plan_series import SeriesView
from domain.plans import Focus, ItemChange, NewItem, NewPlan, NewTemplate, PlanChange, PlanView

ProgressKey = tuple[UUID, str, PlanView]


class PlanLoaders:
    """What plans and sessions look up, each in one statement or a fixed number of them."""

    def __init__(self, context: Context) -> None:
        self._context = context
        make = context.loader
        self.people: Loader[UUID, models.User] = make(self._people)
        self.progress: Loader[ProgressKey, Comparison | None] = make(self._progress)
        self.plan_notes: Loader[tuple[UUID, Circle], list[models.CoachingNote]] = make(self._plan_notes)
        self.session_notes: Loader[tuple[UUID, Circle], list[models.CoachingNote]] = make(self._session_notes)
        self.session_film: Loader[UUID, list[UUID]] = make(self._session_film)
        self.plans: Loader[UUID, PlanView | None] = make(self._plans)
        self.series: Loader[UUID, SeriesView | None] = make(self._series)
        self.running_series: Loader[UUID, int] = make(self._running_series)
        self.session_invitations: Loader[UUID, models.CoachingInvitation | None] = make(self._session_invitations)
        self.series_invitations: Loader[UUID, models.CoachingInvitation | None] = make(self._series_invitations)

    async def _people(self, ids: list[UUID]) -> Sequence[models.User]:
        """Who takes part in what the viewer sees is known by name, in sight or not."""
        everybody = Sight(self._context.viewer.team_id, True, frozenset())
        async with self._context.acquire() as connection:
            found = await people.users_by_id(connection, everybody, ids)
        return [user for user in found if user is not None]

    async def _plans(self, ids: list[UUID]) -> list[PlanView | None]:
        async with self._context.acquire() as connection:
            sight = await access_plans.see_plans(connection, self._context.viewer)
            found = await plans.plans_by_id(connection, sight, ids)
        return [found.get(one) for one in ids]

    async def _progress(self, keys: list[ProgressKey]) -> list[Comparison | None]:
        context = self._context
        sight = await context.users_in_sight()
        available = available_metrics(await context.feeds())
        subjects = {
            key[0]: Subject(
                key[0],
                key[2].plan.user_id,
                key[2].plan.starts_on,
                key[2].plan.closed_on,
                tuple(one.metric for one in key[2].focus),
            )
            for key in keys
        }
        async with context.acquire() as connection:
            found = await plan_progress.compare(
                connection,
                context.viewer,
                sight,
                list(subjects.values()),
                context.calendar.today(context.now),
                available,
            )
        return [found.get((key[0], key[1])) for key in keys]

    async def _plan_notes(self, keys: list[tuple[UUID, Circle]]) -> list[list[models.CoachingNote]]:
        async with self._context.acquire() as connection:
            found = await plan_notes.notes_of(connection, self._context.viewer, "plan_id", keys, shared=False)
        return [found[key[0]] for key in keys]

    async def _session_notes(self, keys: list[tuple[UUID, Circle]]) -> list[list[models.CoachingNote]]:
        async with self._context.acquire() as connection:
            found = await plan_notes.notes_of(connection, self._context.viewer, "session_id", keys, shared=True)
        return [found[key[0]] for key in keys]

    async def _session_film(self, ids: list[UUID]) -> list[list[UUID]]:
        async with self._context.acquire() as connection:
            found = await plan_sessions.film_of(connection, self._context.viewer.team_id, ids)
        return [found[one] for one in ids]

    async def _series(self, ids: list[UUID]) -> list[SeriesView | None]:
        """Those in which the viewer takes part."""
        viewer = self._context.viewer
        async with self._context.acquire() as connection:
            sight = SessionSight(viewer.team_id, viewer.user_id, False)
            found = await plan_series.series_by_id(connection, sight, ids)
        return [found.get(one) for one in ids]

    async def _running_series(self, ids: list[UUID]) -> list[int]:
        async with self._context.acquire() as connection:
            found = await plan_programs.running_series(connection, self._context.viewer.team_id, ids)
        return [found[one] for one in ids]

    async def _session_invitations(self, ids: list[UUID]) -> list[models.CoachingInvitation | None]:
        return await self._invitations("session_id", ids)

    async def _series_invitations(self, ids: list[UUID]) -> list[models.CoachingInvitation | None]:
        return await self._invitations("series_id", ids)

    async def _invitations(self, column: str, ids: list[UUID]) -> list[models.CoachingInvitation | None]:
        async with self._context.acquire() as connection:
            found = await plan_invitations.invitations_of(connection, self._context.viewer.team_id, column, ids)
        return [found.get(one) for one in ids]


def loaders(context: Context) -> PlanLoaders:
    """The request's own."""
    found = context.__dict__.get("_plan_loaders")
    if not isinstance(found, PlanLoaders):
        found = context.__dict__["_plan_loaders"] = PlanLoaders(context)
    return found


def ids_of(given: Sequence[str] | None, type_name: str, field: str) -> frozenset[UUID]:
    """The rows of some ids.

    Raises:
        NotFound: one is no id of the type.
    """
    return frozenset(
        decode_id(one, type_name, path=("input", field, str(place))) for place, one in enumerate(given or ())
    )


def _focus(given: Sequence[PlanFocusInput] | None) -> tuple[Focus, ...]:
    return tuple(Focus(one.metric.value, one.target) for one in given or ())


def _items(given: Sequence[PlanItemInput] | None) -> tuple[NewItem, ...]:
    return tuple(NewItem(one.title, one.due_on, one.due_days) for one in given or ())


def _item_id(given: str) -> UUID:
    return decode_id(given, "PlanItem", path=("input", "itemId"))


async def list_plans(context: Context, user_id: str | None) -> list[CoachingPlan]:
    """Plans in sight. Raises what the domain does."""
    row_id = None if user_id is None else decode_id(user_id, "User", path=("userId",))
    async with context.acquire() as connection:
        sight = await access_plans.see_plans(connection, context.viewer)
        return [CoachingPlan.of(view) for view in await plans.list_plans(connection, sight, row_id)]


async def find_plan(context: Context, row_id: UUID) -> CoachingPlan | None:
    """A plan in sight, or None."""
    found = await loaders(context).plans.load(row_id)
    return None if found is None else CoachingPlan.of(found)


async def list_templates(context: Context) -> list[CoachingTemplate]:
    """The team's templates."""
    async with context.acquire() as connection:
        return [CoachingTemplate.of(row) for row in await plans.list_templates(connection, context.viewer)]


async def create_plan(context: Context, given: CreateCoachingPlanInput) -> CoachingPlanPayload:
    """Make a plan. Raises what the domain does."""
    new = NewPlan(
        user_id=decode_id(given.user_id, "User", path=("input", "userId")),
        title=given.title or "",
        focus=_focus(given.focus),
        items=_items(given.items),
        agenda=given.agenda,
        co_coach_ids=ids_of(given.co_coach_ids, "User", "coCoachIds"),
        starts_on=given.starts_on,
        ends_on=given.ends_on,
        template_id=None
        if given.template_id is None
        else decode_id(given.template_id, "CoachingTemplate", path=("input", "templateId")),
        draft=bool(given.draft),
    )

    async def work(connection: Any) -> PlanView:
        return await plans.create_plan(connection, context.viewer, new, context.now)

    return _plan(await context.in_transaction(work))


def _plan(view: PlanView) -> CoachingPlanPayload:
    return CoachingPlanPayload(plan=CoachingPlan.of(view), errors=[])


async def update_plan(context: Context, given: UpdateCoachingPlanInput) -> CoachingPlanPayload:
    """Change a plan. Raises what the domain does."""
    plan_id = decode_id(given.plan_id, "CoachingPlan", path=("input", "planId"))
    change = PlanChange(
        title=given.title,
        agenda=given.agenda,
        status=given.status,
        starts_on=given.starts_on,
        ends_on=given.ends_on,
        no_end=bool(given.no_end),
        focus=None if given.focus is None else _focus(given.focus),
        co_coach_ids=None if given.co_coach_ids is None else ids_of(given.co_coach_ids, "User", "coCoachIds"),
        coach_id=None if given.coach_id is None else decode_id(given.coach_id, "User", path=("input", "coachId")),
    )

    async def work(connection: Any) -> PlanView:
        return await plans.update_plan(
            connection, context.viewer, plan_id, change, context.now, expected=given.expected_version
        )

    return _plan(await context.in_transaction(work))


async def add_item(context: Context, given: AddPlanItemInput) -> CoachingPlanPayload:
    """Put something to do into a plan. Raises what the domain does."""
    plan_id = decode_id(given.plan_id, "CoachingPlan", path=("input", "planId"))

    async def work(connection: Any) -> PlanView:
        return await plans.add_item(connection, context.viewer, plan_id, NewItem(given.title, given.due_on))

    return _plan(await context.in_transaction(work))


async def update_item(context: Context, given: UpdatePlanItemInput) -> CoachingPlanPayload:
    """Change an action item. Raises what the domain does."""
    item_id = _item_id(given.item_id)
    change = ItemChange(given.title, given.due_on, bool(given.no_due), given.done)

    async def work(connection: Any) -> PlanView:
        return await plans.update_item(connection, context.viewer, item_id, change)

    return _plan(await context.in_transaction(work))


async def remove_item(context: Context, given: PlanItemIdInput) -> CoachingPlanPayload:
    """Take an action item out. Raises what the domain does."""
    item_id = _item_id(given.item_id)

    async def work(connection: Any) -> PlanView:
        return await plans.remove_item(connection, context.viewer, item_id)

    return _plan(await context.in_transaction(work))


async def save_template(context: Context, given: SaveCoachingTemplateInput) -> CoachingTemplatePayload:
    """Make or change a template. Raises what the domain does."""
    new = NewTemplate(given.name, given.agenda, _focus(given.focus), _items(given.items))
    old = None
    if given.template_id is not None:
        old = decode_id(given.template_id, "CoachingTemplate", path=("input", "templateId"))

    async def work(connection: Any) -> models.CoachingTemplate:
        return await plans.save_template(connection, context.viewer, new, old)

    row = await context.in_transaction(work)
    return CoachingTemplatePayload(template=CoachingTemplate.of(row), errors=[])


async def remove_template(context: Context, given: CoachingTemplateInput) -> CoachingTemplatePayload:
    """Forget a template. Raises what the domain does."""
    template_id = decode_id(given.template_id, "CoachingTemplate", path=("input", "templateId"))

    async def work(connection: Any) -> None:
        await plans.remove_template(connection, context.viewer, template_id)

    await context.in_transaction(work)
    return CoachingTemplatePayload(template=None, errors=[])


async def add_note(context: Context, given: AddCoachingNoteInput) -> CoachingNotePayload:
    """Write a note. Raises what the domain does."""
    plan_id = session_id = None
    if given.plan_id is not None:
        plan_id = decode_id(given.plan_id, "CoachingPlan", path=("input", "planId"))
    if given.session_id is not None:
        session_id = decode_id(given.session_id, "CoachingSession", path=("input", "sessionId"))
    visibility = given.visibility or models.NoteVisibility.SHARED

    async def work(connection: Any) -> models.CoachingNote:
        return await plan_notes.add_note(
            connection, context.viewer, given.body, visibility, plan_id=plan_id, session_id=session_id
        )

    return CoachingNotePayload(note=CoachingNote.of(await context.in_transaction(work)), errors=[])


async def edit_note(context: Context, given: EditCoachingNoteInput) -> CoachingNotePayload:
    """Change a note. Raises what the domain does."""
    note_id = decode_id(given.note_id, "CoachingNote", path=("input", "noteId"))

    async def work(connection: Any) -> models.CoachingNote:
        return await plan_notes.edit_note(connection, context.viewer, note_id, given.body, given.visibility)

    return CoachingNotePayload(note=CoachingNote.of(await context.in_transaction(work)), errors=[])


async def remove_note(context: Context, given: CoachingNoteInput) -> CoachingNotePayload:
    """Take a note back. Raises what the domain does."""
    note_id = decode_id(given.note_id, "CoachingNote", path=("input", "noteId"))

    async def work(connection: Any) -> None:
        await plan_notes.remove_note(connection, context.viewer, note_id)

    await context.in_transaction(work)
    return CoachingNotePayload(note=None, errors=[])
