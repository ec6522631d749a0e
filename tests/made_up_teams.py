"""Teams whose truth is known: each rep's days are drawn from rates that the test sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from domain.insight.gaps import ratios_of
from domain.insight.numbers import Numbers, Person
from domain.insight.peers import Circle
from domain.metrics import BASE_SUM_NAMES, METRICS

FUNNEL = frozenset(
    "EMAILS_SENT EMAILS_DELIVERED EMAILS_REPLIED REPLY_RATE BOUNCE_RATE CALLS_LOGGED CALLS_CONNECTED CONNECT_RATE "
    "MEETINGS_BOOKED MEETINGS_HELD SHOW_RATE OPPORTUNITIES_CREATED CLOSED_WON_COUNT CLOSED_WON_AMOUNT WIN_RATE "
    "AVERAGE_DEAL".split()
)
"""The metrics that the oracle knows."""
assert METRICS.keys() >= FUNNEL


@dataclass(frozen=True)
class Truth:
    """A rep's true rates."""

    emails: float = 12.0
    bounce: float = 0.04
    reply: float = 0.08
    calls: float = 15.0
    connect: float = 0.2
    booked: float = 0.4
    show: float = 0.8
    opportunity: float = 0.4
    win: float = 0.3
    deal: float = 9_000.0


def days_of(truth: Truth, count: int, generator: np.random.Generator) -> list[dict[str, float]]:
    """Working days of a rep. What is booked on a day is held, and won, on the same, which no rate minds."""
    found = []
    for _day in range(count):
        sent = generator.poisson(truth.emails)
        bounced = generator.binomial(sent, truth.bounce)
        replied = generator.binomial(sent - bounced, truth.reply)
        calls = generator.poisson(truth.calls)
        connected = generator.binomial(calls, truth.connect)
        booked = generator.poisson(truth.booked * (replied + connected))
        held = generator.binomial(booked, truth.show)
        opened = generator.poisson(truth.opportunity * held)
        won = generator.binomial(opened, truth.win)
        amount = float(generator.lognormal(np.log(truth.deal) - 0.18, 0.6, won).sum())
        found.append(
            {
                "emails_sent": float(sent),
                "emails_delivered": float(sent - bounced),
                "emails_bounced": float(bounced),
                "emails_replied": float(replied),
                "calls_logged": float(calls),
                "calls_connected": float(connected),
                "meetings_booked": float(booked),
                "meetings_held": float(held),
                "meetings_no_show": float(booked - held),
                "opportunities_created": float(opened),
                "closed_won_count": float(won),
                "closed_lost_count": float(opened - won),
                "closed_won_amount": round(amount, 2),
            }
        )
    return found


def numbers_of(team: Sequence[Sequence[Mapping[str, float]]]) -> Numbers:
    """The same as the domain reads it."""
    people = [Person(UUID(int=number + 1), f"Rep {number}", None, None, None) for number in range(len(team))]
    sums = {
        name: np.array([sum(day.get(name, 0.0) for day in days) for days in team], dtype=np.float64)
        for name in BASE_SUM_NAMES
    }
    squares = {}
    for above, below in ratios_of(FUNNEL):
        rows = []
        for days in team:
            pairs = [
                (sum(day.get(name, 0.0) for name in above), sum(day.get(name, 0.0) for name in below) if below else 1.0)
                for day in days
            ]
            rows.append(
                (
                    sum(a * a for a, _b in pairs),
                    sum(a * b for a, b in pairs),
                    sum(b * b for _a, b in pairs),
                    float(sum(1 for _a, b in pairs if b > 0)),
                )
            )
        table = np.array(rows, dtype=np.float64)
        squares[(above, below)] = (table[:, 0], table[:, 1], table[:, 2], table[:, 3])
    return Numbers(people, np.array([float(len(days)) for days in team]), sums, squares)


def circle_of(count: int) -> Circle:
    """All of them, compared with each other."""
    everybody = np.arange(count)
    return Circle(everybody, everybody, None)
