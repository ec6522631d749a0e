"""The kinds of action that people schedule: what each needs, and whether it fits, checked before it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import access, actions, webhooks
from domain.access import Viewer
from domain.access_actions import require_action_change
from domain.errors import Invalid, ItemError, NotFound, Refused
from domain.goals import LARGEST_TARGET, SUBJECTS_LIMIT
from domain.metrics import METRICS
from domain.models.goals import GoalPeriod
from domain.periods import NamedRange

if TYPE_CHECKING:
    from domain.database import Connection

MADE_KINDS = (
    actions.GOAL_REMINDER,
    actions.DIGEST,
    actions.REPORT_SNAPSHOT,
    actions.GOAL_ROLLOVER,
    actions.SYNC,
)
"""What people make; the rest is made by what it belongs to: sessions, and the systems that report upcoming work."""
DEFAULT_TITLES: Mapping[str, str] = {
    actions.GOAL_REMINDER: "How your goals stand",
    actions.DIGEST: "Digest",
    actions.REPORT_SNAPSHOT: "Snapshot of the dashboard",
    actions.GOAL_ROLLOVER: "New goals",
    actions.SYNC: "Sync",
}
SNAPSHOT_DAYS = 30
LONGEST_SNAPSHOT_DAYS = 366
LARGEST_GROWTH = Decimal(100)


@dataclass(frozen=True, slots=True)
class RollOver:
    """Which goals are set anew when it is due, from that day on.

    Args:
        metric: The metric's key.
        period: Per what.
        target: To this; None: to the newest target times `growth`.
        growth: A factor above 0; 1 renews a goal as it was.
        user_ids: Whose.
        group_ids: Of which groups.
        team: Whether the team's.
    """

    metric: str
    period: GoalPeriod
    target: Decimal | None = None
    growth: Decimal | None = None
    user_ids: tuple[UUID, ...] = ()
    group_ids: tuple[UUID, ...] = ()
    team: bool = False


@dataclass(frozen=True, slots=True)
class KindOptions:
    """What an action of a kind is asked for; what does not belong to its kind is refused.

    Args:
        only_behind: A goal reminder goes out only if a goal is at risk or behind.
        range: What a digest or a snapshot looks back on.
        endpoint_id: The webhook endpoint that a digest goes to; None: by mail.
        group_id: A snapshot's group.
        metrics: A snapshot's metrics; None for all.
        mail: Whether a snapshot is mailed too.
        keep_days: How long a snapshot is kept.
        roll_over: What is rolled over.
        integration_id: What is synced.
    """

    only_behind: bool | None = None
    range: NamedRange | None = None
    endpoint_id: UUID | None = None
    group_id: UUID | None = None
    metrics: tuple[str, ...] | None = None
    mail: bool | None = None
    keep_days: int | None = None
    roll_over: RollOver | None = None
    integration_id: UUID | None = None


_OPTIONS: Mapping[str, frozenset[str]] = {
    actions.GOAL_REMINDER: frozenset({"only_behind"}),
    actions.DIGEST: frozenset({"range", "endpoint_id"}),
    actions.REPORT_SNAPSHOT: frozenset({"range", "group_id", "metrics", "mail", "keep_days"}),
    actions.GOAL_ROLLOVER: frozenset({"roll_over"}),
    actions.SYNC: frozenset({"integration_id"}),
}


@dataclass(frozen=True, slots=True)
class Made:
    """An action's arguments, and whose it is: those that were named, or somebody whom the kind decides."""

    arguments: Mapping[str, Any]
    user_ids: tuple[UUID | None, ...]


async def check_kind(
    connection: Connection, viewer: Viewer, kind: str, options: KindOptions, user_ids: Sequence[UUID]
) -> Made:
    """What an action of a kind is kept with.

    Args:
        connection: Where to look.
        viewer: Who makes it.
        kind: One of `MADE_KINDS`.
        options: What it is asked for.
        user_ids: Whose it is to be; none: the viewer's.

    Raises:
        Invalid: an option does not fit the kind.
        NotFound: what an option names is not in sight.
        Forbidden: the viewer may not have it done.
    """
    if kind not in _OPTIONS:
        raise Invalid(f"kind: choose one of {', '.join(MADE_KINDS)}.", path=("input", "kind"))
    given = {name for name in KindOptions.__dataclass_fields__ if getattr(options, name) is not None}
    if foreign := sorted(given - _OPTIONS[kind]):
        name = _input_name(foreign[0])
        raise Invalid(f"{name}: does not belong to a {kind.replace('_', ' ')}.", path=("input", name))
    named = tuple(user_ids) or (viewer.user_id,)
    if kind == actions.GOAL_REMINDER:
        return Made({"only_behind": bool(options.only_behind)}, named)
    if kind == actions.DIGEST:
        return await _digest(connection, viewer, options, user_ids)
    if kind == actions.REPORT_SNAPSHOT:
        return await _snapshot(connection, viewer, options, named)
    if user_ids and named != (viewer.user_id,):
        raise Invalid(f"userIds: a {kind.replace('_', ' ')} is its maker's own.", path=("input", "userIds"))
    if kind == actions.GOAL_ROLLOVER:
        return await _roll_over(connection, viewer, options.roll_over)
    return await _sync(connection, viewer, options.integration_id)


