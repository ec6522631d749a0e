"""Teams, users, groups and roles."""

from datetime import date
from typing import TYPE_CHECKING, Annotated

import strawberry

from api.context import Context
from api.object_plans import refers_to
from api.schema.nodes import Connection, Node, connection_read, global_id
from domain import models, people
from domain.access import Sight
from domain.goal_events import GoalFilter
from domain.ids import decode_id
from domain.paging import page_request
from domain.people import UserFilter as DomainUserFilter
from domain.people import UserOrder as DomainUserOrder

if TYPE_CHECKING:
    from api.schema.accolades import Accolade
    from api.schema.activities import Activity, ActivityFilter
    from api.schema.dashboards import Comparison, RangeInput
    from api.schema.goals import Goal
    from api.schema.scores import Score
    from api.schema.team import DaysOff

Info = strawberry.Info[Context]

Permission = strawberry.enum(
    models.Permission,
    name="Permission",
    description="What a role may allow. Admin has all of them, User none.",
)


UserOrder = strawberry.enum(DomainUserOrder, name="UserOrder", description="How a list of users is sorted.")


@strawberry.type(description="A named set of permissions.")
class Role(Node):
    name: str = strawberry.field(description="What the team calls it.")
    permissions: list[Permission] = strawberry.field(description="What it allows; all of them for Admin.")
    built_in: bool = strawberry.field(description="Whether it is Admin or User, which cannot be edited.")

    @classmethod
    def of(cls, row: models.Role) -> "Role":
        allowed = models.Permission if row.is_admin else [models.Permission(name) for name in row.permissions]
        return cls(id=global_id("Role", row.id), name=row.name, permissions=list(allowed), built_in=row.built_in)


@strawberry.type(description="A customer's organization: the tenant.")
class Team(Node):
    name: str = strawberry.field(description="What it is called.")
    timezone: str = strawberry.field(description="IANA name of the time zone that decides what a local day is.")
    currency: str = strawberry.field(description="ISO 4217 code of the currency that money is shown in.")


@strawberry.type(description="A person on the team.")
class User(Node):
    name: str = strawberry.field(description="The person's name.")
    email: str = strawberry.field(description="The person's email address, unique in the team.")
    active: bool = strawberry.field(description="Whether the person still works with the team.")
    erased: bool = strawberry.field(description="Whether the person's data was erased on request; the numbers stay.")
    is_rep: bool = strawberry.field(description="Whether the person is listed among the reps even without activity.")
    deals_access: bool = strawberry.field(description="Whether the person has a seat for deals.")
    row: strawberry.Private[models.User]

    @classmethod
    def of(cls, row: models.User) -> "User":
        return cls(
            id=global_id("User", row.id),
            name=row.name,
            email=row.email,
            active=row.active,
            erased=row.erased_at is not None,
            is_rep=row.is_rep,
            deals_access=row.deals_access,
            row=row,
        )

    @strawberry.field(description="The group that the person is a member of.")
    @refers_to(lambda context: context.groups, lambda user: user.row.group_id)
    async def group(self, info: Info) -> "Group | None":
        if self.row.group_id is None:
            return None
        row = await info.context.groups.load(self.row.group_id)
        return None if row is None else Group.of(row)

    @strawberry.field(description="The person's manager; null where the viewer may not see the manager.")
    @refers_to(lambda context: context.users, lambda user: user.row.manager_id)
    async def manager(self, info: Info) -> "User | None":
        if self.row.manager_id is None:
            return None
        row = await info.context.users.load(self.row.manager_id)
        return None if row is None else User.of(row)

    @strawberry.field(description="The person's role.")
    @refers_to(lambda context: context.roles, lambda user: user.row.role_id)
    async def role(self, info: Info) -> Role:
        row = await info.context.roles.load(self.row.role_id)
        assert row is not None
        return Role.of(row)

    @strawberry.field(description="What the person did, the newest first.")
    async def activities(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        filter: Annotated["ActivityFilter", strawberry.lazy("api.schema.activities")] | None = None,
    ) -> Connection[Annotated["Activity", strawberry.lazy("api.schema.activities")]]:
        from api.resolvers.activities import activities_of

        return await activities_of(info, page_request(first, after), filter, user_id=self.row.id)

    @strawberry.field(description="The person's goals, where the viewer may see them.")
    async def goals(
        self, info: Info, first: int | None = None, after: str | None = None
    ) -> Connection[Annotated["Goal", strawberry.lazy("api.schema.goals")]]:
        from api.resolvers.goals import goals_connection

        return await goals_connection(info.context, GoalFilter(user_ids=(self.row.id,)), first, after)

    @strawberry.field(
        description="The person's scores over a range, this month without one, of each kind that the role has; none "
        "where the viewer may not see the person's data."
    )
    async def scores(
        self,
        info: Info,
        range: Annotated["RangeInput", strawberry.lazy("api.schema.dashboards")] | None = None,
        compare: Annotated["Comparison", strawberry.lazy("api.schema.dashboards")] | None = None,
    ) -> list[Annotated["Score", strawberry.lazy("api.schema.scores")]]:
        from api.resolvers.scores import ask_scores
        from api.schema.scores import scores_of

        return await scores_of(ask_scores(info.context, range, compare), self.row.id)

    @strawberry.field(
        description="What the person has earned, the newest first; none where the viewer may not see the person's data."
    )
    async def accolades(
        self, info: Info, first: int | None = None, after: str | None = None
    ) -> Connection[Annotated["Accolade", strawberry.lazy("api.schema.accolades")]]:
        from api.resolvers.accolades import accolades_connection
        from domain.accolades import AccoladeFilter

        return await accolades_connection(info.context, AccoladeFilter(user_ids=(self.row.id,)), first, after)

    @strawberry.field(description="The person's days off in a range, where the viewer may see the person's goals.")
    async def days_off(
        self,
        info: Info,
        first: Annotated[date, strawberry.argument(name="from")],
        last: Annotated[date, strawberry.argument(name="to")],
    ) -> list[Annotated["DaysOff", strawberry.lazy("api.schema.team")]]:
        from api.resolvers.team import list_days_off

        return await list_days_off(info.context, self.row.id, first, last)


