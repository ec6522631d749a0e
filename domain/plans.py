"""Coaching plans: made, changed, closed; with focus metrics, action items, co-coaches and templates.

A plan is a draft until it is begun: nobody but those who coach knows of it. It runs until it is completed or abandoned;
what was closed can be opened again. Which days count as before and as since is said in domain/plan_progress.py.

A target is a value of the metric where that is a quotient (a reply rate of 0.09), and else so much per working week.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import orjson

from domain import access, access_plans
from domain.access import Viewer
from domain.access_plans import Circle, PlanSight
from domain.errors import Conflict, Invalid, NotFound
from domain.identity import calendar_of
from domain.metrics import METRICS
from domain.models import CoachingPlan, CoachingTemplate, PlanItem, PlanStatus
from domain.models.base import new_id
from domain.models.people import Permission
from domain.records import EARLIEST, LATEST

if TYPE_CHECKING:
    from domain.database import Connection

TITLE_LIMIT = 200
ITEM_LIMIT = 500
TEXT_LIMIT = 20_000
MOST_FOCUSES = 8
MOST_ITEMS = 100
MOST_CO_COACHES = 10
MOST_PLANS = 200
"""A list shows the newest so many."""
LONGEST_DUE_DAYS = 730
LARGEST_TARGET = Decimal(10) ** 13


@dataclass(frozen=True, slots=True)
class Focus:
    """A metric that a plan is about, and where it is to go."""

    metric: str
    target: Decimal | None = None


@dataclass(frozen=True, slots=True)
class NewItem:
    """Something to do. In a template, `due_days` after the start."""

    title: str
    due_on: date | None = None
    due_days: int | None = None


@dataclass(frozen=True, slots=True)
class NewPlan:
    """A plan to be made.

    Args:
        user_id: The rep.
        title: What it is called; the template's name if empty.
        focus: Metrics, after those of the template.
        items: What is to be done, after what the template says.
        agenda: What is to be talked about; the template's if None.
        co_coach_ids: Who coaches beside the viewer.
        starts_on: Its first day; today if None.
        ends_on: When the targets are to be reached.
        template_id: What it begins with.
        draft: Whether it waits to be begun.
    """

    user_id: UUID
    title: str = ""
    focus: tuple[Focus, ...] = ()
    items: tuple[NewItem, ...] = ()
    agenda: str | None = None
    co_coach_ids: frozenset[UUID] = frozenset()
    starts_on: date | None = None
    ends_on: date | None = None
    template_id: UUID | None = None
    draft: bool = False


@dataclass(frozen=True, slots=True)
class PlanChange:
    """What to change of a plan; None leaves it as it is. `no_end` takes the end away."""

    title: str | None = None
    agenda: str | None = None
    status: PlanStatus | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    no_end: bool = False
    focus: tuple[Focus, ...] | None = None
    co_coach_ids: frozenset[UUID] | None = None
    coach_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan with what belongs to it."""

    plan: CoachingPlan
    co_coach_ids: tuple[UUID, ...] = ()
    focus: tuple[Focus, ...] = ()
    items: tuple[PlanItem, ...] = field(default=())

    @property
    def circle(self) -> Circle:
        """Who takes part."""
        return Circle(self.plan.user_id, self.plan.coach_id, frozenset(self.co_coach_ids))


def checked_text(text: str | None, name: str, limit: int, *, needed: bool = False) -> str | None:
    """A text that fits, without blanks around it; None for an empty one.

    Raises:
        Invalid: it is too long, holds what text cannot, or is needed and empty.
    """
    text = (text or "").strip()
    if len(text) > limit or "\0" in text:
        raise Invalid(f"{name}: at most {limit} characters.", path=("input", name))
    if needed and not text:
        raise Invalid(f"{name}: give 1 to {limit} characters.", path=("input", name))
    return text or None


def check_day(day: date | None, name: str) -> None:
    """Refuse a day out of the years that are kept.

    Raises:
        Invalid: it is.
    """
    if day is not None and not EARLIEST.date() <= day < LATEST.date():
        raise Invalid(f"{name}: choose a day from {EARLIEST:%Y} to {LATEST.year - 1}.", path=("input", name))


