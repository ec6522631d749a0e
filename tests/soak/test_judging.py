"""That a run can fail: each judging function finds the fault that it is there for, and none where there is none.

Invariants:
A. What is as it should be is let pass.
B. An event that is dropped, doubled, invented, changed or out of order is named; so are deliveries, changes and jobs.
C. A leak is found through noise and bursts; a process that fills to its working size, or dies and begins anew, is none.
D. A plan is a function of its seed, and has every kind of fault in its time.
E. A client takes nothing for retryable but what the rules name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any

import httpx
import pytest

from tests.oracle.recount import newest, recount
from tests.soak.client import Client, Failed
from tests.soak.followers import ComeAgain, Follower, Receiver, ended
from tests.soak.journal import Journal
from tests.soak.judging import (
    WARM_SECONDS,
    Delivery,
    Life,
    Point,
    bound_of_memory,
    growth,
    judge_chains,
    judge_changes,
    judge_deliveries,
    judge_effects,
    judge_growth,
    judge_lives,
    judge_settled,
    judge_sums,
    judge_told,
    slope,
)
from tests.soak.plan import FROZEN_SECONDS, KINDS, LATE_VICTIMS, Plan
from tests.soak.world import Source

EVENTS = [(f"c{number}", "GOAL_UPDATED", "goal", str(number), "") for number in range(20)]


def test_who_is_told_everything_once_in_order() -> None:
    """A, B."""
    assert judge_told("it", EVENTS, EVENTS) == []
    assert judge_told("it", [], []) == []
    for got, word in (
        (EVENTS[:7] + EVENTS[8:], "1 of 20 events missing, such as ['c7']"),
        (EVENTS[:8] + EVENTS[7:], "1 of 20 events repeated, such as ['c7']"),
        ([*EVENTS, ("c99", "x", "y", "", "")], "1 of 20 events invented, such as ['c99']"),
        ([*EVENTS[:3], ("c3", "GOAL_UPDATED", "goal", "4", ""), *EVENTS[4:]], "different, such as ['c3']"),
        ([EVENTS[1], EVENTS[0], *EVENTS[2:]], "another order"),
    ):
        (found,) = judge_told("it", EVENTS, got)
        assert word in found


def test_deliveries_at_least_once() -> None:
    """A, B."""
    sent = [Delivery(f"m{event[0]}", event) for event in EVENTS]
    assert judge_deliveries("it", EVENTS, sent) == []
    assert judge_deliveries("it", EVENTS, [*sent[:5], *sent[4:]]) == []
    assert "missing" in judge_deliveries("it", EVENTS, sent[:-1])[0]
    assert judge_deliveries("it", EVENTS, [*sent[:9], sent[2], *sent[9:]]) == []
    assert "another order" in judge_deliveries("it", EVENTS, [sent[1], sent[0], *sent[2:]])[0]
    other = [*sent, Delivery(sent[-1].message, EVENTS[0])]
    assert any("two contents" in one for one in judge_deliveries("it", EVENTS, other))
    # The same event under two ids is two messages to whoever tells repeats by the id.
    assert "repeated" in judge_deliveries("it", EVENTS, [*sent, Delivery("another", EVENTS[-1])])[0]


def test_changes_have_their_effect_once() -> None:
    """A, B."""
    asked = {"1001": ["ann", "bo"], "1002": ["ann"]}
    had = [("1001", "ann"), ("1001", "bo"), ("1002", "ann")]
    assert judge_changes(asked, had) == []
    assert "1 without effect, such as [('1002', 'ann')]" in judge_changes(asked, had[:2])[0]
    assert "1 with more effect than was asked for" in judge_changes(asked, [*had, had[0]])[0]
    assert "1 with more effect than was asked for" in judge_changes(asked, [*had, ("1003", "ann")])[0]
    assert judge_effects("jobs", ["a", "b"], ["b", "a"]) == []
    assert judge_effects("jobs", ["a", "b"], ["a", "a", "c"]) == [
        "jobs: 1 not done, such as ['b']",
        "jobs: 1 done more than once, such as ['a']",
        "jobs: 1 done though nobody asked, such as ['c']",
    ]


def test_statuses_are_chains() -> None:
    """A, B."""
    chain = [("g", "ON_TRACK", "BEHIND"), ("h", "ON_TRACK", "ATTAINED"), ("g", "BEHIND", "ON_TRACK")]
    assert judge_chains(chain) == []
    assert judge_chains(chain[1:])
    assert judge_chains([*chain, ("g", "ON_TRACK", "ON_TRACK")])


def test_sums_against_a_count() -> None:
    """A, B: a record that is lost, or counted twice, shows."""
    source = Source("s", ["a@x.test", "b@x.test"], Random(3))
    source.some(200)
    standing = newest(source.records)
    counted = recount(standing, "UTC")
    assert judge_sums("days", counted, counted) == []
    assert judge_sums("days", {**counted, ("c@x.test", None): {"calls_logged": Decimal(0)}}, counted) == []
    lost = next(record for record in standing if record["kind"] == "call")
    for wrong in ([one for one in standing if one is not lost], [*standing, lost]):
        assert judge_sums("days", recount(wrong, "UTC"), counted)


def test_nothing_is_left() -> None:
    """A, B."""
    assert judge_settled("held", {"jobs": 0.0, "leases of jobs": 0}) == []
    assert judge_settled("held", {"jobs": 0.0, "leases of jobs": 2}) == ["held: leases of jobs is 2, not 0"]


def held(seconds: float, at: Callable[[float], float], seed: int = 1) -> list[Point]:
    """What somebody holds, looked at every two seconds, with the noise of an allocator and a burst now and then."""
    chance = Random(seed)
    return [
        (float(second), at(second) + chance.gauss(0, 1.5) + (40 if chance.random() < 0.05 else 0))
        for second in range(0, int(seconds), 2)
    ]


@pytest.mark.parametrize("minutes", [2, 5, 20, 30])
def test_a_leak_is_found_and_a_warm_up_is_none(minutes: int) -> None:
    """C."""
    seconds = minutes * 60.0
    judged = seconds - max(seconds / 3, WARM_SECONDS)

    def life(at: Callable[[float], float]) -> list[Life]:
        made = Life("api0", 7)
        made.megabytes = held(seconds, at)
        made.descriptors = [(moment, 40.0) for moment, _ in made.megabytes]
        return [made]

    def filling(second: float) -> float:
        return 150 + 60 * min(1.0, second / (seconds / 3))

    assert judge_lives(life(filling), 30) == []
    leak = 1.3 * bound_of_memory(judged) / judged
    (found,) = judge_lives(life(lambda second: filling(second) + leak * second), 30)
    assert "api0 (process 7) grew by" in found
    # What is judged has to have been looked at for long enough.
    assert judge_lives(life(lambda second: 150 + leak * second), seconds) == []


def test_descriptors_and_what_is_shared() -> None:
    """C."""
    life = Life("worker", 8)
    life.megabytes = held(600, lambda _second: 150.0)
    life.descriptors = [(second, 30 + second / 10) for second, _ in life.megabytes]
    (found,) = judge_lives([life], 30)
    assert "40 descriptors more" in found
    assert judge_growth("backends", held(600, lambda second: 40 + 5 * (second > 300)), 20.0) == []
    assert judge_growth("backends", held(600, lambda second: 40 + second / 10), 20.0)
    assert growth([(0.0, 1.0), (1.0, 900.0)]) == 0.0
    assert slope([(float(n), 3.0 * n) for n in range(2_000)]) == pytest.approx(3.0)


def test_a_process_that_dies_begins_anew() -> None:
    """C: what an old one held is no growth of the next."""
    lives = []
    for number in range(5):
        life = Life("api1", number)
        life.megabytes = [(number * 120 + moment, size) for moment, size in held(120, lambda _second: 150.0, number)]
        life.descriptors = [(moment, 40.0) for moment, _ in life.megabytes]
        lives.append(life)
    assert judge_lives(lives, 30) == []


@pytest.mark.parametrize("plan", [Plan.short(5), Plan.of(30, 5), Plan.of(5, 6)])
def test_a_plan(plan: Plan) -> None:
    """D."""
    faults = plan.faults()
    assert faults == plan.faults()
    assert {fault.kind for fault in faults[: len(KINDS)]} == set(KINDS)
    assert all(before.at < after.at for before, after in pairwise(faults))
    assert faults[-1].at < plan.seconds * 0.95
    late = [fault for fault in faults if fault.at >= plan.seconds / 3]
    assert {name for fault in late for name in fault.victims} <= set(LATE_VICTIMS)
    frozen = [fault.at for fault in faults if fault.kind == "freeze worker"]
    assert all(after - before > FROZEN_SECONDS for before, after in pairwise(frozen))


def answering(*answers: httpx.Response | Exception) -> tuple[Client, Journal]:
    """A client that gets these answers, one after the other."""
    left = list(answers)

    def answer(_request: httpx.Request) -> httpx.Response:
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    journal = Journal()
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return Client(http, ["http://x"], "token", journal, Random(1)), journal


def refusal(code: str, status: int = 200) -> httpx.Response:
    """An answer with an error."""
    return httpx.Response(status, json={"data": None, "errors": [{"message": "", "extensions": {"code": code}}]})


FINE = {"data": {"viewer": {"name": "Ann"}}}


async def test_what_is_tried_again() -> None:
    """E."""
    client, journal = answering(
        httpx.ConnectError("refused"),
        refusal("UNAVAILABLE"),
        refusal("RATE_LIMITED", 429),
        httpx.Response(200, json=FINE),
    )
    assert await client.ask("look", "{ viewer { name } }") == {"name": "Ann"}
    assert journal.failures == []
    assert journal.retries.total() == 3


@pytest.mark.parametrize(
    "answer",
    [
        refusal("INTERNAL"),
        refusal("NOT_FOUND"),
        httpx.Response(500, text="oops"),
        httpx.Response(401, json={"errors": []}),
        httpx.Response(200, json={"data": {"setGoals": {"errors": [{"code": "CONFLICT"}]}}}),
    ],
)
async def test_what_is_a_failure(answer: httpx.Response) -> None:
    """E: it is told with its request."""
    client, journal = answering(answer)
    with pytest.raises(Failed):
        await client.ask("set goals", "mutation { setGoals }", number=7)
    (told,) = journal.failures
    assert "set goals" in told
    assert "{'number': 7}" in told


async def test_a_lost_answer_is_looked_for() -> None:
    """E: what had its effect is not sent again; a conflict counts as done only after something was lost."""
    client, journal = answering(httpx.ReadError("cut"))

    async def find() -> Any:
        return {"comment": {"id": "1"}}

    assert await client.ask("comment", "mutation { x }", find=find) == {"comment": {"id": "1"}}
    conflict = httpx.Response(200, json={"data": {"submit": {"errors": [{"code": "CONFLICT"}]}}})
    client, journal = answering(httpx.ReadError("cut"), conflict)
    await client.ask("submit", "mutation { x }", settled={"CONFLICT"})
    assert journal.failures == []
    client, journal = answering(conflict)
    with pytest.raises(Failed):
        await client.ask("submit", "mutation { x }", settled={"CONFLICT"})


def test_how_a_stream_may_end() -> None:
    """E."""
    assert ended([{"extensions": {"code": "RESTARTING", "cursor": "c7"}}]) == "c7"
    for code in ("INTERNAL", "CURSOR_UNKNOWN", "UNAUTHENTICATED"):
        with pytest.raises(Failed):
            ended([{"extensions": {"code": code}}])
    follower = Follower("it", "", "", Journal(), "c1")
    with pytest.raises(ComeAgain):
        follower._errors([{"extensions": {"code": "SLOW_READER", "cursor": "c9"}}])
    assert follower.cursor == "c9"


async def test_a_moody_receiver() -> None:
    """It fails no message twice in a row, and none once the load is over."""
    ending = asyncio.Event()
    ending.set()
    receiver = Receiver("it", Random(1), True, ending)

    class Request:
        headers = {"webhook-id": "m1"}

        async def body(self) -> bytes:
            return b'{"type": "DIGEST", "data": {}}'

    for _ in range(100):
        assert (await receiver.take(Request())).status_code == 200  # type: ignore[arg-type]
    assert receiver.others == ["m1"] * 100
