"""Live calls at the workers: wishes of managers are carried out, lines are looked at, calls that fell silent end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain import database, dialers, live_calls, live_lines
from domain.errors import Unavailable
from domain.live_changes import HINTS_CHANNEL
from domain.live_lines import Claim, LineRow
from domain.models.live_calls import TelephonyKind
from domain.secrets import SecretBox
from domain.settings import Settings
from domain.telephony import Leg, Line, LineGone, LineRefused, LineUnavailable, Telephony, label_of
from workers import demo_calls
from workers.demo_calls import DemoCalls
from workers.loops import Loop
from workers.session import Wire
from workers.telephony import providers

log = structlog.get_logger(__name__)

AT_ONCE = 16
"""Participants that one worker carries out, and lines that it looks at, at the same time."""
CLAIM_SECONDS = live_lines.LEASE_SECONDS - 8.0
"""All that one claim asks of a provider ends within the lease."""
STEP_SECONDS = 1.0
"""How often the workers look for what no notification brought."""


class Conductor:
    """Carries out what managers ask for, and keeps the lines and our rows together.

    Args:
        providers: By their kind.
        box: Opens accounts; without it none can be used.
        redis: Where changes are hinted at.
        holder: The name in the leases.
    """

    def __init__(
        self, providers: Mapping[TelephonyKind, Telephony], box: SecretBox | None, redis: Redis, holder: str
    ) -> None:
        self._providers = providers
        self._box = box
        self._redis = redis
        self._holder = holder
        self._running: set[asyncio.Task[None]] = set()
        self._freed: Callable[[], None] = lambda: None

    def when_free(self, wake: Callable[[], None]) -> None:
        """Call this whenever there is room for more."""
        self._freed = wake

    async def step(self) -> bool:
        """Begin with the participants that are due. Returns False: who is done wakes the next step."""
        free = AT_ONCE - len(self._running)
        if free > 0:
            async with database.acquire(database.ALL_TEAMS) as connection:
                claims = await live_lines.claim_due(connection, self._holder, free)
            for claim in claims:
                task = asyncio.ensure_future(self.carry_out(claim))
                self._running.add(task)
                task.add_done_callback(self._ended)
        return False

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The lease will lapse, and somebody goes on from what is on the line.
            log.error("live_call.claim_left", error=repr(error))
        self._freed()

    async def stop(self) -> None:
        """Let what is running go back to the others."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _line(self, row: LineRow) -> tuple[Telephony, Line]:
        """Raises LineRefused where nobody can be asked."""
        provider = self._providers.get(row.telephony)
        if provider is None:
            raise LineRefused("The dialer has no telephony.")
        account: dict[str, str] = {}
        if row.account is not None:
            if self._box is None:
                raise LineUnavailable("SIDELINE_SECRET_KEYS is not set: the account cannot be opened.")
            try:
                account = dialers.account_of(self._box, row.account)
            except Unavailable as error:
                raise LineUnavailable(error.message) from error
        return provider, Line(
            row.team_id, row.call_id, row.dialer_id, row.telephony, row.conference, row.user_leg, account
        )

    async def carry_out(self, claim: Claim) -> None:
        """Ask the provider for what a claim wants, and commit what came of it; each end has its own line in the log."""
        bound = log.bind(participant=str(claim.participant_id), team=str(claim.line.team_id), version=claim.version)
        now = partial(datetime.now, UTC)
        outcome: Callable[[Any], Awaitable[bool]]
        try:
            async with asyncio.timeout(CLAIM_SECONDS):
                leg = await self._ask(claim)
        except LineRefused as error:
            bound.warning("live_call.refused", reason=str(error))
            reason = str(error)
            outcome = lambda connection: live_lines.refused(connection, claim, reason, now())  # noqa: E731
        except (LineUnavailable, LineGone, TimeoutError) as error:
            bound.warning("live_call.postponed", reason=repr(error))
            reason = str(error) or "The telephony provider did not answer in time."
            wait = getattr(error, "retry_after_seconds", None)
            outcome = lambda connection: live_lines.postponed(connection, claim, reason, now(), wait)  # noqa: E731
        except asyncio.CancelledError:
            async with database.acquire(claim.line.team_id) as connection:
                await asyncio.shield(live_lines.released(connection, claim))
            raise
        else:
            bound.info("live_call.carried_out", on_the_line=leg is not None)
            outcome = lambda connection: live_lines.carried(connection, claim, leg, now())  # noqa: E731
        if not await database.in_transaction(claim.line.team_id, outcome):
            bound.info("live_call.claim_lost")
        await self.hint(claim.line.team_id)

    async def _ask(self, claim: Claim) -> Leg | None:
        """Bring the line to what is wanted, from however a dead worker left it."""
        provider, line = self._line(claim.line)
        label = label_of(claim.participant_id)
        if not claim.wanted:
            try:
                legs = [leg.id for leg in await provider.look(line) if leg.label == label]
            except LineGone:
                legs = []
            for leg_id in dict.fromkeys([*([] if claim.leg is None else [claim.leg]), *legs]):
                await provider.leave(line, leg_id)
            return None
        there = [leg for leg in await provider.look(line) if leg.label == label]
        if not there:
            return await provider.join(line, label, claim.mode, claim.address)
        kept = next((leg for leg in there if leg.id == claim.leg), there[0])
        for leg in there:
            if leg is not kept:
                await provider.leave(line, leg.id)
        if kept.mode is not claim.mode:
            await provider.change_mode(line, kept.id, claim.mode)
        return Leg(kept.id, label, kept.state, claim.mode)

    async def look(self) -> bool:
        """Look at the lines that are due, and end the calls that fell silent. Returns whether there may be more."""
        now = datetime.now(UTC)
        async with database.acquire(database.ALL_TEAMS) as connection:
            silent = await live_calls.lapsed(connection, now)
            lines = await live_lines.claim_looks(connection, AT_ONCE)
        for team_id, call_id in silent:
            ended = partial(live_calls.end_lapsed, team_id=team_id, call_id=call_id, now=now)
            if await database.in_transaction(team_id, ended):
                log.info("live_call.lapsed", team=str(team_id), call=str(call_id))
                await self.hint(team_id)
        await asyncio.gather(*(self._look_at(line) for line in lines))
        return len(silent) == live_calls.LAPSE_LOT or len(lines) == AT_ONCE

    async def _look_at(self, row: LineRow) -> None:
        bound = log.bind(call=str(row.call_id), team=str(row.team_id))
        asked_at = datetime.now(UTC)
        try:
            provider, line = self._line(row)
            async with asyncio.timeout(CLAIM_SECONDS):
                try:
                    legs = await provider.look(line)
                except LineGone:
                    legs = ()
        except (LineUnavailable, LineRefused, TimeoutError) as error:
            bound.warning("live_call.not_seen", reason=repr(error))
            unseen = partial(live_lines.unseen, line=row, now=datetime.now(UTC))
            if await database.in_transaction(row.team_id, unseen):
                await self.hint(row.team_id)
            return
        held = partial(live_lines.looked, line=row, legs=legs, asked_at=asked_at, now=datetime.now(UTC))
        found = await database.in_transaction(row.team_id, held)
        try:
            async with asyncio.timeout(CLAIM_SECONDS):
                if found.over and legs:
                    bound.info("live_call.ended", legs=await provider.end(line))
                else:
                    for stray in found.strays:
                        bound.warning("live_call.stray_leg", leg=stray.id)
                        await provider.leave(line, stray.id)
        except (LineUnavailable, LineRefused, LineGone, TimeoutError) as error:
            # The next look finds them again.
            bound.warning("live_call.legs_left", reason=repr(error))
        await self.hint(row.team_id)

    async def hint(self, team_id: UUID) -> None:
        """Tell the API processes that live calls of a team may have changed; a lost hint costs a moment."""
        try:
            await self._redis.publish(HINTS_CHANNEL, str(team_id))
        except (RedisError, OSError) as error:
            log.warning("live_call.hint_lost", team=str(team_id), error=repr(error))


class LiveStudio:
    """All that a worker does for live calls, as loops.

    Args:
        settings: The installation's.
        redis: Where changes are hinted at, and where the loopback's lines are.
        holder: The name in the leases.
    """

    def __init__(self, settings: Settings, redis: Redis, holder: str) -> None:
        box = settings.secret_box()
        self._wire = Wire(
            private_allowed=settings.integrations_to_private_addresses,
            oauth_clients={},
            urls=settings.connector_urls,
            roots=(),
            box=box,
        )
        self._conductor = Conductor(providers(self._wire, redis, settings.public_url), box, redis, holder)
        conducting = Loop("live joins", self._conductor.step, STEP_SECONDS)
        self._conductor.when_free(conducting.wake)
        self.awake = [conducting]
        """Woken by `live_changes.WORK_CHANNEL`."""
        self.loops = [conducting, Loop("live lines", self._conductor.look, STEP_SECONDS)]
        if settings.demo_calls and box is not None:
            self.loops.append(Loop("demo calls", DemoCalls(box, redis).step, demo_calls.STEP_SECONDS))

    async def stop(self) -> None:
        """Let what is running go back to the others."""
        await self._conductor.stop()
        await self._wire.close()
