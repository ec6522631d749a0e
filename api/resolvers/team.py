"""A team's settings, holidays and days off."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from api.context import Context
from api.schema.team import (
    AddDaysOffInput,
    DaysOff,
    Holiday,
    RemoveDaysOffInput,
    RemoveHolidayInput,
    SetHolidayInput,
    TeamSettings,
    UpdateTeamSettingsInput,
)
from domain import team_settings
from domain.ids import decode_id
from domain.periods import Days, explicit_range


async def read_settings(context: Context) -> TeamSettings:
    """The settings of the viewer's team."""
    async with context.acquire() as connection:
        return TeamSettings.of(await team_settings.read_team(connection, context.viewer.team_id))


async def update_settings(context: Context, given: UpdateTeamSettingsInput) -> TeamSettings:
    """Change settings. Raises what domain.team_settings.update_settings does."""

    async def work(connection: Any) -> Any:
        return await team_settings.update_settings(connection, context.viewer, given.to_domain())

    return TeamSettings.of(await context.in_transaction(work))


async def list_holidays(context: Context, first: date, last: date) -> list[Holiday]:
    """The holidays of a range.

    Raises:
        Invalid: the range does not fit.
    """
    days = explicit_range(first, last)
    async with context.acquire() as connection:
        return [Holiday.of(one) for one in await team_settings.list_holidays(connection, context.viewer.team_id, days)]


async def set_holiday(context: Context, given: SetHolidayInput) -> Holiday:
    """Keep a day free or work on it. Raises what the domain does."""

    async def work(connection: Any) -> Any:
        return await team_settings.set_holiday(
            connection, context.viewer, given.day, given.name, working=bool(given.working)
        )

    return Holiday.of(await context.in_transaction(work))


async def remove_holiday(context: Context, given: RemoveHolidayInput) -> None:
    """Take back what was said of a day. Raises what the domain does."""

    async def work(connection: Any) -> None:
        await team_settings.remove_holiday(connection, context.viewer, given.day)

    await context.in_transaction(work)


async def list_days_off(context: Context, user_id: UUID, first: date, last: date) -> list[DaysOff]:
    """A person's days off in a range; none where the viewer may not see the person's goals.

    Raises:
        Invalid: the range does not fit.
    """
    days = explicit_range(first, last)
    sight = await context.goal_sight()
    async with context.acquire() as connection:
        return [DaysOff.of(row) for row in await team_settings.list_days_off(connection, sight, user_id, days)]


async def add_days_off(context: Context, given: AddDaysOffInput) -> DaysOff:
    """Take days off. Raises what the domain does."""
    user_id = decode_id(given.user_id, "User", path=("input", "userId"))

    async def work(connection: Any) -> Any:
        return await team_settings.add_days_off(
            connection, context.viewer, user_id, Days(given.first, given.last), given.reason
        )

    return DaysOff.of(await context.in_transaction(work))


async def remove_days_off(context: Context, given: RemoveDaysOffInput) -> DaysOff:
    """Give days off back. Raises what the domain does."""
    row_id = decode_id(given.days_off_id, "DaysOff", path=("input", "daysOffId"))

    async def work(connection: Any) -> Any:
        return await team_settings.remove_days_off(connection, context.viewer, row_id)

    return DaysOff.of(await context.in_transaction(work))
