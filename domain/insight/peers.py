"""With whom a rep is compared: the smallest circle around the rep that is large enough.

The circles of a rep are the own group, that group with all below it, the group above it with all below it, and so on up
to the whole team. The first that holds `ENOUGH_PEERS` others counts; where none does, the largest, if it holds
`FEWEST_PEERS` others; else there is nobody to compare with. Only reps with `FEWEST_DAYS` worked days count. In a team
with groups who is in none has no peers, as on the dashboards.

A circle is used only as far as the viewer may see statistics of all in it: see domain.access.see_peers. So a rep
without TEAM_VIEW is compared with the own group alone, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from domain.access import Sight, Viewer, fewest_peers, see_peers
from domain.insight.numbers import Person
from domain.insight.robust import Booleans, Floats, Integers

if TYPE_CHECKING:
    from domain.database import Connection

FEWEST_DAYS = 15
"""Working days without which a rep is too new, or too long away, to be compared."""
FEWEST_PEERS = 5
ENOUGH_PEERS = 8


@dataclass(frozen=True, slots=True)
class Circle:
    """Reps who are compared with each other.

    Args:
        members: Their places among the people.
        judged: Those among them whose circle it is.
        name: What it is called: a group's name, or None for the team.
    """

    members: Integers
    judged: Integers
    name: str | None

    def at(self, places: Mapping[int, int]) -> Circle:
        """The same among other people, by where each place has gone."""
        return Circle(
            np.array([places[int(place)] for place in self.members], dtype=np.int64),
            np.array([places[int(place)] for place in self.judged], dtype=np.int64),
            self.name,
        )


@dataclass(frozen=True, slots=True)
class Tree:
    """The groups of a team: each one's parent and name."""

    parents: Mapping[UUID, UUID | None]
    names: Mapping[UUID, str]

    def chain(self, group_id: UUID) -> list[UUID]:
        """A group and all above it."""
        found: list[UUID] = []
        at: UUID | None = group_id
        while at is not None and at in self.parents and at not in found:
            found.append(at)
            at = self.parents[at]
        return found


async def read_tree(connection: Connection, team_id: UUID) -> Tree:
    """The groups of a team. Served by groups (team_id, …)."""
    rows = await connection.fetch("SELECT id, parent_id, name FROM groups WHERE team_id = $1", team_id)
    return Tree({row["id"]: row["parent_id"] for row in rows}, {row["id"]: row["name"] for row in rows})


@dataclass(frozen=True, slots=True)
class _Ring:
    """One circle around a group, before it is known who in it counts."""

    key: tuple[str, UUID | None]
    name: str | None
    places: tuple[int, ...]


class Circles:
    """The circles of a team's reps, as far as a viewer may compare within them."""

    def __init__(self, people: Sequence[Person], tree: Tree, viewer: Viewer, sight: Sight) -> None:
        self._people = people
        self._tree = tree
        self._viewer = viewer
        self._sight = sight
        self._in_group: dict[UUID, list[int]] = {}
        self._below: dict[UUID, list[int]] = {}
        for place, person in enumerate(people):
            if person.group_id is not None:
                self._in_group.setdefault(person.group_id, []).append(place)
                for above in tree.chain(person.group_id):
                    self._below.setdefault(above, []).append(place)
        self._shown: dict[tuple[str, UUID | None], bool] = {}

    def _rings(self, group_id: UUID | None) -> list[_Ring]:
        everybody = _Ring(("team", None), None, tuple(range(len(self._people))))
        if not self._tree.parents:
            return [everybody]
        if group_id is None or group_id not in self._tree.parents:
            return []
        names = self._tree.names
        rings = [_Ring(("own", group_id), names[group_id], tuple(self._in_group[group_id]))]
        rings += [_Ring(("below", one), names[one], tuple(self._below[one])) for one in self._tree.chain(group_id)]
        return [*rings, everybody]

    def _may_compare(self, ring: _Ring, place: int) -> bool:
        """Whether a ring's statistics may be shown beside the numbers of one in it."""
        if ring.key not in self._shown:
            ids = frozenset(self._people[one].id for one in ring.places)
            # Whom the viewer sees one by one needs no minimum.
            self._shown[ring.key] = fewest_peers(self._viewer, self._sight, ids) == 1
        if self._shown[ring.key]:
            return True
        user_id = self._people[place].id
        if ring.key[0] == "below" or (ring.key[0] == "team" and self._tree.parents) or user_id != self._viewer.user_id:
            return False
        others = frozenset(self._people[one].id for one in ring.places) - {user_id}
        return see_peers(self._viewer, self._sight, user_id, others) is not None

    def wanted(self) -> list[int]:
        """The places of all whose numbers may be needed: who is in sight, and peers who may be compared with."""
        found = {place for place, person in enumerate(self._people) if self._sight.sees(self._sight.team_id, person.id)}
        mine = next((at for at, person in enumerate(self._people) if person.id == self._viewer.user_id), None)
        if mine is not None:
            for ring in self._rings(self._people[mine].group_id):
                if self._may_compare(ring, mine):
                    found.update(ring.places)
        return sorted(found)

    def around(self, place: int, worked: Floats) -> tuple[int, ...]:
        """The places of those whose rates tell something of one rep's, new or not; the rep may be among them."""
        counts = np.nan_to_num(worked, nan=0.0) >= FEWEST_DAYS
        rings = self._rings(self._people[place].group_id)
        chosen = _choose([ring for ring in rings if self._may_compare(ring, place)], counts)
        return () if chosen is None else tuple(one for one in chosen.places if counts[one])

    def drawn(self, worked: Floats) -> list[Circle]:
        """The circles that reps in sight are compared in.

        Args:
            worked: The working days of each, in the order of the people; not a number for whose are not known.
        """
        counts = np.nan_to_num(worked, nan=0.0) >= FEWEST_DAYS
        groups: dict[UUID | None, list[int]] = {}
        for place, person in enumerate(self._people):
            if counts[place] and self._sight.sees(self._sight.team_id, person.id):
                groups.setdefault(person.group_id, []).append(place)
        found: dict[tuple[str, UUID | None], tuple[_Ring, list[int]]] = {}
        for group_id, places in groups.items():
            rings = self._rings(group_id)
            mine = [place for place in places if self._people[place].id == self._viewer.user_id]
            # What the viewer may see of themselves says nothing of the others.
            one = next((place for place in places if place not in mine), places[0])
            chosen = _choose([ring for ring in rings if self._may_compare(ring, one)], counts)
            if chosen is not None:
                found.setdefault(chosen.key, (chosen, []))[1].extend(places)
            elif mine:
                own = _choose([ring for ring in rings if self._may_compare(ring, mine[0])], counts)
                if own is not None:
                    found.setdefault(own.key, (own, []))[1].extend(mine)
        return [
            Circle(
                np.array([place for place in ring.places if counts[place]], dtype=np.int64),
                np.array(sorted(judged), dtype=np.int64),
                ring.name,
            )
            for ring, judged in found.values()
        ]


def _choose(rings: Sequence[_Ring], counts: Booleans) -> _Ring | None:
    best: _Ring | None = None
    others = 0
    for ring in rings:
        here = int(counts[list(ring.places)].sum()) - 1
        if here >= ENOUGH_PEERS:
            return ring
        if here > others:
            best, others = ring, here
    return best if others >= FEWEST_PEERS else None