def _input_name(option: str) -> str:
    first, *rest = option.split("_")
    return first + "".join(part.title() for part in rest)


async def _digest(connection: Connection, viewer: Viewer, options: KindOptions, user_ids: Sequence[UUID]) -> Made:
    arguments: dict[str, Any] = {"range": (options.range or NamedRange.YESTERDAY).value}
    if options.endpoint_id is None:
        return Made(arguments, tuple(user_ids) or (viewer.user_id,))
    endpoint = await webhooks.find_endpoint(connection, viewer, options.endpoint_id)
    if endpoint is None:
        raise NotFound("No such webhook endpoint.", path=("input", "endpointId"))
    if user_ids and tuple(user_ids) != (endpoint.owner_id,):
        raise Invalid(
            "userIds: a webhook endpoint is told what its owner may see; leave this out.", path=("input", "userIds")
        )
    require_action_change(viewer, endpoint.owner_id)
    return Made({**arguments, "endpoint": str(endpoint.id)}, (endpoint.owner_id,))


async def _snapshot(connection: Connection, viewer: Viewer, options: KindOptions, user_ids: tuple[UUID, ...]) -> Made:
    keep_days = options.keep_days if options.keep_days is not None else SNAPSHOT_DAYS
    if not 1 <= keep_days <= LONGEST_SNAPSHOT_DAYS:
        raise Invalid(f"keepDays: from 1 to {LONGEST_SNAPSHOT_DAYS}.", path=("input", "keepDays"))
    if options.metrics is not None and not options.metrics:
        raise Invalid("metrics: name at least one, or leave this out for all.", path=("input", "metrics"))
    if options.group_id is not None:
        access.require_group(viewer, await access.see_groups(connection, viewer), options.group_id)
    return Made(
        {
            "range": (options.range or NamedRange.LAST_WEEK).value,
            "group": None if options.group_id is None else str(options.group_id),
            "metrics": None if options.metrics is None else list(dict.fromkeys(options.metrics)),
            "mail": bool(options.mail),
            "keep_days": keep_days,
        },
        user_ids,
    )


async def _roll_over(connection: Connection, viewer: Viewer, wanted: RollOver | None) -> Made:
    path = ("input", "rollOver")
    if wanted is None:
        raise Invalid("rollOver: say which goals are set anew.", path=path)
    if not METRICS[wanted.metric].goalable:
        raise Invalid("rollOver.metric: no goal can be set for it.", path=(*path, "metric"))
    if (wanted.target is None) == (wanted.growth is None):
        raise Invalid("rollOver: give either a target or a growth.", path=path)
    if wanted.target is not None and not 0 < wanted.target < LARGEST_TARGET:
        raise Invalid("rollOver.target: give a number above 0.", path=(*path, "target"))
    if wanted.growth is not None and not 0 < wanted.growth <= LARGEST_GROWTH:
        raise Invalid(f"rollOver.growth: a factor above 0, up to {LARGEST_GROWTH}.", path=(*path, "growth"))
    count = len(wanted.user_ids) + len(wanted.group_ids) + wanted.team
    if not 1 <= count <= SUBJECTS_LIMIT:
        raise Invalid(f"rollOver: name 1 to {SUBJECTS_LIMIT} users, groups or the team.", path=path)
    own_only = wanted.user_ids == (viewer.user_id,) and count == 1
    access.require_goal_editing(viewer, own_only=own_only)
    sight = await access.see_goals(connection, viewer)
    errors = [
        ItemError("NOT_FOUND", "No such user, or none whose goals you may set.", (*path, "userIds", str(place)))
        for place, user_id in enumerate(wanted.user_ids)
        if not sight.sees(viewer.team_id, user_id, None)
    ] + [
        ItemError("NOT_FOUND", "No such group, or none whose goals you may set.", (*path, "groupIds", str(place)))
        for place, group_id in enumerate(wanted.group_ids)
        if not sight.sees(viewer.team_id, None, group_id)
    ]
    if wanted.team and not sight.team:
        errors.append(ItemError("NOT_FOUND", "You may not set the team's goals.", (*path, "team")))
    if errors:
        raise Refused(errors)
    return Made(
        {
            "metric": wanted.metric,
            "period": wanted.period.value,
            "target": None if wanted.target is None else str(wanted.target),
            "growth": None if wanted.growth is None else str(wanted.growth),
            "users": [str(one) for one in dict.fromkeys(wanted.user_ids)],
            "groups": [str(one) for one in dict.fromkeys(wanted.group_ids)],
            "team": wanted.team,
        },
        (viewer.user_id,),
    )


async def _sync(connection: Connection, viewer: Viewer, integration_id: UUID | None) -> Made:
    path = ("input", "integrationId")
    if integration_id is None:
        raise Invalid("integrationId: say what is synced.", path=path)
    arguments: list[object] = [integration_id]
    condition = access.see_integrations(viewer).filter("i", arguments)
    row = await connection.fetchrow(
        f"SELECT i.owner_id FROM integrations i WHERE i.id = $1 AND {condition}", *arguments
    )
    if row is None:
        raise NotFound("No such integration.", path=path)
    return Made({"integration": str(integration_id)}, (row["owner_id"],))