def _check_focus(focus: Sequence[Focus]) -> None:
    if len(focus) > MOST_FOCUSES:
        raise Invalid(
            f"focus: at most {MOST_FOCUSES} metrics; who works at all works at none.", path=("input", "focus")
        )
    seen: set[str] = set()
    for place, one in enumerate(focus):
        path = ("input", "focus", str(place))
        if one.metric not in METRICS:
            raise Invalid("focus: no such metric.", path=(*path, "metric"))
        if one.metric in seen:
            raise Invalid(f"focus: {one.metric} is named twice.", path=(*path, "metric"))
        seen.add(one.metric)
        if one.target is not None and not (one.target.is_finite() and 0 <= one.target < LARGEST_TARGET):
            raise Invalid("target: 0 or more.", path=(*path, "target"))


def _check_items(items: Sequence[NewItem]) -> list[NewItem]:
    if len(items) > MOST_ITEMS:
        raise Invalid(f"items: at most {MOST_ITEMS}.", path=("input", "items"))
    checked = []
    for item in items:
        title = checked_text(item.title, "title", ITEM_LIMIT, needed=True)
        assert title is not None
        check_day(item.due_on, "dueOn")
        if item.due_days is not None and not 0 <= item.due_days <= LONGEST_DUE_DAYS:
            raise Invalid(f"dueDays: from 0 to {LONGEST_DUE_DAYS}.", path=("input", "items"))
        checked.append(NewItem(title, item.due_on, item.due_days))
    return checked


