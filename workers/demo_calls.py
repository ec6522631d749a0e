"""Calls that come and go on the demo team, told by a dialer that is none, so that the studio can be tried."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain import database, dialers, live_calls
from domain.demo import live_calls as demo
from domain.demo.people import TEAM_NAME
from domain.dialers import NewDialer
from domain.live_call_events import CallEvent
from domain.live_changes import HINTS_CHANNEL
from domain.live_consent import put_studio
from domain.models import Dialer
from domain.models.live_calls import TelephonyKind
from domain.secrets import SecretBox

log = structlog.get_logger(__name__)

STEP_SECONDS = 1.0
KNOWN_SECONDS = 2 * demo.ROUND_SECONDS


class DemoCalls:
    """Tells of the demo's calls as they come and go. Several may run at once: they all tell the same.

    Args:
        box: Seals the secret of the demo's dialer.
        redis: Where changes are hinted at.
    """

    def __init__(self, box: SecretBox, redis: Redis) -> None:
        self._box = box
        self._redis = redis
        self._dialer: Dialer | None = None
        self._told: dict[tuple[str, str, datetime], datetime] = {}

    async def step(self) -> bool:
        """Tell what is new. Returns False: the next step waits for its time."""
        now = datetime.now(UTC)
        if self._dialer is None:
            self._dialer = await self._find_dialer()
            if self._dialer is None:
                return False
        self._told = {key: at for key, at in self._told.items() if now - at < timedelta(seconds=KNOWN_SECONDS)}
        changed = False
        for call in demo.calls_at(now):
            for event in call.events(now):
                key = (call.name, event.type.value, event.timestamp)
                if key not in self._told:
                    changed |= await self._tell(self._dialer, event, now)
                    self._told[key] = now
        if changed:
            try:
                await self._redis.publish(HINTS_CHANNEL, str(self._dialer.team_id))
            except (RedisError, OSError) as error:
                log.warning("demo_calls.hint_lost", error=repr(error))
        return False

    async def _tell(self, dialer: Dialer, event: CallEvent, now: datetime) -> bool:
        work = partial(live_calls.take_in, dialer=dialer, event=event, now=now)
        return (await database.in_transaction(dialer.team_id, work)).changed

    async def _find_dialer(self) -> Dialer | None:
        """The demo team's own, made where there is none yet; None where there is no demo team."""
        async with database.acquire(database.ALL_TEAMS) as connection:
            team_id: UUID | None = await connection.fetchval("SELECT id FROM teams WHERE demo AND name = $1", TEAM_NAME)
        if team_id is None:
            return None

        async def work(connection: Any) -> Dialer:
            await connection.execute("SELECT 1 FROM teams WHERE id = $1 FOR NO KEY UPDATE", team_id)
            found = await dialers.dialer_named(connection, team_id, demo.DIALER_NAME)
            if found is None:
                new = NewDialer(demo.DIALER_NAME, TelephonyKind.LOOPBACK)
                found, _secret = await dialers.insert_dialer(connection, team_id, self._box, new)
                await put_studio(connection, team_id, demo.STUDIO)
            return found

        return await database.in_transaction(team_id, work)
