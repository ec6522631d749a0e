"""Goals as a dashboard shows them, for reps, groups and a team, sharing no code with domain/."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from tests.oracle.goals import Held, World, asked, counting, rate, six_places
from tests.oracle.recount import QUOTIENTS

CELLS = """metric value goal attainment progress {
    periodStart periodEnd actual target attainment expectedByNow pace forecast status }"""
"""What is asked of a cell that is to be checked."""


class Board:
    """Who is where, and which goals hold for whom.

    `users` and `parents` say in which group somebody, or a group, is; `held` has goals by subject and metric.
    """

    world: World

    def __init__(self) -> None:
        self.users: dict[UUID, UUID | None] = {}
        self.parents: dict[UUID, UUID | None] = {}
        self.held: dict[tuple[UUID, str], list[Held]] = {}

    def members(self, group: UUID) -> list[UUID]:
        """Who is in a group or below it."""
        found = []
        for user, place in self.users.items():
            while place is not None:
                if place == group:
                    found.append(user)
                place = self.parents[place]
        return found

    def of(self, subject: UUID, metric: str, days: list[date]) -> list[Held]:
        """A subject's own goals that count over a range."""
        return counting(self.held.get((subject, metric), []), days)

    def of_many(self, subject: UUID, users: list[UUID], metric: str, days: list[date]) -> list[Held]:
        """A group's or the team's goals: its own, else those of its members."""
        own = self.of(subject, metric, days)
        if own or metric in QUOTIENTS:
            return own
        return [held for user in users for held in self.of(user, metric, days)]

    def check(self, cell: dict[str, Any], held: list[Held], days: list[date], today: date) -> None:
        """Hold a cell of a dashboard to its goals, on a day whose working time has passed.

        Raises:
            AssertionError: it shows something else.
        """
        quotient = cell["metric"] in QUOTIENTS
        if quotient:
            mean = rate(held, days)
            found = None if mean is None else (mean, mean)
        else:
            found = asked(self.world, held, days, today, Fraction(1)) if held else None
        if found is None:
            assert (cell["goal"], cell["attainment"], cell["progress"]) == (None, None, None), cell
            return
        target, due = found
        value = None if cell["value"] is None else Fraction(cell["value"])
        progress = cell["progress"]
        assert Decimal(cell["goal"]) == six_places(target) == Decimal(progress["target"]), cell
        assert (progress["periodStart"], progress["periodEnd"]) == (days[0].isoformat(), days[-1].isoformat())
        assert Decimal(progress["expectedByNow"]) == six_places(due), cell
        assert progress["actual"] == cell["value"]
        reached = value / target if value is not None and target else None
        pace = value / due if value is not None and due else None
        for shown, wanted in (
            (cell["attainment"], reached),
            (progress["attainment"], reached),
            (progress["pace"], pace),
        ):
            assert (None if shown is None else Decimal(shown)) == (None if wanted is None else six_places(wanted)), cell
        forecast = None if value is None else value if quotient else None if pace is None else pace * target
        assert (progress["forecast"] is None) == (forecast is None)
        if forecast is not None:
            assert Decimal(progress["forecast"]) == six_places(forecast), cell
        status = (
            "ATTAINED"
            if reached is not None and reached >= 1
            else "ON_TRACK"
            if pace is None or pace >= 1
            else "AT_RISK"
            if pace >= Fraction(4, 5)
            else "BEHIND"
        )
        assert progress["status"] == status, cell
