"""Telephony providers: see domain/telephony.py for what each of them does."""

from __future__ import annotations

from collections.abc import Mapping

from redis.asyncio import Redis

from domain.models.live_calls import TelephonyKind
from domain.telephony import Telephony
from workers.session import Wire
from workers.telephony.loopback import Loopback
from workers.telephony.twilio import Twilio


def providers(wire: Wire, redis: Redis, public_url: str | None) -> Mapping[TelephonyKind, Telephony]:
    """All providers, over a worker's HTTP pool and Redis."""
    return {
        TelephonyKind.TWILIO: Twilio(wire.http, base_url=wire.urls.get("twilio"), public_url=public_url),
        TelephonyKind.LOOPBACK: Loopback(redis),
    }
