"""How long a run takes, how much it asks for, and which fault comes when: all from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

APIS, WORKERS = ("api0", "api1"), ("worker", "worker1")
LATE_VICTIMS = ("api1", "worker1")
"""Who is killed once the warm-up is over. The other two live on, so that what they hold can be watched for long."""

FROZEN_SECONDS = 35.0
"""Longer than the lease of a job or an action (30 s): what a frozen worker had is somebody else's when it wakes."""
PAUSED_SECONDS = 3.0
"""How long Redis does not answer."""
SLOW_SECONDS, SLOW_BY_SECONDS = 5.0, 0.2
"""For how long, and by how much, what goes through the proxies is late."""
FIRST_FAULT_SECONDS = 5.0
WARM_SHARE = 1 / 3
"""Of a run, or of a process's life: what is held still grows to its working size."""

KINDS = (
    "freeze worker",
    "kill api",
    "kill worker",
    "kill redis",
    "pause redis",
    "restart postgres",
    "crash postgres",
    "end backends",
    "cut lines",
    "slow lines",
    "kill integrator",
    "roll",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is done to the installation.

    Args:
        at: Seconds since the load began.
        kind: One of `KINDS`.
        victims: The processes that it is done to, one after the other; none where it is no process of ours.
    """

    at: float
    kind: str
    victims: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A run.

    Args:
        seed: Everything that is left to chance follows from it.
        seconds: How long the load lasts.
        pause: Seconds that somebody thinks between two steps, on average.
        fault_gap: Seconds between two faults, on average.
        look_seconds: How often what is held is looked at.
    """

    seed: int
    seconds: float
    pause: float
    fault_gap: float
    look_seconds: float

    @classmethod
    def of(cls, minutes: float, seed: int) -> Plan:
        """A run on a machine of its own: some 25 requests a second, each fault once in four minutes."""
        return cls(seed, minutes * 60, pause=0.35, fault_gap=20.0, look_seconds=2.0)

    @classmethod
    def short(cls, seed: int) -> Plan:
        """Two minutes beside other tests: a few requests a second, each fault once."""
        return cls(seed, 120.0, pause=1.5, fault_gap=7.5, look_seconds=2.0)

    def chance(self, name: str) -> Random:
        """The dice of one part of the run."""
        return Random(f"{self.seed} {name}")

    def faults(self) -> list[Fault]:
        """What happens when. Each kind comes once before any comes twice; the last seconds are left in peace, so that
        most of what a fault leaves behind is caught up with while the load goes on."""
        chance = self.chance("faults")
        peace = min(90.0, self.seconds / 5)
        found: list[Fault] = []
        left: list[str] = []
        at = FIRST_FAULT_SECONDS
        while at < self.seconds - peace:
            left = left or chance.sample(KINDS, len(KINDS))
            # It needs longer than all others to be over.
            kind = left.pop(left.index("freeze worker") if "freeze worker" in left else 0)
            found.append(Fault(at, kind, self._victims(kind, chance, warm=at < self.seconds * WARM_SHARE)))
            at += self.fault_gap * chance.uniform(0.8, 1.2)
        return found

    def _victims(self, kind: str, chance: Random, *, warm: bool) -> tuple[str, ...]:
        victims = (*APIS, *WORKERS) if warm else LATE_VICTIMS
        if kind == "roll":
            return victims
        what = kind.rpartition(" ")[2]
        named = [name for name in victims if name.startswith(what)]
        if kind == "freeze worker":
            # What is frozen does not answer while others are done away with: never the one that is watched.
            named = [name for name in named if name in LATE_VICTIMS]
        return (chance.choice(named),) if named else ()
