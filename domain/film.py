"""What a film's parts have in common: opening it for a change, what it lasts, what may be written on it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from domain import film_facts
from domain.access import Viewer
from domain.access_film import FilmSight, see_film
from domain.errors import Invalid, NotFound
from domain.film_facts import LockedFilm
from domain.models.activities import Activity, ActivityKind

if TYPE_CHECKING:
    from domain.database import Connection

TEXT_LIMIT = 10_000
SHORT_LIMIT = 2_000

SCORED_KINDS = frozenset({ActivityKind.CONVERSATION, ActivityKind.CALL, ActivityKind.MEETING, ActivityKind.EMAIL})
"""What a scorecard can be filled for."""


async def open_film(
    connection: Connection, viewer: Viewer, activity_id: UUID, *, path: tuple[str, ...] = ("input", "activityId")
) -> tuple[LockedFilm, FilmSight]:
    """Hold an activity that the viewer may see for a change of its film.

    Raises:
        NotFound: it is not in sight.
    """
    sight = await see_film(connection, viewer)
    film = await film_facts.lock(connection, viewer.team_id, activity_id, path=path)
    if not sight.sees(viewer.team_id, activity_id, film.activity.user_id):
        raise NotFound("No such activity.", path=path)
    return film, sight


def duration_of(activity: Activity) -> int | None:
    """How long an activity lasts, in seconds; None for what has no length."""
    if activity.kind is ActivityKind.MEETING:
        assert activity.starts_at is not None, "the table checks it"
        assert activity.ends_at is not None, "the table checks it"
        return int((activity.ends_at - activity.starts_at).total_seconds())
    return activity.duration_seconds


def check_moment(activity: Activity, seconds: int | None, name: str) -> None:
    """Refuse a moment that the activity does not have.

    Raises:
        Invalid: naming the length.
    """
    if seconds is None:
        return
    path = ("input", name)
    duration = duration_of(activity)
    if duration is None:
        raise Invalid(f"{name}: only conversations, calls and meetings have moments.", path=path)
    if not 0 <= seconds <= duration:
        raise Invalid(f"{name}: give seconds from 0 to {duration}, which is how long it lasts.", path=path)


def check_text(text: str, name: str, limit: int = TEXT_LIMIT) -> str:
    """A text that can be kept, without blanks around it.

    Raises:
        Invalid: it is empty, too long, or no text.
    """
    stripped = text.strip()
    if not stripped or len(stripped) > limit or "\0" in stripped:
        raise Invalid(f"{name}: write 1 to {limit} characters, without NUL.", path=("input", name))
    return stripped


def check_optional_text(text: str | None, name: str, limit: int = SHORT_LIMIT) -> str | None:
    """The same for what may be left out; nothing but blanks is nothing.

    Raises:
        Invalid: it is too long, or no text.
    """
    return check_text(text, name, limit) if text is not None and text.strip() else None
