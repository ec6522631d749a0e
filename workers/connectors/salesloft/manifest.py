"""What Salesloft is to the rest of Sideline, and the listings of its API that are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from domain.connectors import Audience, Budget, Manifest, OAuth, RemoteRefused, Scope, Setting
from domain.models.teams import Feed

PARTS = ("emails", "calls", "cadences", "conversations", "meetings", "tasks")
"""What can be left out."""

HELD_AFTER = timedelta(hours=1)
"""A meeting that began so long ago and was neither cancelled nor missed was held; Salesloft does not say so itself."""

_YES = frozenset({"yes", "true", "on", "1"})

MANIFEST = Manifest(
    kind="salesloft",
    label="Salesloft",
    audience=Audience.TEAM,
    feeds=(Feed.EMAIL, Feed.CALLS, Feed.CONVERSATIONS, Feed.CADENCE, Feed.CALENDAR),
    feeds_by_records=True,  # Parts can be left out.
    settings=(
        Setting(
            "api_key",
            "API key",
            secret=True,
            required=False,
            help="Instead of signing in: a key of an admin (Your Applications, API Keys) with the scopes named here.",
        ),
        Setting(
            "without",
            "Leave out",
            required=False,
            help=f"Any of {', '.join(PARTS)}, separated by commas: what your plan does not have, or what comes from "
            "elsewhere, as meetings do when calendars are connected.",
        ),
        Setting(
            "bodies",
            "Bodies of emails",
            required=False,
            help="yes brings them too; otherwise only subjects and counts come.",
        ),
    ),
    oauth=OAuth(
        authorize_url="https://accounts.salesloft.com/oauth/authorize",
        token_url="https://accounts.salesloft.com/oauth/token",
        scopes=(
            Scope("team:read", "Who the users are, to find the owners of activities."),
            Scope("emails:read", "Emails sent, with bounces, opens and replies."),
            Scope("email_contents:read", "Subjects of emails; bodies only if they are switched on."),
            Scope("calls:read", "Calls with durations, dispositions and sentiments."),
            Scope("cadences:read", "Who was added to cadences, and which steps were done."),
            Scope("conversations:read", "Recorded calls and meetings with their durations."),
            Scope("meetings:read", "Meetings booked, held, missed and cancelled."),
            Scope("tasks:read", "Tasks: open ones as upcoming work, completed ones."),
            Scope("actions:read", "Reps' upcoming steps of cadences."),
        ),
    ),
    base_url="https://api.salesloft.com",
    budget=Budget(cost=600, seconds=60),
)


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of the API that is read page by page in the order of a time.

    Args:
        key: Where the cursor keeps how far it has been read.
        object: What its documents are.
        name: For people.
        path: Where it is.
        part: By which it can be left out.
        scope: What it needs.
        by: The field by which it is filtered and sorted.
        parameters: More parameters of every request.
        steps: What completed steps among its rows are, if it has any.
        cadences: Its rows name a cadence by its id.
        open_only: It cannot be filtered by time, and holds what is open alone: each sync reads all of it. Who may not
            read it goes without.
    """

    key: str
    object: str
    name: str
    path: str
    part: str
    scope: str
    by: str = "updated_at"
    parameters: Mapping[str, str] = field(default_factory=dict)
    steps: str | None = None
    cadences: bool = False
    open_only: bool = False


EMAILS = Listing(
    "emails", "email", "emails", "/v2/activities/emails", "emails", "emails:read", steps="email_step", cadences=True
)
BEGUN = Listing(
    "begun",
    "meeting",
    "meetings",
    "/v2/meetings",
    "meetings",
    "meetings:read",
    by="start_time",
    parameters={"show_deleted": "true"},
)
"""Meetings that have begun since the last sync: nothing about them changes when they take place."""

LISTINGS: tuple[Listing, ...] = (
    EMAILS,
    Listing("calls", "call", "calls", "/v2/activities/calls", "calls", "calls:read", steps="call_step", cadences=True),
    Listing(
        "memberships", "membership", "cadences", "/v2/cadence_memberships", "cadences", "cadences:read", cadences=True
    ),
    Listing(
        "conversations", "conversation", "conversations", "/v2/conversations", "conversations", "conversations:read"
    ),
    Listing(
        "meetings",
        "meeting",
        "meetings",
        "/v2/meetings",
        "meetings",
        "meetings:read",
        parameters={"show_deleted": "true"},
    ),
    BEGUN,
    Listing("tasks", "task", "tasks", "/v2/tasks", "tasks", "tasks:read"),
    Listing(
        "actions",
        "action",
        "upcoming steps",
        "/v2/actions",
        "cadences",
        "actions:read",
        by="created_at",
        cadences=True,
        open_only=True,
    ),
)
"""In the order in which they are read."""


def left_out(settings: Mapping[str, str]) -> frozenset[str]:
    """The parts that a connection is told to leave out.

    Raises:
        RemoteRefused: one of them is unknown.
    """
    names = frozenset(name.strip().lower() for name in settings.get("without", "").split(",") if name.strip())
    if unknown := sorted(names - set(PARTS)):
        raise RemoteRefused(f"without: {', '.join(unknown)} is not known; choose of {', '.join(PARTS)}.")
    return names


def takes_bodies(settings: Mapping[str, str]) -> bool:
    """Whether bodies of emails are asked for."""
    return settings.get("bodies", "").strip().lower() in _YES
