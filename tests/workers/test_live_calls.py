"""Managers are brought onto live calls and off them, whatever dies when.

Invariants:
A. What is asked for once is on the line once, in the mode that was asked for last.
B. A worker that dies anywhere leaves, after its lease, the same line and rows as one that does not.
C. Nobody stays on a line whose row does not say so, and no row says so of who is not there.
D. A call whose end was never told ends by its lease; who is on it is taken off.
E. Who may not see a call any more is taken off it.
F. A provider that fails, refuses, is silent or rings in vain comes to a typed end.
G. The audit log tells who was on whose call, when, how, and why they left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import orjson
import pytest
from redis.asyncio import Redis

from domain import live_calls, live_lines
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.live_call_events import LEASE_LAPSED
from domain.models import LiveCall
from domain.models.live_calls import JoinMode, LiveCallState, ParticipantState, TelephonyKind
from domain.telephony import Leg, Line, LineGone, LineRefused, LineUnavailable, Telephony, label_of
from tests.doubles.base import Fault
from tests.doubles.twilio import TwilioDouble
from tests.live import BOX, LiveTeam, event
from tests.workers.desk import wire_to
from workers.live_calls import Conductor
from workers.telephony import providers
from workers.telephony import twilio as twilio_module
from workers.telephony.loopback import Loopback


class Died(BaseException):
    """The worker is gone."""


class Mortal:
    """A provider whose asker dies, or that fails, at a chosen moment.

    Args:
        inner: The provider.
        method: At which call.
        after: Whether what was asked for has happened.
        error: What is raised.
    """

    def __init__(self, inner: Telephony, method: str, *, after: bool, error: BaseException) -> None:
        self.inner, self.method, self.after, self.error = inner, method, after, error

    def __getattr__(self, name: str) -> Any:
        async def ask(*arguments: Any) -> Any:
            if name == self.method and not self.after:
                raise self.error
            found = await getattr(self.inner, name)(*arguments)
            if name == self.method:
                raise self.error
            return found

        return ask


class Stage:
    """A team, and the worker that serves it, step by step."""

    def __init__(self, team: LiveTeam, redis: Redis) -> None:
        self.team, self.redis = team, redis
        self.loopback = Loopback(redis)
        self.conductor = self.worker(self.loopback)

    def worker(self, provider: Any) -> Conductor:
        """A worker with a provider."""
        kinds = {TelephonyKind.LOOPBACK: provider, TelephonyKind.TWILIO: provider}
        return Conductor(kinds, BOX, self.redis, "worker")

    async def claims(self) -> list[live_lines.Claim]:
        """What is due of the team."""
        async with acquire(ALL_TEAMS) as connection:
            found = await live_lines.claim_due(connection, "worker", 100)
        return [claim for claim in found if claim.line.team_id == self.team.team_id]

    async def carry(self, conductor: Conductor | None = None) -> None:
        """Carry out what is due."""
        for claim in await self.claims():
            await (conductor or self.conductor).carry_out(claim)

    async def look(self, conductor: Conductor | None = None) -> None:
        """Look at the team's lines now."""
        await self.team.set("UPDATE live_calls SET look_at = now() WHERE team_id = $1 AND look_at IS NOT NULL")
        async with acquire(ALL_TEAMS) as connection:
            lines = await live_lines.claim_looks(connection, 1000)
        for line in lines:
            if line.team_id == self.team.team_id:
                await (conductor or self.conductor)._look_at(line)

    async def time_passes(self, **period: float) -> None:
        """Everything that was noted lies so much further back."""
        back = timedelta(**(period or {"seconds": live_lines.LEASE_SECONDS + 1}))
        columns = "carried_at requested_at joined_at seen_until due_at leased_until".split()
        changes = ", ".join(f"{name} = {name} - $2::interval" for name in columns)
        await self.team.set(f"UPDATE live_call_participants SET {changes} WHERE team_id = $1", back)  # type: ignore[arg-type]

    def line(self, call: LiveCall) -> Line:
        """A call as the loopback knows it."""
        return Line(call.team_id, call.id, call.dialer_id, TelephonyKind.LOOPBACK, call.conference, call.user_leg)

    async def legs(self, call: LiveCall) -> tuple[Leg, ...]:
        """Who is on the line."""
        return await self.loopback.look(self.line(call))

    async def state(self, call: LiveCall, user_id: UUID | None = None) -> ParticipantState:
        """How far a manager's place on a call has come."""
        wanted = user_id or self.team.managers[0]
        return ParticipantState(next(one.state for one in await self.team.places(call) if one.user_id == wanted))


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    found = Redis.from_url(redis_url)
    yield found
    await found.aclose()


