"""Setting up: which steps are done, missing or broken for a viewer, the next step, and the metrics that wait for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from domain import access
from domain.access import Viewer
from domain.metrics import METRICS
from domain.models import IntegrationState
from domain.models.integrations import CrmPart
from domain.models.people import Permission
from domain.models.teams import Feed

if TYPE_CHECKING:
    from domain.database import Connection


class SetupState(StrEnum):
    """How a step stands."""

    DONE = "DONE"
    MISSING = "MISSING"
    BROKEN = "BROKEN"


@dataclass(frozen=True, slots=True)
class SetupStep:
    """A step of setting up.

    Args:
        key: Its name for machines.
        title: Its name for people.
        state: How it stands for the viewer.
        detail: What is known of it.
        next_step: What to do; None where nothing is left.
        feeds: The metrics that it feeds.
    """

    key: str
    title: str
    state: SetupState
    detail: str | None
    next_step: str | None
    feeds: tuple[str, ...]


_ACTIVITY_FEEDS = {
    Feed.EMAIL: "emails",
    Feed.CALLS: "calls",
    Feed.CONVERSATIONS: "recorded conversations",
    Feed.CADENCE: "cadence steps and tasks",
}


def metrics_of(feeds: Iterable[Feed]) -> tuple[str, ...]:
    """The metrics that some feeds bring."""
    wanted = set(feeds)
    return tuple(key for key, metric in METRICS.items() if metric.feed in wanted)


def _worst(rows: Sequence[Any]) -> tuple[SetupState, Any] | None:
    """How a step with some connections stands, and the connection that says so; None without any."""
    for row in rows:
        if row["state"] == IntegrationState.BROKEN or row["last_error"] is not None:
            return SetupState.BROKEN, row
    for row in rows:
        if row["state"] == IntegrationState.ACTIVE and row["last_synced_at"] is not None:
            return SetupState.DONE, row
    return (SetupState.MISSING, rows[0]) if rows else None


def _waiting(row: Any) -> tuple[str, str]:
    """What to say of a connection that has brought nothing yet: the detail and the next step."""
    if row["state"] == IntegrationState.PAUSED:
        return f"{row['name']} is paused.", "Resume it."
    if row["state"] == IntegrationState.CONNECTING:
        return f"{row['name']} is not connected yet.", "Finish the sign-in, or wait for the check to end."
    return f"{row['name']} is connected; the first sync is under way.", "Wait for it to end."


def _step(
    key: str,
    title: str,
    feeds: Sequence[Feed],
    rows: Sequence[Any],
    *,
    otherwise: bool,
    may: bool,
    connect: str,
    ask: str,
) -> SetupStep:
    """A step that connections carry out.

    Args:
        key: The step.
        title: Its name.
        feeds: What it brings.
        rows: The connections that may bring it.
        otherwise: Whether it comes in by other ways, such as imports.
        may: Whether the viewer may see to it.
        connect: The next step where there is no connection.
        ask: The next step for who may not see to it.
    """
    found = _worst(rows)
    metrics = metrics_of(feeds)
    if found is None:
        if otherwise:
            return SetupStep(key, title, SetupState.DONE, "It comes in by imports.", None, metrics)
        return SetupStep(key, title, SetupState.MISSING, None, connect if may else ask, metrics)
    state, row = found
    if state is SetupState.DONE:
        return SetupStep(key, title, state, f"{row['name']} brings it." if may else None, None, metrics)
    if not may:
        return SetupStep(key, title, state, None, ask, metrics)
    if state is SetupState.BROKEN:
        again = "Sign in again or change the settings, then resume it."
        if row["state"] != IntegrationState.BROKEN:
            again = "Nothing, if it is a passing fault: it is tried again by itself."
        return SetupStep(key, title, state, f"{row['name']}: {row['last_error']}", again, metrics)
    detail, next_step = _waiting(row)
    return SetupStep(key, title, state, detail, next_step, metrics)


async def steps(connection: Connection, viewer: Viewer) -> list[SetupStep]:
    """The steps as they stand for a viewer, who is told the reasons of what the viewer may see to."""
    rows = await connection.fetch(
        """
        SELECT i.name, i.owner_id, i.state, i.last_error, i.last_synced_at, i.syncs,
            k.manifest->'feeds' AS feeds, u.active
        FROM integrations i JOIN connector_kinds k ON k.kind = i.kind
        LEFT JOIN users u ON u.team_id = i.team_id AND u.id = i.owner_id
        WHERE i.team_id = $1 ORDER BY i.id
        """,
        viewer.team_id,
    )
    held = await connection.fetch("SELECT feed FROM team_feeds WHERE team_id = $1", viewer.team_id)
    known = {row["feed"] for row in held}
    manages = access.may(viewer, Permission.MANAGE_TEAM)
    shared = [row for row in rows if row["owner_id"] is None]
    crm = [row for row in shared if row["syncs"]]
    found = [_calendar(viewer, rows, shared, known)]
    activities = [row for row in shared if not row["syncs"]]
    lacking = [name for feed, name in _ACTIVITY_FEEDS.items() if feed.value not in known]
    step = _step(
        "activities",
        "Bring in emails, calls, conversations and cadences",
        tuple(_ACTIVITY_FEEDS),
        activities,
        otherwise=len(lacking) < len(_ACTIVITY_FEEDS),
        may=manages,
        connect="Connect the engagement platform, or import records.",
        ask="Ask who manages the team to connect the engagement platform.",
    )
    if step.state is SetupState.DONE and lacking:
        step = SetupStep(
            step.key, step.title, step.state, f"Nothing has come in yet of: {', '.join(lacking)}.", None, step.feeds
        )
    found.append(step)
    found.append(
        _step(
            "opportunities",
            "Connect the CRM's opportunities",
            (Feed.CRM,),
            [row for row in crm if CrmPart.OPPORTUNITIES in row["syncs"]],
            otherwise=Feed.CRM.value in known,
            may=manages,
            connect="Connect the CRM with OPPORTUNITIES, then look over the field mapping.",
            ask="Ask who manages the team to connect the CRM.",
        )
    )
    found.append(
        _step(
            "deals",
            "Connect the CRM's deals",
            (Feed.DEALS,),
            [row for row in crm if CrmPart.DEALS in row["syncs"]],
            otherwise=Feed.DEALS.value in known,
            may=access.may_sync_deals(viewer),
            connect="Switch on DEALS of the CRM's connection.",
            ask="Ask an Admin with access to deals to switch on the sync of deals.",
        )
    )
    return found


def _calendar(viewer: Viewer, rows: Sequence[Any], shared: Sequence[Any], known: set[str]) -> SetupStep:
    """Everybody sees to their own calendar; who manages the team is told how many have."""
    own = [row for row in rows if row["owner_id"] == viewer.user_id]
    connected = {row["owner_id"] for row in rows if row["owner_id"] is not None and row["active"]}
    step = _step(
        "calendar",
        "Connect your calendar",
        (Feed.CALENDAR,),
        own,
        otherwise=Feed.CALENDAR.value in known and not connected,
        may=True,
        connect="Connect your calendar: only you can.",
        ask="",
    )
    if access.may(viewer, Permission.MANAGE_TEAM):
        told = f"Calendars of {len(connected)} people are connected."
        detail = f"{step.detail} {told}" if step.detail else told
        return SetupStep(step.key, step.title, step.state, detail, step.next_step, step.feeds)
    return step