@strawberry.type(description="A node of the team's tree of groups.")
class Group(Node):
    name: str = strawberry.field(description="What it is called.")
    row: strawberry.Private[models.Group]

    @classmethod
    def of(cls, row: models.Group) -> "Group":
        return cls(id=global_id("Group", row.id), name=row.name, row=row)

    @strawberry.field(description="The group above; null at the top, and where the viewer may not see it.")
    async def parent(self, info: Info) -> "Group | None":
        sight = await info.context.groups_in_sight()
        parent_id = self.row.parent_id
        if parent_id is None or not sight.sees(self.row.team_id, parent_id):
            return None
        row = await info.context.groups.load(parent_id)
        return None if row is None else Group.of(row)

    @strawberry.field(description="The members of this very group that the viewer may see, by name.")
    async def members(self, info: Info, first: int | None = None, after: str | None = None) -> Connection[User]:
        sight = await info.context.users_in_sight()
        wanted = DomainUserFilter(direct_group_id=self.row.id)
        return await users_connection(info.context, sight, wanted, DomainUserOrder.NAME, first, after)

    @strawberry.field(description="The group's goals, own or derived, where the viewer may see them.")
    async def goals(
        self, info: Info, first: int | None = None, after: str | None = None
    ) -> Connection[Annotated["Goal", strawberry.lazy("api.schema.goals")]]:
        from api.resolvers.goals import goals_connection

        return await goals_connection(info.context, GoalFilter(group_ids=(self.row.id,)), first, after)


@strawberry.input(description="Which users; all conditions must hold.")
class UserFilter:
    search: str | None = strawberry.field(default=None, description="A part of the name or email, in any case.")
    group_id: strawberry.ID | None = strawberry.field(
        default=None, description="Members of this group and of all groups below it."
    )
    active: bool | None = strawberry.field(default=None, description="Only active users, or only inactive ones.")

    def to_domain(self) -> DomainUserFilter:
        group_id = None if self.group_id is None else decode_id(self.group_id, "Group", path=("filter", "groupId"))
        return DomainUserFilter(search=self.search, group_id=group_id, active=self.active)


async def users_connection(
    context: Context,
    sight: Sight,
    wanted: DomainUserFilter,
    order: DomainUserOrder,
    first: int | None,
    after: str | None,
    last: int | None = None,
    before: str | None = None,
) -> Connection[User]:
    """A page of users in sight."""

    request = page_request(first, after, last, before)
    return await connection_read(
        context.acquire,
        lambda connection: people.list_users(connection, sight, wanted, order, request),
        lambda connection: people.count_users(connection, sight, wanted),
        User.of,
    )