@pytest.fixture
async def stage(database: str, redis: Redis) -> Stage:
    return Stage(await LiveTeam().build(), redis)


async def test_a_manager_comes_changes_and_goes(stage: Stage) -> None:
    team = stage.team
    call = await team.call()
    await team.join(call)
    assert await stage.state(call) is ParticipantState.REQUESTED
    await stage.carry()
    (place,) = await team.places(call)
    assert (place.state, place.joined_at is not None) == (ParticipantState.CONNECTED, True)
    (leg,) = await stage.legs(call)
    assert (leg.mode, leg.label) == (JoinMode.LISTEN, label_of(place.id))
    await team.change(call, JoinMode.WHISPER)
    await team.join(call, mode=JoinMode.BARGE)
    await stage.carry()
    assert [(one.id, one.mode) for one in await stage.legs(call)] == [(leg.id, JoinMode.BARGE)]
    await team.leave(call)
    await team.leave(call)
    assert await stage.state(call) is ParticipantState.LEAVING
    await stage.carry()
    assert await stage.legs(call) == ()
    (place,) = await team.places(call)
    assert (place.state, place.reason, place.address) == (ParticipantState.LEFT, "LEFT", None)
    # Again, in the same place.
    await team.join(call, mode=JoinMode.WHISPER)
    await stage.carry()
    assert [one.mode for one in await stage.legs(call)] == [JoinMode.WHISPER]
    assert len(await team.places(call)) == 1
    manager, rep = team.managers[0], str(team.reps[0])
    told = await team.audited()
    assert [(action, actor) for action, actor, _ in told] == [
        ("LIVE_CALL_JOINED", manager),
        ("LIVE_CALL_CONNECTED", None),
        ("LIVE_CALL_MODE_CHANGED", manager),
        ("LIVE_CALL_MODE_CHANGED", manager),
        ("LIVE_CALL_LEFT", manager),
        ("LIVE_CALL_JOINED", manager),
        ("LIVE_CALL_CONNECTED", None),
    ]
    assert [after["mode"] for _, _, after in told] == "LISTEN LISTEN WHISPER BARGE BARGE WHISPER WHISPER".split()
    assert all(after["user_id"] == rep for _, _, after in told)
    assert told[1][2]["manager_id"] == str(manager)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("method", ["look", "join", "change_mode", "leave"])
async def test_a_worker_that_dies_at_the_provider_leaves_nothing_behind(stage: Stage, method: str, after: bool) -> None:
    team = stage.team
    call = await team.call()
    dying = stage.worker(Mortal(stage.loopback, method, after=after, error=Died()))
    await team.join(call)
    if method != "join":
        await stage.carry()
        if method == "change_mode":
            await team.change(call, JoinMode.BARGE)
        else:
            await team.leave(call)
    (claim,) = await stage.claims()
    with pytest.raises(Died):
        await dying.carry_out(claim)
    assert await stage.claims() == [], "the lease keeps others away"
    await stage.time_passes()
    await stage.carry()
    modes = {"join": [JoinMode.LISTEN], "change_mode": [JoinMode.BARGE]}.get(method, [])
    assert [one.mode for one in await stage.legs(call)] == modes
    wanted = ParticipantState.CONNECTED if modes else ParticipantState.LEFT
    assert await stage.state(call) is wanted


