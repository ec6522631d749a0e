"""The schema: thin types over the models, a data loader for each reference, a GROUP BY for the sums."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar
from uuid import UUID

import strawberry
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.scalars import ID
from tortoise.expressions import Q
from tortoise.functions import Sum

from bench.plain import models
from bench.plain.models import SUMS

Node = TypeVar("Node")


class Loaders:
    """One for each reference; made anew for every request."""

    def __init__(self) -> None:
        self.groups = DataLoader(load_fn=_groups)
        self.users = DataLoader(load_fn=_users)
        self.versions = DataLoader(load_fn=_versions)


async def _groups(ids: list[UUID]) -> list[models.Group | None]:
    found = await models.Group.in_bulk(ids, "id")
    return [found.get(one) for one in ids]


async def _users(ids: list[UUID]) -> list[models.User | None]:
    found = await models.User.in_bulk(ids, "id")
    return [found.get(one) for one in ids]


async def _versions(ids: list[UUID]) -> list[list[models.GoalVersion]]:
    found = defaultdict(list)
    for row in await models.GoalVersion.filter(goal_id__in=ids).order_by("version"):
        found[row.goal_id].append(row)
    return [found[one] for one in ids]


@strawberry.type
class PageInfo:
    """Whether there is more."""

    has_next_page: bool
    end_cursor: str | None


@strawberry.type
class Connection(Generic[Node]):
    """A page."""

    nodes: list[Node]
    page_info: PageInfo


def _page_info(found: Sequence[Any], first: int, end: str | None) -> PageInfo:
    return PageInfo(has_next_page=len(found) > first, end_cursor=end)


def _cursor(*values: Any) -> str:
    return base64.b64encode("\n".join(map(str, values)).encode()).decode()


def _values(cursor: str) -> list[str]:
    return base64.b64decode(cursor).decode().split("\n")


@strawberry.type
class Group:
    """A group."""

    id: ID
    name: str

    @classmethod
    def of(cls, row: models.Group) -> Group:
        """From a row."""
        return cls(id=ID(str(row.id)), name=row.name)


@strawberry.type
class User:
    """A person."""

    id: ID
    name: str
    email: str
    active: bool
    group_id: strawberry.Private[UUID | None]

    @classmethod
    def of(cls, row: models.User) -> User:
        """From a row."""
        return cls(id=ID(str(row.id)), name=row.name, email=row.email, active=row.active, group_id=row.group_id)

    @strawberry.field
    async def group(self, info: strawberry.Info) -> Group | None:
        """The person's group."""
        if self.group_id is None:
            return None
        row = await info.context["loaders"].groups.load(self.group_id)
        return None if row is None else Group.of(row)


@strawberry.type
class Activity:
    """Something that happened."""

    id: ID
    kind: str
    occurred_at: datetime
    source: str
    external_id: str
    duration_seconds: int | None
    connected: bool | None
    disposition: str | None
    user_id: strawberry.Private[UUID]

    @classmethod
    def of(cls, row: models.Activity) -> Activity:
        """From a row."""
        return cls(
            id=ID(str(row.id)),
            kind=row.kind,
            occurred_at=row.occurred_at,
            source=row.source,
            external_id=row.external_id,
            duration_seconds=row.duration_seconds,
            connected=row.connected,
            disposition=row.disposition,
            user_id=row.user_id,
        )

    @strawberry.field
    async def user(self, info: strawberry.Info) -> User:
        """Who did it."""
        return User.of(await info.context["loaders"].users.load(self.user_id))


@strawberry.type
class GoalVersion:
    """A version of a goal."""

    version: int
    target: Decimal
    effective_from: date
    effective_to: date | None


@strawberry.type
class Goal:
    """A goal."""

    id: ID
    metric: str
    period: str
    user_id: strawberry.Private[UUID | None]

    @strawberry.field
    async def user(self, info: strawberry.Info) -> User | None:
        """Whose."""
        return None if self.user_id is None else User.of(await info.context["loaders"].users.load(self.user_id))

    @strawberry.field
    async def versions(self, info: strawberry.Info) -> list[GoalVersion]:
        """Its versions."""
        return [
            GoalVersion(
                version=row.version,
                target=row.target,
                effective_from=row.effective_from,
                effective_to=row.effective_to,
            )
            for row in await info.context["loaders"].versions.load(UUID(self.id))
        ]


