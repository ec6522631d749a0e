"""The demo team's calls in progress: a few reps who ring somebody every few minutes, so that there is always a call to
join. Which calls there are at a moment follows from the moment alone: any worker, at any time, tells the same ones.

They go the way of any dialer's events, and become no activities.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from domain.demo.people import REPS, Rep
from domain.live_call_events import CallData, CallEvent, EventType
from domain.live_consent import Jurisdiction, Studio
from domain.models.live_calls import CallDirection, ConsentRule

DIALER_NAME = "Demo dialer"
LEASE_SECONDS = 45
"""Calls whose worker has stopped are gone this soon."""
HEARTBEAT_SECONDS = 15
ROUND_SECONDS = 240
RING_SECONDS = 8
CALLERS = (*REPS[:8], *REPS[12:16], *REPS[24:28])
"""Half of them in the scope of manager@demo.test."""
_PEOPLE = (
    ("Dana Fox, Acme Tools", "US-NY"),
    ("Sam Ortiz, Blue Harbor Bank", "US-CA"),
    ("Yuki Sato, Kestrel Labs", "US-TX"),
    ("Nora Weiss, Lindenhof", "DE"),
    ("Amir Khan, Northwind Freight", "US-NY"),
    ("Lucia Marin, Solano Foods", "US-CA"),
    ("Tom Becker, Granite Media", "US-TX"),
)
STUDIO = Studio(
    listeners_per_call=3,
    listeners_per_team=20,
    keep_days=1,
    unknown=Jurisdiction(ConsentRule.ALL_PARTY),
    jurisdictions={
        "US": Jurisdiction(ConsentRule.ONE_PARTY),
        "US-CA": Jurisdiction(
            ConsentRule.ALL_PARTY, "Demo rule for US-CA: join only once everybody on the call knows that you listen."
        ),
        "DE": Jurisdiction(ConsentRule.FORBIDDEN, "Demo rule for DE: nobody joins these calls."),
    },
)


@dataclass(frozen=True, slots=True)
class DemoCall:
    """A call of the demo.

    Args:
        name: The dialer's id of it.
        rep: Whose it is.
        counterpart: Whom they ring, and where that is.
        started_at: When.
        answered_at: When it is answered; None if nobody does.
        ended_at: When it is over.
    """

    name: str
    rep: Rep
    counterpart: tuple[str, str]
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime

    def events(self, now: datetime) -> list[CallEvent]:
        """What a dialer has told of it so far."""
        data = CallData(
            call=self.name,
            user=self.rep.email,
            direction=CallDirection.OUTBOUND,
            counterpart=self.counterpart[0],
            user_jurisdiction="US-NY",
            counterpart_jurisdiction=self.counterpart[1],
            conference=self.name,
            user_leg=f"{self.name}-rep",
            lease_seconds=LEASE_SECONDS,
        )
        found = [CallEvent(EventType.STARTED, self.started_at, data)]
        beats = int((min(now, self.ended_at) - self.started_at).total_seconds()) // HEARTBEAT_SECONDS
        bare = CallData(call=self.name, lease_seconds=LEASE_SECONDS)
        if beats:
            # The last sign of life says all that those before it said.
            at = self.started_at + timedelta(seconds=beats * HEARTBEAT_SECONDS)
            found.append(CallEvent(EventType.HEARTBEAT, at, bare))
        if self.answered_at is not None and self.answered_at <= now:
            found.append(CallEvent(EventType.ANSWERED, self.answered_at, bare))
        if self.ended_at <= now:
            reason = "NO_ANSWER" if self.answered_at is None else "COMPLETED"
            found.append(CallEvent(EventType.ENDED, self.ended_at, CallData(call=self.name, reason=reason)))
        return found


def calls_at(now: datetime) -> list[DemoCall]:
    """The calls that are going on at a moment, or ended in the round before it."""
    found = []
    for slot, rep in enumerate(CALLERS):
        seconds = int(now.timestamp()) + slot * 37
        rounds = seconds // ROUND_SECONDS
        for number in (rounds - 1, rounds):
            call = _call(slot, rep, number)
            if call.started_at <= now < call.ended_at + timedelta(seconds=ROUND_SECONDS / 2):
                found.append(call)
    return found


def _call(slot: int, rep: Rep, number: int) -> DemoCall:
    chance = (number * 7919 + slot * 104_729) % 1_000
    started = datetime.fromtimestamp(number * ROUND_SECONDS - slot * 37, UTC)
    answered = None if chance % 6 == 0 else started + timedelta(seconds=RING_SECONDS)
    lasts = 25 if answered is None else 70 + chance % 140
    return DemoCall(
        f"demo-{slot}-{number}",
        rep,
        _PEOPLE[chance % len(_PEOPLE)],
        started,
        answered,
        started + timedelta(seconds=lasts),
    )
