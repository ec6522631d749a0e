"""What the rates of a plan rest on: the numbers of the subject, and of the peers, over the last `BASIS_DAYS` days."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from domain.access import Sight, Viewer
from domain.goal_events import GoalView
from domain.insight.funnel import Step, plan_step_to
from domain.insight.numbers import Numbers, Person, Ratio, read_numbers, read_people
from domain.insight.peers import Circles, read_tree
from domain.insight.rates import Counts, Kind, Posterior, shrunken
from domain.insight.robust import Floats
from domain.metrics import METRICS
from domain.periods import Days
from domain.workdays import read_days_off, read_work_calendar

if TYPE_CHECKING:
    from domain.database import Connection

BASIS_DAYS = 180


@dataclass(frozen=True, slots=True)
class Basis:
    """What the rates rest on.

    Args:
        numbers: The numbers of the subject and of the peers.
        place: Where among them the subject is.
        days: The days.
        worked: The working days that amounts are divided by.
        cycle_days: How long a deal takes from creation to winning; not a number where it is not known.
    """

    numbers: Numbers
    place: int
    days: Days
    worked: float
    cycle_days: float

    def rate(self, step: Step) -> tuple[Counts, Posterior]:
        """A step's rate: the numbers of all, and what they say."""
        counts = self.numbers.counts(((step.numerator,), step.denominators))
        return counts, shrunken(step.kind, counts)

    def current(self, metric: str) -> float:
        """How much of a metric it was per working day."""
        total = float(self.numbers.sums[METRICS[metric].numerator][self.place])
        return total / self.worked if self.worked else 0.0


def chain_to(metric: str, available: Collection[str]) -> list[Step]:
    """The steps that lead to a metric, the nearest first."""
    found: list[Step] = []
    targets = [metric]
    while targets:
        step = plan_step_to(targets.pop(0), available)
        if step is not None:
            found.append(step)
            targets += step.sources
    return found


_CYCLE: Ratio = (("sales_cycle_days",), ("sales_cycle_count",))


async def read_basis(
    connection: Connection,
    viewer: Viewer,
    users: Sight,
    goal: GoalView,
    available: Collection[str],
    people: Sequence[UUID],
    today: date,
) -> Basis:
    """What the rates of a goal's plan rest on, in a fixed number of statements.

    Args:
        connection: Where to read.
        viewer: Who asks.
        users: The users in sight.
        goal: The goal.
        available: The metrics whose feeds are connected.
        people: Whose numbers the goal counts; all in sight.
        today: The local day.
    """
    team_id = viewer.team_id
    days = Days(today - timedelta(days=BASIS_DAYS), today - timedelta(days=1))
    work = await read_work_calendar(connection, team_id, days)
    off = await read_days_off(connection, team_id, days)
    chain = chain_to(goal.metric, available)
    ratios: list[Ratio] = [((step.numerator,), step.denominators) for step in chain]
    ratios = list(dict.fromkeys([*ratios, _CYCLE]))
    more = [METRICS[metric].numerator for step in chain for metric in (step.target, *step.sources)]
    more.append(METRICS[goal.metric].numerator)
    user_id = goal.user_id
    if user_id is None:
        members = [Person(one, "", None, None, None) for one in people]
        numbers = _together(
            await read_numbers(connection, team_id, members, days, work, off, ratios, more=more, ramp_days=0)
        )
        place, worked = 0, float(work.count(days.first, days.last))
    else:
        everybody = await read_people(connection, team_id)
        circles = Circles(everybody, await read_tree(connection, team_id), viewer, users)
        persons = [everybody[one] for one in circles.wanted()]
        if all(person.id != user_id for person in persons):
            # Who is no active rep has no peers, but goals all the same.
            persons.append(Person(user_id, "", None, None, None))
        numbers = await read_numbers(connection, team_id, persons, days, work, off, ratios, more=more, ramp_days=0)
        counting = np.full(len(everybody), np.nan)
        places = {person.id: place for place, person in enumerate(everybody)}
        for number_of, person in enumerate(persons):
            if person.id in places:
                counting[places[person.id]] = numbers.days[number_of]
        chosen = circles.around(places[user_id], counting) if user_id in places else ()
        kept = {everybody[one].id for one in chosen} | {user_id}
        numbers = _only(numbers, [at for at, person in enumerate(persons) if person.id in kept])
        place = next(at for at, person in enumerate(numbers.people) if person.id == user_id)
        worked = float(numbers.days[place])
    cycle = shrunken(Kind.MEAN, numbers.counts(_CYCLE)).mean[place]
    return Basis(numbers, place, days, worked, float(cycle))


def _only(numbers: Numbers, places: Sequence[int]) -> Numbers:
    """The numbers of some of the people."""
    at = np.array(places, dtype=np.int64)
    return Numbers(
        [numbers.people[place] for place in places],
        numbers.days[at],
        {name: sums[at] for name, sums in numbers.sums.items()},
        {ratio: (one[at], two[at], three[at], four[at]) for ratio, (one, two, three, four) in numbers.squares.items()},
    )


def _together(numbers: Numbers) -> Numbers:
    """Everybody's numbers as those of one."""

    def added(values: Floats) -> Floats:
        found: Floats = np.array([values.sum()])
        return found

    return Numbers(
        [Person(UUID(int=0), "", None, None, None)],
        added(numbers.days),
        {name: added(sums) for name, sums in numbers.sums.items()},
        {
            ratio: (added(one), added(two), added(three), added(four))
            for ratio, (one, two, three, four) in numbers.squares.items()
        },
    )