@strawberry.type
class RepSums:
    """A rep's numbers over a range."""

    rank: int
    user_id: strawberry.Private[UUID]
    emails_sent: int
    emails_replied: int
    calls_logged: int
    calls_connected: int
    meetings_booked: int
    meetings_held: int
    conversations_recorded: int
    tasks_completed: int
    closed_won_count: int
    closed_won_amount: Decimal

    @strawberry.field
    async def user(self, info: strawberry.Info) -> User:
        """Who."""
        return User.of(await info.context["loaders"].users.load(self.user_id))


@strawberry.type
class Query:
    """What can be asked."""

    @strawberry.field
    async def user(self, id: ID) -> User | None:
        """A person."""
        row = await models.User.get_or_none(id=UUID(id))
        return None if row is None else User.of(row)

    @strawberry.field
    async def users(self, team_id: ID, first: int, after: str | None = None) -> Connection[User]:
        """People by name."""
        rows = models.User.filter(team_id=UUID(team_id)).order_by("name", "id").limit(first + 1)
        if after is not None:
            name, user_id = _values(after)
            rows = rows.filter(Q(name__gt=name) | Q(name=name, id__gt=user_id))
        found = await rows
        page = found[:first]
        end = _cursor(page[-1].name, page[-1].id) if page else None
        return Connection(
            nodes=[User.of(row) for row in page], page_info=PageInfo(has_next_page=len(found) > first, end_cursor=end)
        )

    @strawberry.field
    async def activities(
        self, team_id: ID, first: int, kind: str | None = None, after: str | None = None
    ) -> Connection[Activity]:
        """Activities, the newest first."""
        rows = models.Activity.filter(team_id=UUID(team_id)).order_by("-occurred_at", "-id").limit(first + 1)
        if kind is not None:
            rows = rows.filter(kind=kind)
        if after is not None:
            at, activity_id = _values(after)
            rows = rows.filter(Q(occurred_at__lt=at) | Q(occurred_at=at, id__lt=activity_id))
        found = await rows
        page = found[:first]
        end = _cursor(page[-1].occurred_at.isoformat(), page[-1].id) if page else None
        return Connection(
            nodes=[Activity.of(row) for row in page],
            page_info=PageInfo(has_next_page=len(found) > first, end_cursor=end),
        )

    @strawberry.field
    async def goals(self, team_id: ID, metric: str, first: int, after: str | None = None) -> Connection[Goal]:
        """Goals."""
        rows = models.Goal.filter(team_id=UUID(team_id), metric=metric).order_by("id").limit(first + 1)
        if after is not None:
            rows = rows.filter(id__gt=_values(after)[0])
        found = await rows
        page = found[:first]
        nodes = [Goal(id=ID(str(row.id)), metric=row.metric, period=row.period, user_id=row.user_id) for row in page]
        end = _cursor(page[-1].id) if page else None
        return Connection(nodes=nodes, page_info=_page_info(found, first, end))

    @strawberry.field
    async def dashboard(self, team_id: ID, first_month: date, last_month: date) -> list[RepSums]:
        """Sums of every rep over whole months, the most won first."""
        rows = (
            await models.Month.filter(team_id=UUID(team_id), month__gte=first_month, month__lte=last_month)
            .annotate(**{f"total_{name}": Sum(name) for name in SUMS})
            .group_by("user_id")
            .order_by("-total_closed_won_amount")
            .values("user_id", *(f"total_{name}" for name in SUMS))
        )
        ranks: dict[Decimal, int] = {}
        for place, row in enumerate(rows, 1):
            ranks.setdefault(row["total_closed_won_amount"], place)
        return [
            RepSums(
                rank=ranks[row["total_closed_won_amount"]],
                user_id=row["user_id"],
                **{name: row[f"total_{name}"] for name in SUMS},
            )
            for row in rows
        ]


schema = strawberry.Schema(Query, extensions=[ParserCache, ValidationCache])
