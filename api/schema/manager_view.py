"""The tab Manager View."""

from datetime import date, datetime
from uuid import UUID

import strawberry

from api.permissions import requires
from api.schema.dashboards import RangeInput
from api.schema.fields import Info, reading
from api.schema.people import User
from api.selections import asks_for, fields_below
from domain import manager_view
from domain.models.people import Permission


async def _seen(info: Info, user_id: UUID) -> User:
    row = await info.context.users.load(user_id)
    assert row is not None, "manager and reps are in sight"
    return User.of(row)


@strawberry.type(
    description="What a manager did for a rep within the range. Of sessions nothing but the count is told."
)
class RepCoaching:
    is_report: bool = strawberry.field(description="Whether the rep reports to the manager.")
    conversations_reviewed: int = strawberry.field(description="Conversations reviewed.")
    scorecards_filled: int = strawberry.field(description="Scorecards filled as a manager.")
    comments: int = strawberry.field(description="Comments written.")
    sessions_held: int = strawberry.field(description="Sessions held.")
    plans: int = strawberry.field(description="Coaching plans with the manager that ran within the range.")
    row: strawberry.Private[manager_view.RepCoaching]

    @classmethod
    def of(cls, row: manager_view.RepCoaching) -> "RepCoaching":
        return cls(
            is_report=row.report,
            conversations_reviewed=row.coaching.conversations_reviewed,
            scorecards_filled=row.coaching.scorecards_filled,
            comments=row.coaching.comments,
            sessions_held=row.coaching.sessions_held,
            plans=row.plans,
            row=row,
        )

    @strawberry.field(description="The rep.")
    async def user(self, info: Info) -> User:
        return await _seen(info, self.row.user_id)


@strawberry.type(description="What a manager did within the range, for reps whom the viewer sees.")
class ManagerActivity:
    conversations_reviewed: int = strawberry.field(description="Conversations reviewed.")
    scorecards_filled: int = strawberry.field(description="Scorecards filled as a manager.")
    comments: int = strawberry.field(description="Comments on reps' film.")
    sessions_held: int = strawberry.field(description="Sessions held as the coach; the count alone is told.")
    reps_coached: int = strawberry.field(description="Reps for whom there was any of these.")
    plans: int = strawberry.field(description="Coaching plans of theirs that ran within the range.")
    focus_better: int = strawberry.field(description="Focus metrics of those plans that went better than with peers.")
    focus_worse: int = strawberry.field(description="Focus metrics of those plans that went worse than with peers.")
    focus_unclear: int = strawberry.field(description="Focus metrics whose interval does not say.")
    focus_untold: int = strawberry.field(description="Focus metrics without an interval.")
    reps: list[RepCoaching] = strawberry.field(description="By rep: their reports, and whom else they coached.")
    row: strawberry.Private[manager_view.ManagerRow]

    @classmethod
    def of(cls, row: manager_view.ManagerRow) -> "ManagerActivity":
        return cls(
            conversations_reviewed=row.total.conversations_reviewed,
            scorecards_filled=row.total.scorecards_filled,
            comments=row.total.comments,
            sessions_held=row.total.sessions_held,
            reps_coached=row.reps_coached,
            plans=row.plans,
            focus_better=row.outcomes.better,
            focus_worse=row.outcomes.worse,
            focus_unclear=row.outcomes.unclear,
            focus_untold=row.outcomes.untold,
            reps=[RepCoaching.of(rep) for rep in row.reps],
            row=row,
        )

    @strawberry.field(description="The manager.")
    async def manager(self, info: Info) -> User:
        return await _seen(info, self.row.manager_id)


@strawberry.type(description="A rep whom nobody has coached lately.")
class NotCoached:
    last_coached_at: datetime | None = strawberry.field(description="When somebody last did; null: not in a year.")
    user_id: strawberry.Private[UUID]

    @strawberry.field(description="The rep.")
    async def user(self, info: Info) -> User:
        return await _seen(info, self.user_id)


@strawberry.type(description="Who coaches whom, how much, and does it show.")
class ManagerView:
    from_: date = strawberry.field(name="from", description="The first day of the range.")
    to: date = strawberry.field(description="The last day of the range.")
    managers: list[ManagerActivity] = strawberry.field(description="The managers in sight, by name; at most 500.")
    not_coached_count: int = strawberry.field(description="How many reps nobody has coached lately.")
    view: strawberry.Private[manager_view.ManagerView]

    @classmethod
    def of(cls, view: manager_view.ManagerView) -> "ManagerView":
        return cls(
            from_=view.days.first,
            to=view.days.last,
            managers=[ManagerActivity.of(row) for row in view.managers],
            not_coached_count=view.not_coached_count,
            view=view,
        )

    @strawberry.field(description="Reps whom nobody has coached lately, the longest ago first; at most 500.")
    async def not_coached_lately(self, info: Info) -> list[User]:
        rows = await info.context.users.load_many([user_id for user_id, _at in self.view.not_coached])
        return [User.of(row) for row in rows if row is not None]

    @strawberry.field(description="The same, with when somebody last did.")
    def not_coached(self) -> list[NotCoached]:
        return [NotCoached(last_coached_at=at, user_id=user_id) for user_id, at in self.view.not_coached]


@strawberry.type
class ManagerViewQuery:
    @reading("The tab Manager View: coaching by and for whom the viewer sees.", requires(Permission.TEAM_VIEW))
    async def manager_view(
        self, info: Info, range: RangeInput, not_coached_days: int | None = manager_view.DEFAULT_DAYS
    ) -> ManagerView:
        from api.resolvers.manager_view import ask

        return await ask(info.context, range, not_coached_days, by_rep=asks_for(fields_below(info), {"reps"}))
