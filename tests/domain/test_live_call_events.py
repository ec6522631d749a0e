"""Events of live calls come to the same end in any order.

Invariants:
A. Facts are a join-semilattice: any permutation and repetition of the same events comes to equal facts.
B. So does the row, whatever is taken in when, and whether the sweeper ends the call in between or not.
C. An ended call stays ended; one whose lease lapsed comes back when an event shows that it goes on.
D. What does not fit is refused with the field at fault.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import live_calls
from domain.database import in_transaction
from domain.errors import Invalid
from domain.live_call_events import (
    LARGEST_EVENT_BYTES,
    LEASE_LAPSED,
    CallEvent,
    Facts,
    decode_event,
    facts_of,
    join,
    merge,
    read_facts,
    standing,
    write_facts,
)
from domain.models.live_calls import LiveCallState, TelephonyKind
from tests.live import LiveTeam, event

NOW = datetime.now(UTC).replace(microsecond=0)


@st.composite
def some_events(draw: st.DrawFn) -> list[CallEvent]:
    """Events of one call as a dialer with or without sequences tells them."""
    count = draw(st.integers(1, 7))
    found = []
    for _ in range(count):
        data: dict[str, Any] = {"sequence": draw(st.integers(0, 3))}
        for name, values in (
            ("counterpart", ["Dana", "Sam"]),
            ("direction", ["INBOUND", "OUTBOUND"]),
            ("counterpartJurisdiction", ["US-CA", "DE"]),
            ("leaseSeconds", [10, 600]),
            ("reason", ["BUSY", "COMPLETED"]),
        ):
            if draw(st.booleans()):
                data[name] = draw(st.sampled_from(values))
        kind = draw(st.sampled_from(["started", "answered", "updated", "heartbeat", "ended"]))
        at = NOW - timedelta(seconds=draw(st.integers(0, 900)))
        found.append(event(kind, at=at, **data))
    return found


def all_of(events: list[CallEvent]) -> Facts:
    facts = Facts()
    for one in events:
        facts = merge(facts, one)
    return facts


@given(some_events(), st.randoms(use_true_random=False))
@settings(max_examples=300)
def test_any_order_and_repetition_comes_to_the_same_facts(events: list[CallEvent], chance: Any) -> None:
    known = all_of(events)
    again = [*events, *chance.choices(events, k=3)]
    chance.shuffle(again)
    assert all_of(again) == known
    assert read_facts(write_facts(known)) == known


@given(some_events(), some_events(), some_events())
def test_facts_are_a_semilattice(one: list[CallEvent], other: list[CallEvent], third: list[CallEvent]) -> None:
    a, b, c = all_of(one), all_of(other), all_of(third)
    assert join(a, b) == join(b, a)
    assert join(a, join(b, c)) == join(join(a, b), c)
    assert join(a, a) == a


@given(some_events(), st.randoms(use_true_random=False))
@settings(max_examples=25)
async def test_rows_come_to_the_same_end(database: str, events: list[CallEvent], chance: Any) -> None:
    """The rep is named by one of them, which may come last; the sweeper looks whenever it likes."""
    team = await LiveTeam().build(TelephonyKind.NONE, managers=0, reps=1)
    user = await team.email(team.reps[0])
    named = [*events, event("updated", at=NOW - timedelta(seconds=5), user=user)]
    rows = []
    for name in ("one", "two"):
        order = [*named, *chance.choices(named, k=2)]
        chance.shuffle(order)
        for one in order:
            told = decode_event(
                orjson.dumps(
                    {
                        "type": one.type.value,
                        "timestamp": one.timestamp.isoformat(),
                        "data": {**_data(one), "call": name},
                    }
                )
            )
            await team.tell(told, now=NOW)
            if chance.random() < 0.4:
                row = await team.row(name)
                sweep = partial(live_calls.end_lapsed, team_id=team.team_id, call_id=row.id, now=NOW)
                await in_transaction(team.team_id, sweep)
        rows.append(await team.row(name))
    for name in "user_id state started_at answered_at ended_at end_reason leased_until counterpart facts".split():
        assert getattr(rows[0], name) == getattr(rows[1], name), name
    assert rows[0].user_id == team.reps[0]


def _data(one: CallEvent) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(msgspec.json.encode(one.data))
    return {name: value for name, value in found.items() if value is not None}


def test_an_ended_call_stays_ended_and_a_lapsed_one_may_come_back() -> None:
    at = NOW - timedelta(seconds=500)
    facts = all_of([event("started", at=at, leaseSeconds=60), event("answered", at=at)])
    lapsed = standing(facts, NOW)
    assert (lapsed.state, lapsed.end_reason) == (LiveCallState.ENDED, LEASE_LAPSED)
    assert lapsed.ended_at == at + timedelta(seconds=120), "the longer lease counts"
    back = merge(facts, event("heartbeat", at=NOW - timedelta(seconds=1)))
    assert standing(back, NOW).state is LiveCallState.IN_PROGRESS
    ended = merge(back, event("ended", at=at + timedelta(seconds=400), reason="BUSY"))
    for later in (event("heartbeat", at=NOW), event("answered", at=NOW), event("started", at=NOW)):
        stands = standing(merge(ended, later), NOW)
        assert (stands.state, stands.end_reason) == (LiveCallState.ENDED, "BUSY")
        assert stands.ended_at == at + timedelta(seconds=400)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", ("body",)),
        (b"[]", ("body",)),
        (b'{"type": "call.moved", "timestamp": "2026-01-01T00:00:00Z", "data": {"call": "1"}}', ("body",)),
        (b'{"type": "call.started", "timestamp": "2026-01-01T00:00:00Z", "data": {}}', ("body",)),
        (b'{"type": "call.started", "timestamp": "2026-01-01T00:00:00", "data": {"call": "1"}}', ("timestamp",)),
        (b'{"type": "call.started", "timestamp": "2026-01-01T00:00:00Z", "data": {"call": "1", "x": 1}}', ("body",)),
        (b'{"type": "call.started", "timestamp": "2026-01-01T00:00:00Z", "data": {"call": "\\u0000"}}', ("body",)),
        (
            b'{"type": "call.started", "timestamp": "2026-01-01T00:00:00Z", "data": {"call": "1",'
            b' "userJurisdiction": "California"}}',
            ("data", "userJurisdiction"),
        ),
        (b" " * (LARGEST_EVENT_BYTES + 1), ("body",)),
    ],
)
def test_what_does_not_fit_is_refused(body: bytes, path: tuple[str, ...]) -> None:
    with pytest.raises(Invalid) as refused:
        decode_event(body)
    assert refused.value.path == path


async def test_the_future_is_refused_and_the_distant_past_ignored(database: str) -> None:
    team = await LiveTeam().build(TelephonyKind.NONE, managers=0)
    with pytest.raises(Invalid, match="future"):
        await team.tell(event("started", at=datetime.now(UTC) + timedelta(hours=1)))
    work = partial(
        live_calls.take_in,
        dialer=team.dialer,
        event=event("started", at=datetime.now(UTC) - timedelta(days=30)),
        now=datetime.now(UTC),
    )
    assert (await in_transaction(team.team_id, work)).call_id is None
    with pytest.raises(Invalid, match="nobody on the team"):
        await team.tell(event("started", user="nobody@nowhere.test"))
    assert facts_of(event("started")).started is not None
