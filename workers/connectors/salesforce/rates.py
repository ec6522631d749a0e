"""The exchange rates of an organization with several currencies, in the team's.

Salesforce keeps how much of a currency one unit of the corporate currency is worth: for all time (CurrencyType), and
with advanced currency management from a day on (DatedConversionRate). One unit of a currency is worth the team's rate
divided by the currency's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from domain.connectors import Rate
from workers.connectors.salesforce.client import Client, Fault

FOR_ALL_TIME = date(2000, 1, 1)
RATE_STEP = Decimal("1e-12")

_Days = dict[str, list[tuple[date, Decimal]]]


async def read_rates(client: Client, currency: str, since: str | None) -> tuple[list[Rate], str]:
    """The rates, where there is anything new in them, and the stamp of the newest.

    Args:
        client: Salesforce.
        currency: The team's.
        since: The stamp of before; of another currency of the team's, it is another.
    """
    types = await client.query(
        "SELECT IsoCode, ConversionRate, IsCorporate, SystemModstamp FROM CurrencyType WHERE IsActive = true"
    )
    stamps = [str(row.get("SystemModstamp")) for row in types.rows]
    stamp = f"{currency} {max(stamps, default='')}"
    dated: list[dict[str, Any]] = []
    try:
        newest = await client.query(
            "SELECT SystemModstamp FROM DatedConversionRate ORDER BY SystemModstamp DESC LIMIT 1"
        )
        stamps += [str(row.get("SystemModstamp")) for row in newest.rows]
        stamp = f"{currency} {max(stamps, default='')}"
        if newest.rows and stamp != since:
            answer = await client.query("SELECT IsoCode, StartDate, ConversionRate FROM DatedConversionRate")
            dated = answer.rows
    except Fault as fault:
        if fault.code != "INVALID_TYPE":
            raise
    if stamp == since:
        return [], stamp
    return convert(types.rows, dated, currency), stamp


def convert(types: Iterable[Mapping[str, Any]], dated: Iterable[Mapping[str, Any]], currency: str) -> list[Rate]:
    """Rates in a team's currency, of rates in the corporate one.

    A currency with dated rates goes by those; before the first of them by its rate for all time. Nothing comes of it
    where the organization does not know the team's currency.
    """
    days: _Days = {}
    for row in types:
        rate = _positive(Decimal(1) if row.get("IsCorporate") is True else row.get("ConversionRate"))
        if rate is not None and isinstance(row.get("IsoCode"), str):
            days.setdefault(row["IsoCode"], []).append((FOR_ALL_TIME, rate))
    for row in dated:
        rate, day = _positive(row.get("ConversionRate")), _day(row.get("StartDate"))
        if rate is not None and day is not None and isinstance(row.get("IsoCode"), str):
            days.setdefault(row["IsoCode"], []).append((max(day, FOR_ALL_TIME), rate))
    for those in days.values():
        those.sort(key=lambda one: one[0])
    own = days.pop(currency, None)
    if own is None:
        return []
    found = []
    for code, those in days.items():
        for day in sorted({day for day, _rate in those} | {day for day, _rate in own}):
            theirs, ours = _on(those, day), _on(own, day)
            worth = None if theirs is None or ours is None else (ours / theirs).quantize(RATE_STEP)
            if worth:
                found.append(Rate(code, day, worth))
    return found


def _on(days: list[tuple[date, Decimal]], day: date) -> Decimal | None:
    place = bisect_right(days, day, key=lambda one: one[0])
    return days[place - 1][1] if place else None


def _positive(value: Any) -> Decimal | None:
    try:
        rate = Decimal(str(value))
    except InvalidOperation:
        return None
    return rate if rate.is_finite() and rate > 0 else None


def _day(value: Any) -> date | None:
    try:
        return datetime.fromisoformat(value).date() if isinstance(value, str) else None
    except ValueError:
        return None
