"""What a telephony provider does for the studio: it lets managers onto a call, and tells who is on the line.

The provider is not ours: what it was asked for may have happened though no answer came. Each leg that it is asked for
has a label that says whose it is, so that `look` finds again what a dead worker left on the line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from domain.models.live_calls import JoinMode, TelephonyKind

LABEL_PREFIX = "sideline-"
LONGEST_LEG_SECONDS = 4 * 3600
"""A provider ends a leg after so long by itself, whatever becomes of us."""
RING_SECONDS = 30
"""How long a manager's phone rings."""


class LineUnavailable(Exception):
    """The provider cannot be reached, or is busy; what was asked for may have happened.

    Args:
        retry_after_seconds: What it asks for.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class LineRefused(Exception):
    """The provider will not do it, however often it is asked; the message says why."""


class LineGone(Exception):
    """There is no such call, or no such leg, at the provider any more."""


class LegState(StrEnum):
    """How far a leg has come."""

    RINGING = "RINGING"
    CONNECTED = "CONNECTED"


@dataclass(frozen=True, slots=True)
class Line:
    """A call as its provider knows it.

    Args:
        team_id: The team.
        call_id: Our id of it.
        dialer_id: The dialer that told of it.
        telephony: The provider.
        conference: The provider's name for it.
        user_leg: The rep's own leg, the one that hears a whisper.
        account: What lets us in at the provider; opened for the moment.
    """

    team_id: UUID
    call_id: UUID
    dialer_id: UUID
    telephony: TelephonyKind
    conference: str | None
    user_leg: str | None
    account: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Leg:
    """Somebody of ours on the line.

    Args:
        id: The provider's.
        label: Whose it is.
        state: Whether it rings still.
        mode: How it is on the line.
    """

    id: str
    label: str
    state: LegState
    mode: JoinMode


def label_of(participant_id: UUID) -> str:
    """What the legs of a participant are labelled."""
    return f"{LABEL_PREFIX}{participant_id.hex}"


def participant_of(label: str | None) -> UUID | None:
    """Whose a label is; None where it is none of ours."""
    if label is None or not label.startswith(LABEL_PREFIX):
        return None
    try:
        return UUID(hex=label.removeprefix(LABEL_PREFIX))
    except ValueError:
        return None


class Telephony(Protocol):
    """A provider. Everything may raise `LineUnavailable` and `LineRefused`."""

    async def join(self, line: Line, label: str, mode: JoinMode, address: str | None) -> Leg:
        """Bring somebody onto the line. Raises LineGone where the call is over."""
        ...

    async def change_mode(self, line: Line, leg_id: str, mode: JoinMode) -> None:
        """Change how somebody is on the line. Raises LineGone where the leg is."""
        ...

    async def leave(self, line: Line, leg_id: str) -> None:
        """Take somebody off the line, whether they are on it yet or not; done when they are not on it any more."""
        ...

    async def end(self, line: Line) -> int:
        """Take all of ours off the line. Returns how many there were."""
        ...

    async def look(self, line: Line) -> tuple[Leg, ...]:
        """Who of ours is on the line. Raises LineGone where the call is over."""
        ...
