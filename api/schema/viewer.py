"""Who is asking, and what will work for them."""

from datetime import datetime

import strawberry

from api.context import Context
from api.schema.nodes import global_id
from api.schema.people import Permission, Team, User
from domain import access, models

Info = strawberry.Info[Context]

Tab = strawberry.enum(access.Tab, name="Tab", description="The tabs of coaching.")


@strawberry.type(description="What of coaching will work for the viewer, so that an app draws just that.")
class CoachingAccess:
    landing_tab: Tab = strawberry.field(description="The tab that coaching opens on.")
    tabs: list[Tab] = strawberry.field(description="The tabs that are there.")
    can_filter_by_user: bool = strawberry.field(description="Whether the user filter is there.")
    can_filter_by_group: bool = strawberry.field(description="Whether the group filter is there.")
    can_manage_goals: bool = strawberry.field(description="Whether the goals settings page is there.")


@strawberry.type(description="Who is asking.")
class Viewer:
    permissions: list[Permission] = strawberry.field(description="What the viewer's role allows.")
    coaching: CoachingAccess = strawberry.field(description="What of coaching will work.")
    team: Team = strawberry.field(description="The viewer's team.")
    token_expires_at: datetime | None = strawberry.field(description="When the credential ends; null if it does not.")

    @strawberry.field(description="The viewer as a user.")
    async def user(self, info: Info) -> User:
        found = await info.context.users.load(info.context.viewer.user_id)
        assert found is not None, "everybody sees themselves"
        return User.of(found)

    @classmethod
    def of(cls, viewer: access.Viewer) -> "Viewer":
        landing_tab, tabs = access.coaching_tabs(viewer)
        team_view = access.may(viewer, models.Permission.TEAM_VIEW)
        return cls(
            permissions=[permission for permission in models.Permission if access.may(viewer, permission)],
            coaching=CoachingAccess(
                landing_tab=landing_tab,
                tabs=list(tabs),
                can_filter_by_user=team_view,
                can_filter_by_group=team_view,
                can_manage_goals=access.may_manage_goals(viewer),
            ),
            team=team_of(viewer),
            token_expires_at=viewer.expires_at,
        )


def team_of(viewer: access.Viewer) -> Team:
    """The viewer's team."""
    return Team(
        id=global_id("Team", viewer.team_id),
        name=viewer.team_name,
        timezone=viewer.timezone,
        currency=viewer.currency,
    )