async def create_plan(connection: Connection, viewer: Viewer, new: NewPlan, now: datetime) -> PlanView:
    """Make a plan whose coach is the viewer, in the caller's transaction.

    Raises:
        Forbidden: the viewer lacks `TEAM_VIEW`.
        NotFound: the rep, a co-coach or the template is not there for the viewer.
        Invalid: a part does not fit.
    """
    await access_plans.require_may_coach(connection, viewer, new.user_id)
    circle = Circle(new.user_id, viewer.user_id, new.co_coach_ids)
    if len(circle.co_coach_ids) > MOST_CO_COACHES:
        raise Invalid(f"coCoachIds: at most {MOST_CO_COACHES}.", path=("input", "coCoachIds"))
    await access_plans.require_co_coaches(connection, viewer, circle)
    template = None if new.template_id is None else await _template(connection, viewer, new.template_id)
    starts_on = new.starts_on or calendar_of(viewer).today(now)
    focus, items, agenda, title = list(new.focus), list(new.items), new.agenda, new.title
    if template is not None:
        begun = focus_of_json(template.focus)
        named = {one.metric for one in focus}
        focus = [*(one for one in begun if one.metric not in named), *focus]
        items = [*items_of_json(template.items), *items]
        agenda = template.agenda if agenda is None else agenda
        title = title.strip() or template.name
    _check_focus(focus)
    items = _check_items(items)
    check_day(starts_on, "startsOn")
    check_day(new.ends_on, "endsOn")
    _check_ends(starts_on, new.ends_on)
    plan_id = new_id()
    await connection.execute(
        """
        INSERT INTO coaching_plans (id, team_id, user_id, coach_id, title, agenda, status, starts_on, ends_on,
            template_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        plan_id,
        viewer.team_id,
        new.user_id,
        viewer.user_id,
        checked_text(title, "title", TITLE_LIMIT, needed=True),
        checked_text(agenda, "agenda", TEXT_LIMIT),
        (PlanStatus.DRAFT if new.draft else PlanStatus.ACTIVE).value,
        starts_on,
        new.ends_on,
        new.template_id,
    )
    await _set_focus(connection, viewer.team_id, plan_id, focus)
    await set_co_coaches(connection, viewer.team_id, "plan_id", plan_id, circle.co_coach_ids)
    await _add_items(connection, viewer.team_id, plan_id, items, starts_on)
    return await read_plan(connection, viewer.team_id, plan_id)


def _check_ends(starts_on: date, ends_on: date | None) -> None:
    if ends_on is not None and ends_on < starts_on:
        raise Invalid("endsOn: not before the plan begins.", path=("input", "endsOn"))


async def _set_focus(connection: Connection, team_id: UUID, plan_id: UUID, focus: Sequence[Focus]) -> None:
    await connection.execute("DELETE FROM plan_focuses WHERE team_id = $1 AND plan_id = $2", team_id, plan_id)
    await connection.executemany(
        "INSERT INTO plan_focuses (id, team_id, plan_id, metric, target, position) VALUES ($1, $2, $3, $4, $5, $6)",
        [(new_id(), team_id, plan_id, one.metric, one.target, place) for place, one in enumerate(focus)],
    )


async def set_co_coaches(
    connection: Connection, team_id: UUID, column: str, subject_id: UUID, ids: frozenset[UUID]
) -> None:
    """Let exactly these people coach too.

    Args:
        connection: Where.
        team_id: The team.
        column: `plan_id`, `series_id` or `session_id`.
        subject_id: In which.
        ids: Who.
    """
    await connection.execute(
        f"DELETE FROM co_coaches WHERE team_id = $1 AND {column} = $2 AND user_id <> ALL ($3::uuid[])",
        team_id,
        subject_id,
        list(ids),
    )
    await connection.executemany(
        f"INSERT INTO co_coaches (id, team_id, {column}, user_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        [(new_id(), team_id, subject_id, one) for one in sorted(ids)],
    )


async def _add_items(
    connection: Connection, team_id: UUID, plan_id: UUID, items: Sequence[NewItem], starts_on: date
) -> None:
    def due(item: NewItem) -> date | None:
        return starts_on + timedelta(days=item.due_days) if item.due_days is not None else item.due_on

    await connection.executemany(
        "INSERT INTO plan_items (id, team_id, plan_id, title, due_on) VALUES ($1, $2, $3, $4, $5)",
        [(new_id(), team_id, plan_id, item.title, due(item)) for item in items],
    )


async def update_plan(
    connection: Connection, viewer: Viewer, plan_id: UUID, change: PlanChange, now: datetime, *, expected: int | None
) -> PlanView:
    """Change a plan, in the caller's transaction.

    Args:
        connection: Where.
        viewer: Who coaches in it.
        plan_id: The plan.
        change: What to change.
        now: The clock.
        expected: Refuse if the plan is not at this version any more.

    Raises:
        NotFound: there is no such plan for the viewer, or somebody named is not there.
        Forbidden: the viewer does not coach in it.
        Conflict: the version is another one.
        Invalid: a part does not fit.
    """
    view = await _locked(connection, viewer, plan_id)
    access_plans.require_coaching(viewer, view.circle, "plan")
    plan = view.plan
    if expected is not None and expected != plan.version:
        raise Conflict(
            f"expectedVersion: the plan is at version {plan.version} by now; look at it again.",
            path=("input", "expectedVersion"),
        )
    coach_id = change.coach_id or plan.coach_id
    given = frozenset(view.co_coach_ids) if change.co_coach_ids is None else change.co_coach_ids
    if coach_id != plan.coach_id:
        given -= {coach_id}
        if coach_id not in view.co_coach_ids:
            raise Invalid("coachId: a plan is handed on to one of its co-coaches.", path=("input", "coachId"))
    circle = Circle(plan.user_id, coach_id, given)
    if len(given) > MOST_CO_COACHES:
        raise Invalid(f"coCoachIds: at most {MOST_CO_COACHES}.", path=("input", "coCoachIds"))
    await access_plans.require_co_coaches(connection, viewer, circle, known=[*view.co_coach_ids, plan.coach_id])
    starts_on = change.starts_on or plan.starts_on
    ends_on = None if change.no_end else change.ends_on or plan.ends_on
    check_day(change.starts_on, "startsOn")
    check_day(change.ends_on, "endsOn")
    _check_ends(starts_on, ends_on)
    status = change.status or PlanStatus(plan.status)
    if status is PlanStatus.DRAFT and plan.status is not PlanStatus.DRAFT:
        raise Invalid("status: the rep knows of the plan already; it is no draft again.", path=("input", "status"))
    closed_on = plan.closed_on
    if status in (PlanStatus.COMPLETED, PlanStatus.ABANDONED):
        closed_on = closed_on or calendar_of(viewer).today(now)
    else:
        closed_on = None
    await connection.execute(
        """
        UPDATE coaching_plans SET coach_id = $3, title = $4, agenda = $5, status = $6, starts_on = $7, ends_on = $8,
            closed_on = $9, version = version + 1, changed_at = now() WHERE team_id = $1 AND id = $2
        """,
        viewer.team_id,
        plan_id,
        coach_id,
        plan.title if change.title is None else checked_text(change.title, "title", TITLE_LIMIT, needed=True),
        plan.agenda if change.agenda is None else checked_text(change.agenda, "agenda", TEXT_LIMIT),
        status.value,
        starts_on,
        ends_on,
        closed_on,
    )
    if change.focus is not None:
        _check_focus(change.focus)
        await _set_focus(connection, viewer.team_id, plan_id, change.focus)
    if given != frozenset(view.co_coach_ids):
        await set_co_coaches(connection, viewer.team_id, "plan_id", plan_id, given)
    return await read_plan(connection, viewer.team_id, plan_id)


async def _locked(connection: Connection, viewer: Viewer, plan_id: UUID, *, path: str = "planId") -> PlanView:
    """A plan that the viewer sees, held until the transaction ends."""
    await connection.execute(
        "SELECT 1 FROM coaching_plans WHERE team_id = $1 AND id = $2 FOR NO KEY UPDATE", viewer.team_id, plan_id
    )
    found = await plans_by_id(connection, await access_plans.see_plans(connection, viewer), [plan_id])
    if plan_id not in found:
        raise NotFound("No such coaching plan.", path=("input", path))
    return found[plan_id]


async def seen_plan(connection: Connection, viewer: Viewer, plan_id: UUID) -> PlanView:
    """A plan that the viewer sees.

    Raises:
        NotFound: there is none for the viewer.
    """
    found = await plans_by_id(connection, await access_plans.see_plans(connection, viewer), [plan_id])
    if plan_id not in found:
        raise NotFound("No such coaching plan.", path=("input", "planId"))
    return found[plan_id]


@dataclass(frozen=True, slots=True)
class ItemChange:
    """What to change of an action item; None leaves it as it is."""

    title: str | None = None
    due_on: date | None = None
    no_due: bool = False
    done: bool | None = None


async def add_item(connection: Connection, viewer: Viewer, plan_id: UUID, item: NewItem) -> PlanView:
    """Put something to do into a plan, in the caller's transaction.

    Raises:
        NotFound: there is no such plan for the viewer.
        Forbidden: the viewer does not coach in it.
        Invalid: it does not fit, or there are too many.
    """
    view = await _locked(connection, viewer, plan_id)
    access_plans.require_coaching(viewer, view.circle, "plan")
    checked = _check_items([item])
    if len(view.items) >= MOST_ITEMS:
        raise Invalid(f"A plan has at most {MOST_ITEMS} action items.", path=("input", "planId"))
    await _add_items(connection, viewer.team_id, plan_id, checked, view.plan.starts_on)
    return await read_plan(connection, viewer.team_id, plan_id)


async def update_item(connection: Connection, viewer: Viewer, item_id: UUID, change: ItemChange) -> PlanView:
    """Change an action item, in the caller's transaction. The rep may say that it is done, or is not; the rest is for
    who coaches.

    Raises:
        NotFound: there is no such item for the viewer.
        Forbidden: the viewer may not.
        Invalid: it does not fit.
    """
    view, item = await _item(connection, viewer, item_id)
    plain = change.title is None and change.due_on is None and not change.no_due
    if plain:
        access_plans.require_part(viewer, view.circle, "plan")
    else:
        access_plans.require_coaching(viewer, view.circle, "plan")
    check_day(change.due_on, "dueOn")
    await connection.execute(
        """
        UPDATE plan_items SET title = $3, due_on = $4,
            done_at = CASE WHEN $5::boolean IS NULL THEN done_at WHEN $5 THEN coalesce(done_at, now()) END,
            done_by_id = CASE WHEN $5::boolean IS NULL OR $5 AND done_at IS NOT NULL THEN done_by_id
                WHEN $5 THEN $6::uuid END
        WHERE team_id = $1 AND id = $2
        """,
        viewer.team_id,
        item_id,
        item.title if change.title is None else checked_text(change.title, "title", ITEM_LIMIT, needed=True),
        None if change.no_due else change.due_on or item.due_on,
        change.done,
        viewer.user_id,
    )
    return await read_plan(connection, viewer.team_id, view.plan.id)


async def remove_item(connection: Connection, viewer: Viewer, item_id: UUID) -> PlanView:
    """Take an action item out of its plan, in the caller's transaction.

    Raises:
        NotFound: there is no such item for the viewer.
        Forbidden: the viewer does not coach in the plan.
    """
    view, _item_found = await _item(connection, viewer, item_id)
    access_plans.require_coaching(viewer, view.circle, "plan")
    await connection.execute("DELETE FROM plan_items WHERE team_id = $1 AND id = $2", viewer.team_id, item_id)
    return await read_plan(connection, viewer.team_id, view.plan.id)


async def _item(connection: Connection, viewer: Viewer, item_id: UUID) -> tuple[PlanView, PlanItem]:
    missing = NotFound("No such action item.", path=("input", "itemId"))
    plan_id = await connection.fetchval(
        "SELECT plan_id FROM plan_items WHERE team_id = $1 AND id = $2", viewer.team_id, item_id
    )
    if plan_id is None:
        raise missing
    try:
        view = await _locked(connection, viewer, plan_id)
    except NotFound as error:
        raise missing from error
    found = next((item for item in view.items if item.id == item_id), None)
    if found is None:
        raise missing
    return view, found


async def read_plan(connection: Connection, team_id: UUID, plan_id: UUID) -> PlanView:
    """A plan of a team, with what belongs to it."""
    rows = await connection.fetch("SELECT * FROM coaching_plans WHERE team_id = $1 AND id = $2", team_id, plan_id)
    return (await _whole(connection, team_id, rows))[0]


async def plans_by_id(connection: Connection, sight: PlanSight, ids: Sequence[UUID]) -> dict[UUID, PlanView]:
    """Those of some plans that are in sight. Four statements, however many they are."""
    arguments: list[object] = [list(ids)]
    condition = sight.filter("p", arguments)
    rows = await connection.fetch(
        f"SELECT p.* FROM coaching_plans p WHERE p.id = ANY ($1::uuid[]) AND {condition}", *arguments
    )
    return {view.plan.id: view for view in await _whole(connection, sight.users.team_id, rows)}


async def list_plans(connection: Connection, sight: PlanSight, user_id: UUID | None) -> list[PlanView]:
    """Plans in sight, the newest first, at most `MOST_PLANS`: of a rep, or those in which the viewer takes part.

    Raises:
        NotFound: the rep has none in sight, and is not in sight either.
    """
    arguments: list[object] = []
    condition = sight.filter("p", arguments)
    arguments.append(user_id or sight.viewer_id)
    person = f"${len(arguments)}"
    if user_id is not None:
        condition += f" AND p.user_id = {person}"
    else:
        condition += f""" AND (p.user_id = {person} OR p.coach_id = {person} OR p.id IN (
            SELECT cc.plan_id FROM co_coaches cc WHERE cc.team_id = p.team_id AND cc.user_id = {person}))"""
    rows = await connection.fetch(
        f"SELECT p.* FROM coaching_plans p WHERE {condition} ORDER BY p.id DESC LIMIT {MOST_PLANS}", *arguments
    )
    if user_id is not None and not rows:
        access.require_seen(sight.users, user_id, "user", path=("userId",))
        known = await connection.fetchval(
            "SELECT EXISTS (SELECT 1 FROM users WHERE team_id = $1 AND id = $2)", sight.users.team_id, user_id
        )
        if not known:
            raise NotFound("No such user.", path=("userId",))
    return await _whole(connection, sight.users.team_id, rows)


async def _whole(connection: Connection, team_id: UUID, rows: Sequence[Any]) -> list[PlanView]:
    """Plans with what belongs to them: three statements. Served by co_coaches_plan_key, plan_focuses_metric_key and the
    index of plan_items."""
    ids = [row["id"] for row in rows]
    coaches: dict[UUID, list[UUID]] = {}
    focuses: dict[UUID, list[Focus]] = {}
    items: dict[UUID, list[PlanItem]] = {}
    if ids:
        for row in await connection.fetch(
            "SELECT plan_id, user_id FROM co_coaches WHERE team_id = $1 AND plan_id = ANY ($2::uuid[]) ORDER BY id",
            team_id,
            ids,
        ):
            coaches.setdefault(row["plan_id"], []).append(row["user_id"])
        for row in await connection.fetch(
            "SELECT plan_id, metric, target FROM plan_focuses WHERE team_id = $1 AND plan_id = ANY ($2::uuid[]) "
            "ORDER BY position",
            team_id,
            ids,
        ):
            focuses.setdefault(row["plan_id"], []).append(Focus(row["metric"], row["target"]))
        for row in await connection.fetch(
            "SELECT * FROM plan_items WHERE team_id = $1 AND plan_id = ANY ($2::uuid[]) ORDER BY id", team_id, ids
        ):
            items.setdefault(row["plan_id"], []).append(PlanItem._init_from_db(**dict(row)))
    return [
        PlanView(
            CoachingPlan._init_from_db(**dict(row)),
            tuple(coaches.get(row["id"], ())),
            tuple(focuses.get(row["id"], ())),
            tuple(items.get(row["id"], ())),
        )
        for row in rows
    ]


def focus_of_json(told: Sequence[Mapping[str, Any]]) -> list[Focus]:
    """The focus of a template; metrics that there are no more are left out."""
    return [
        Focus(one["metric"], None if one.get("target") is None else Decimal(one["target"]))
        for one in told
        if one["metric"] in METRICS
    ]


def items_of_json(told: Sequence[Mapping[str, Any]]) -> list[NewItem]:
    """The action items of a template."""
    return [NewItem(one["title"], due_days=one.get("dueDays")) for one in told]


@dataclass(frozen=True, slots=True)
class NewTemplate:
    """A template to be made, or as it is to be."""

    name: str
    agenda: str | None = None
    focus: tuple[Focus, ...] = ()
    items: tuple[NewItem, ...] = ()


async def save_template(
    connection: Connection, viewer: Viewer, new: NewTemplate, template_id: UUID | None = None
) -> CoachingTemplate:
    """Make a template, or put another in an old one's place, in the caller's transaction.

    Raises:
        Forbidden: the viewer lacks `TEAM_VIEW`, or the template is somebody else's and they lack `MANAGE_TEAM`.
        NotFound: there is no such template.
        Conflict: another one has the name.
        Invalid: a part does not fit.
    """
    access.require(viewer, Permission.TEAM_VIEW)
    if template_id is not None:
        old = await _template(connection, viewer, template_id)
        access_plans.require_template_change(viewer, old.created_by_id)
    name = checked_text(new.name, "name", TITLE_LIMIT, needed=True)
    _check_focus(new.focus)
    items = _check_items(new.items)
    if any(item.due_on is not None for item in items):
        raise Invalid("items: a template says days after the start (dueDays).", path=("input", "items"))
    focus = [{"metric": one.metric, "target": None if one.target is None else str(one.target)} for one in new.focus]
    try:
        # coaching_templates_name_key decides, so that of two at once one is told.
        async with connection.transaction():
            row = await connection.fetchrow(
                """
                INSERT INTO coaching_templates (id, team_id, name, agenda, focus, items, created_by_id)
                VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb, $7)
                ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, agenda = EXCLUDED.agenda, focus = EXCLUDED.focus,
                    items = EXCLUDED.items, changed_at = now() RETURNING *
                """,
                template_id or new_id(),
                viewer.team_id,
                name,
                checked_text(new.agenda, "agenda", TEXT_LIMIT),
                orjson.dumps(focus).decode(),
                orjson.dumps([{"title": item.title, "dueDays": item.due_days} for item in items]).decode(),
                viewer.user_id,
            )
    except asyncpg.UniqueViolationError as error:
        raise Conflict("name: another template has it.", path=("input", "name")) from error
    assert row is not None
    return CoachingTemplate._init_from_db(**dict(row))


async def remove_template(connection: Connection, viewer: Viewer, template_id: UUID) -> None:
    """Forget a template; plans made from it stay.

    Raises:
        Forbidden: it is somebody else's and the viewer lacks `MANAGE_TEAM`.
        NotFound: there is no such template.
    """
    old = await _template(connection, viewer, template_id)
    access_plans.require_template_change(viewer, old.created_by_id)
    await connection.execute(
        "DELETE FROM coaching_templates WHERE team_id = $1 AND id = $2", viewer.team_id, template_id
    )


async def _template(connection: Connection, viewer: Viewer, template_id: UUID) -> CoachingTemplate:
    found = await templates_by_id(connection, viewer, [template_id])
    if template_id not in found:
        raise NotFound("No such template.", path=("input", "templateId"))
    return found[template_id]


async def templates_by_id(connection: Connection, viewer: Viewer, ids: Sequence[UUID]) -> dict[UUID, CoachingTemplate]:
    """Templates of the team, for who may coach; none for others."""
    if not access.may(viewer, Permission.TEAM_VIEW):
        return {}
    rows = await connection.fetch(
        "SELECT * FROM coaching_templates WHERE team_id = $1 AND id = ANY ($2::uuid[])", viewer.team_id, list(ids)
    )
    return {row["id"]: CoachingTemplate._init_from_db(**dict(row)) for row in rows}


async def list_templates(connection: Connection, viewer: Viewer) -> list[CoachingTemplate]:
    """The team's templates by name, at most `MOST_PLANS`.

    Raises:
        Forbidden: the viewer lacks `TEAM_VIEW`.
    """
    access.require(viewer, Permission.TEAM_VIEW)
    rows = await connection.fetch(
        f"SELECT * FROM coaching_templates WHERE team_id = $1 ORDER BY lower(name) LIMIT {MOST_PLANS}", viewer.team_id
    )
    return [CoachingTemplate._init_from_db(**dict(row)) for row in rows]