@pytest.mark.parametrize("method", ["join", "leave"])
async def test_a_worker_that_dies_before_it_commits(stage: Stage, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    team = stage.team
    call = await team.call()
    await team.join(call)
    if method == "leave":
        await stage.carry()
        await team.leave(call)
    (claim,) = await stage.claims()

    async def dies(*_arguments: Any, **_named: Any) -> bool:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(live_lines, "carried", dies)
        with pytest.raises(Died):
            await stage.conductor.carry_out(claim)
    await stage.time_passes()
    await stage.carry()
    assert len(await stage.legs(call)) == (1 if method == "join" else 0)
    assert await stage.state(call) is (ParticipantState.CONNECTED if method == "join" else ParticipantState.LEFT)


async def test_two_workers_at_once_come_to_one_leg(stage: Stage) -> None:
    """The first one's lease lapsed while it was at it: its leg is a stray, and is taken off."""
    team = stage.team
    call = await team.call()
    await team.join(call)
    (slow,) = await stage.claims()
    await stage.time_passes()
    (fast,) = await stage.claims()

    class Blind(Loopback):
        """Looked before the other one joined."""

        async def look(self, line: Line) -> tuple[Leg, ...]:
            return ()

    blind = stage.worker(Blind(stage.redis))
    await stage.conductor.carry_out(fast)
    await blind.carry_out(slow)
    assert len(await stage.legs(call)) == 2
    await stage.time_passes(seconds=5)
    await stage.look()
    (leg,) = await stage.legs(call)
    (place,) = await team.places(call)
    assert (place.leg, place.state) == (leg.id, ParticipantState.CONNECTED)


async def test_a_wish_that_changes_while_it_is_carried_out(stage: Stage) -> None:
    team = stage.team
    call = await team.call()
    await team.join(call)
    (claim,) = await stage.claims()
    await team.leave(call)
    await stage.conductor.carry_out(claim)
    assert len(await stage.legs(call)) == 1
    assert await stage.state(call) is ParticipantState.LEAVING
    await stage.carry()
    assert await stage.legs(call) == ()
    assert await stage.state(call) is ParticipantState.LEFT
    # The other way round: they come back while they are taken off.
    await team.join(call)
    await stage.carry()
    await team.leave(call)
    (claim,) = await stage.claims()
    await team.join(call, mode=JoinMode.BARGE)
    await stage.conductor.carry_out(claim)
    await stage.carry()
    assert [one.mode for one in await stage.legs(call)] == [JoinMode.BARGE]
    assert await stage.state(call) is ParticipantState.CONNECTED


async def test_the_line_and_the_rows_come_together(stage: Stage) -> None:
    team = stage.team
    call = await team.call()
    await team.join(call)
    await stage.carry()
    await stage.time_passes(seconds=5)
    line = stage.line(call)
    # A leg of nobody's, and one too many of the manager's.
    (own,) = await team.places(call)
    await stage.loopback.join(line, label_of(UUID(int=7)), JoinMode.LISTEN, None)
    await stage.loopback.join(line, label_of(own.id), JoinMode.LISTEN, None)
    await stage.look()
    assert [leg.id for leg in await stage.legs(call)] == [own.leg]
    # The line does something else than was asked for.
    await stage.loopback.change_mode(line, own.leg, JoinMode.BARGE)
    await stage.look()
    await stage.carry()
    assert [leg.mode for leg in await stage.legs(call)] == [JoinMode.LISTEN]
    # The manager hangs up.
    await stage.time_passes(seconds=5)
    await stage.loopback.leave(line, own.leg)
    await stage.look()
    (place,) = await team.places(call)
    assert (place.state, place.reason) == (ParticipantState.LEFT, "HUNG_UP")
    assert (await team.audited("LIVE_CALL_LEFT"))[-1][2]["reason"] == "HUNG_UP"
    # In the end nobody looks any more.
    await stage.look()
    assert (await team.row()).look_at is not None
    await stage.time_passes(seconds=live_lines.SETTLED_SECONDS + 1)
    await stage.look()
    assert (await team.row()).look_at is None


@pytest.mark.parametrize("told", [True, False])
async def test_the_end_of_a_call_takes_everybody_off(stage: Stage, told: bool) -> None:
    team = stage.team
    call = await team.call()
    await team.join(call)
    await team.join(call, team.managers[1], JoinMode.BARGE)
    await stage.carry()
    assert len(await stage.legs(call)) == 2
    if told:
        await team.tell(event("ended", reason="COMPLETED"))
    else:
        # Nothing is heard of it any more.
        later = datetime.now(UTC) + timedelta(hours=1)
        async with acquire(ALL_TEAMS) as connection:
            assert (team.team_id, call.id) in await live_calls.lapsed(connection, later)
            assert (team.team_id, call.id) not in await live_calls.lapsed(connection, datetime.now(UTC))
        ended = partial(live_calls.end_lapsed, team_id=team.team_id, call_id=call.id, now=later)
        assert await in_transaction(team.team_id, ended)
        assert not await in_transaction(team.team_id, ended), "once"
    row = await team.row()
    assert (row.state, row.end_reason) == (LiveCallState.ENDED, "COMPLETED" if told else LEASE_LAPSED)
    await stage.carry()
    assert await stage.legs(call) == ()
    assert {(one.state, one.reason) for one in await team.places(call)} == {(ParticipantState.LEFT, "CALL_ENDED")}
    # A leg that comes too late is a ghost, and is taken off.
    await stage.loopback.join(stage.line(call), label_of(UUID(int=9)), JoinMode.LISTEN, None)
    await stage.look()
    assert await stage.legs(call) == ()
    assert len(await team.audited("LIVE_CALL_LEFT")) == 2


async def test_a_worker_in_its_loops_ends_silent_calls(stage: Stage) -> None:
    team = stage.team
    await team.call()
    await team.set("UPDATE live_calls SET leased_until = now() - interval '1 second' WHERE team_id = $1")
    row = await team.row()
    facts = row.facts | {"lease": (datetime.now(UTC) - timedelta(seconds=1)).isoformat()}
    await team.set("UPDATE live_calls SET facts = $2::jsonb WHERE team_id = $1", orjson.dumps(facts).decode())  # type: ignore[arg-type]
    await stage.conductor.look()
    assert (await team.row()).end_reason == LEASE_LAPSED
    # It went on after all.
    await team.tell(event("heartbeat"))
    assert (await team.row()).state == LiveCallState.IN_PROGRESS


@pytest.mark.parametrize("change", ["role", "group", "active", "rep moves", "call passed on"])
async def test_who_may_not_see_a_call_any_more_is_taken_off(stage: Stage, change: str) -> None:
    team = stage.team
    call = await team.call()
    await team.join(call)
    await stage.carry()
    await stage.look()
    assert len(await stage.legs(call)) == 1
    manager = team.managers[0]
    if change == "call passed on":
        await team.tell(event("updated", user=await team.email(team.far)))
    else:
        statement = {
            "role": f"UPDATE users SET role_id = '{team.rep_role}' WHERE team_id = $1 AND id = '{manager}'",
            "group": f"UPDATE users SET group_id = '{team.branch}' WHERE team_id = $1 AND id = '{manager}'",
            "active": f"UPDATE users SET active = false WHERE team_id = $1 AND id = '{manager}'",
            "rep moves": f"UPDATE users SET group_id = '{team.branch}' WHERE team_id = $1 AND id = '{team.reps[0]}'",
        }[change]
        await team.set(statement)
        await stage.look()
    await stage.carry()
    assert await stage.legs(call) == ()
    reason = "CALL_PASSED_ON" if change == "call passed on" else "NOT_ALLOWED"
    assert (await team.places(call))[0].reason == reason


async def test_consent_that_is_lost_takes_off_who_lacks_it(stage: Stage) -> None:
    team = stage.team
    await team.allow("ONE_PARTY", jurisdictions='{"US-CA": {"rule": "ALL_PARTY"}, "DE": {"rule": "FORBIDDEN"}}')
    call = await team.call(counterpartJurisdiction="US-TX")
    await team.join(call)
    await team.join(call, team.managers[1], acknowledged=True)
    await stage.carry()
    await team.tell(event("updated", counterpartJurisdiction="US-CA"))
    await stage.carry()
    assert [(one.state, one.reason) for one in await team.places(call)] == [
        (ParticipantState.LEFT, "CONSENT_NEEDED"),
        (ParticipantState.CONNECTED, None),
    ]
    await team.tell(event("updated", at=datetime.now(UTC) + timedelta(seconds=1), counterpartJurisdiction="DE"))
    await stage.carry()
    assert await stage.legs(call) == ()


async def test_a_provider_that_fails(stage: Stage) -> None:
    team = stage.team
    call = await team.call()
    await team.join(call)
    away = stage.worker(Mortal(stage.loopback, "join", after=True, error=LineUnavailable("away")))
    await stage.carry(away)
    (place,) = await team.places(call)
    assert (place.state, place.attempts) == (ParticipantState.REQUESTED, 1)
    # It happened all the same: what is there is taken for what was asked.
    await stage.time_passes(seconds=2)
    await stage.carry()
    assert await stage.state(call) is ParticipantState.CONNECTED
    assert len(await stage.legs(call)) == 1
    # A mode that it refuses to change takes the manager off.
    await team.change(call, JoinMode.BARGE)
    await stage.carry(stage.worker(Mortal(stage.loopback, "change_mode", after=False, error=LineRefused("no"))))
    await stage.carry()
    assert await stage.legs(call) == ()
    assert (await team.places(call))[0].reason == "MODE_REFUSED"
    # One that is away for too long, one that has no such call, one that refuses.
    for error, reason in (
        (LineUnavailable("The provider is away."), "The provider is away."),
        (LineGone("No such call."), "No such call."),
        (LineRefused("The number is barred."), "The number is barred."),
    ):
        await team.join(call)
        failing = stage.worker(Mortal(stage.loopback, "join", after=False, error=error))
        if not isinstance(error, LineRefused):
            await stage.carry(failing)
            assert await stage.state(call) is ParticipantState.REQUESTED
            await stage.time_passes(seconds=live_lines.JOIN_SECONDS + 1)
        await stage.carry(failing)
        (place,) = await team.places(call)
        assert (place.state, place.reason) == (ParticipantState.FAILED, reason)
        assert (await team.audited("LIVE_CALL_LEFT"))[-1][2]["reason"] == reason
        await stage.time_passes(hours=1)


async def test_who_is_not_seen_for_long_is_to_leave(stage: Stage) -> None:
    team = stage.team
    call = await team.call()
    await team.join(call)
    await stage.carry()
    blind = stage.worker(Mortal(stage.loopback, "look", after=False, error=LineUnavailable("away")))
    await stage.look(blind)
    assert await stage.state(call) is ParticipantState.CONNECTED
    await stage.time_passes(seconds=live_lines.SEEN_SECONDS + 1)
    await stage.look(blind)
    assert await stage.state(call) is ParticipantState.LEAVING
    await stage.carry(blind)
    assert await stage.state(call) is ParticipantState.LEAVING, "until it is known that they are off"
    await stage.time_passes(seconds=30)
    await stage.carry()
    assert (await team.places(call))[0].reason == "NOT_SEEN"
    assert await stage.legs(call) == ()


class TwilioStage(Stage):
    """The same with Twilio's double."""

    def __init__(self, team: LiveTeam, redis: Redis, double: TwilioDouble) -> None:
        super().__init__(team, redis)
        self.double = double
        self.wire = wire_to({"twilio": double.base_url})
        self.conductor = Conductor(providers(self.wire, redis, "https://sideline.example"), BOX, redis, "worker")


@pytest.fixture
async def twilio(database: str, redis: Redis) -> AsyncIterator[TwilioStage]:
    with TwilioDouble() as double:
        stage = TwilioStage(await LiveTeam().build(TelephonyKind.TWILIO), redis, double)
        yield stage
        await stage.wire.close()


REP = "CA" + "a" * 32


async def test_twilio_brings_managers_onto_conferences(twilio: TwilioStage) -> None:
    team, double = twilio.team, twilio.double
    sid = double.open("room 1", REP)
    call = await team.call(conference="room 1", userLeg=REP)
    await team.join(call, mode=JoinMode.LISTEN, address="+15550111")
    await twilio.carry()
    (place,) = await team.places(call)
    (there,) = double.ours(sid)
    assert (there.muted, there.coaching, there.label) == (True, False, label_of(place.id))
    form = there.form
    assert (form["To"], form["From"], form["Beep"], form["Timeout"]) == ("+15550111", "+15550100", "false", "30")
    assert (form["StartConferenceOnEnter"], form["EndConferenceOnExit"]) == ("false", "false")
    assert form["TimeLimit"] == str(4 * 3600)
    assert form["StatusCallback"].startswith("https://sideline.example/live-calls/")
    assert form["StatusCallback"].endswith(f"/twilio?participant={place.id.hex}")
    # It rings: nobody has told that they answered, and looking finds it.
    assert place.state == ParticipantState.REQUESTED
    await twilio.time_passes(seconds=3)
    await twilio.look()
    assert await twilio.state(call) is ParticipantState.CONNECTED
    for mode, muted, coached in (
        (JoinMode.WHISPER, False, REP),
        (JoinMode.BARGE, False, None),
        (JoinMode.LISTEN, True, None),
    ):
        await team.change(call, mode)
        await twilio.carry()
        (there,) = double.ours(sid)
        assert (there.muted, there.call_sid_to_coach) == (muted, coached)
    await team.leave(call)
    await twilio.carry()
    assert double.ours(sid) == []
    assert double.calls[there.call_sid] == "completed"
    assert await twilio.state(call) is ParticipantState.LEFT


async def test_twilio_when_the_conference_ends_and_when_a_phone_is_hung_up(twilio: TwilioStage) -> None:
    team, double = twilio.team, twilio.double
    sid = double.open("CF-name", REP)
    call = await team.call(conference=sid, userLeg=REP)
    await team.join(call)
    await team.join(call, team.managers[1], JoinMode.WHISPER)
    await twilio.carry()
    await twilio.time_passes(seconds=3)
    await twilio.look()
    first, _second = double.ours(sid)
    double.hang_up(sid, first.call_sid)
    await twilio.time_passes(seconds=3)
    await twilio.look()
    states = sorted(one.state for one in await team.places(call))
    assert states == [ParticipantState.CONNECTED, ParticipantState.LEFT]
    double.close(sid)
    await twilio.look()
    assert {one.state for one in await team.places(call)} == {ParticipantState.LEFT}


@pytest.mark.parametrize("answer", ["busy", "no-answer"])
async def test_twilio_rings_in_vain(twilio: TwilioStage, answer: str) -> None:
    team, double = twilio.team, twilio.double
    double.answers = answer
    call = await team.call(conference=double.open("room", REP), userLeg=REP)
    await team.join(call)
    await twilio.carry()
    assert await twilio.state(call) is ParticipantState.REQUESTED
    await twilio.time_passes(seconds=40)
    await twilio.look()
    (place,) = await team.places(call)
    assert (place.state, place.reason) == (ParticipantState.FAILED, "NO_ANSWER")


@pytest.mark.parametrize(
    "fault",
    [Fault(status=500), Fault(status=503), Fault(status=429), Fault(cut=True), Fault(status=200, body="<html>")],
)
async def test_twilio_in_trouble_is_tried_again(twilio: TwilioStage, fault: Fault) -> None:
    team, double = twilio.team, twilio.double
    sid = double.open("room", REP)
    call = await team.call(conference=sid, userLeg=REP)
    await team.join(call)
    double.faults.extend([Fault(), fault])  # The look goes through, the join does not.
    await twilio.carry()
    assert await twilio.state(call) is ParticipantState.REQUESTED
    await twilio.time_passes(seconds=2)
    await twilio.carry()
    assert len(double.ours(sid)) == 1, "a join whose answer was lost is found, not made again"
    await twilio.time_passes(seconds=3)
    await twilio.look()
    assert await twilio.state(call) is ParticipantState.CONNECTED


async def test_twilio_refuses(twilio: TwilioStage) -> None:
    team, double = twilio.team, twilio.double
    sid = double.open("room", REP)
    # There is no leg to whisper to.
    call = await team.call(conference=sid, userLeg="CA" + "b" * 32)
    await team.join(call, mode=JoinMode.WHISPER)
    await twilio.carry()
    (place,) = await team.places(call)
    assert place.state == ParticipantState.FAILED
    assert place.reason is not None
    assert "CallSidToCoach" in place.reason
    assert double.ours(sid) == []


async def test_a_call_without_a_conference_is_waited_for(twilio: TwilioStage) -> None:
    """The dialer tells of it later than the manager joins."""
    team, double = twilio.team, twilio.double
    call = await team.call(conference="late", userLeg=REP)
    await team.join(call)
    await twilio.carry()
    assert await twilio.state(call) is ParticipantState.REQUESTED
    sid = double.open("late", REP)
    await twilio.time_passes(seconds=2)
    await twilio.carry()
    assert len(double.ours(sid)) == 1


async def test_twilio_does_not_let_us_in(twilio: TwilioStage) -> None:
    team, double = twilio.team, twilio.double
    double.open("room", REP)
    await team.set("UPDATE dialers SET account = $2 WHERE team_id = $1", _account("another token"))  # type: ignore[arg-type]
    call = await team.call(conference="room", userLeg=REP)
    await team.join(call)
    await twilio.carry()
    (place,) = await team.places(call)
    assert place.state == ParticipantState.FAILED
    assert place.reason is not None
    assert "account" in place.reason


def _account(token: str) -> bytes:
    return BOX.seal(orjson.dumps({"sid": "AC" + "0" * 32, "token": token, "from": "+15550100"}))


async def test_twilio_is_silent(twilio: TwilioStage, monkeypatch: pytest.MonkeyPatch) -> None:
    team, double = twilio.team, twilio.double
    sid = double.open("CF-room", REP)
    call = await team.call(conference=sid, userLeg=REP)
    await team.join(call)
    monkeypatch.setattr(twilio_module, "REQUEST_SECONDS", 0.05)
    double.faults.extend([Fault(slow_seconds=0.5)])
    await twilio.carry()
    (place,) = await team.places(call)
    assert (place.state, place.attempts) == (ParticipantState.REQUESTED, 1)
    monkeypatch.undo()
    await twilio.time_passes(seconds=2)
    await twilio.carry()
    assert len(double.ours(sid)) == 1


async def test_an_account_that_cannot_be_opened_waits(twilio: TwilioStage) -> None:
    team = twilio.team
    call = await team.call(conference="room", userLeg=REP)
    await team.join(call)
    keyless = Conductor(providers(twilio.wire, twilio.redis, None), None, twilio.redis, "worker")
    await twilio.carry(keyless)
    assert await twilio.state(call) is ParticipantState.REQUESTED
    await twilio.time_passes(seconds=live_lines.JOIN_SECONDS + 1)
    await twilio.carry(keyless)
    (place,) = await team.places(call)
    assert (place.state, place.reason) == (
        ParticipantState.FAILED,
        "SIDELINE_SECRET_KEYS is not set: the account cannot be opened.",
    )
