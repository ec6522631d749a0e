"""What one request or one event of a subscription is answered with: the viewer, the clock, and batched look-ups."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID, uuid4

from api.limits import Limits
from api.loading import Loader
from domain import access, action_list, activities, bodies, goals, live_calls, people, scores
from domain.access import GoalSight, Sight, Viewer
from domain.access_film import FilmSight, see_film
from domain.accolades import Rule, rules_by_id
from domain.action_list import SentMessage
from domain.database import acquire, in_transaction, transaction
from domain.errors import NotFound, Unavailable
from domain.goal_events import GoalView, Version
from domain.goal_progress import progress_now
from domain.identity import calendar_of
from domain.insight.forecasts import Forecast, forecasts_now
from domain.models import ActionRun, Activity, Group, LiveCallParticipant, Role, ScoreKind, User
from domain.pacing import Progress
from domain.paging import Page, PageRequest
from domain.periods import Calendar
from domain.replica import Replica
from domain.score_board import Asked, Chosen, load_scores
from domain.scores import DefinitionVersion
from domain.scoring import Score
from domain.secrets import SecretBox

if TYPE_CHECKING:
    from arq.connections import ArqRedis
    from starlette.requests import HTTPConnection

    from domain.database import Connection

Key = TypeVar("Key")
Result = TypeVar("Result")


@dataclass
class Context:
    """The request's context. Nothing in it outlives the request, so permissions are read anew each time.

    Args:
        viewer: Who asks.
        now: The clock.
        connection: The request, or the WebSocket.
        identify: Looks at the credential again.
        queue: Where jobs are hinted at.
        credential: What was shown, to tell connections of one credential from those of another.
        streams: Whether the connection can carry more than one answer.
        request_id: For the log and the client.
        replica: Whether it is answered from the replica, but for who may see what.
    """

    viewer: Viewer
    now: datetime
    connection: HTTPConnection
    identify: Callable[[], Awaitable[Viewer]]
    queue: ArqRedis | None = None
    credential: str = ""
    streams: bool = False
    request_id: str = field(default_factory=lambda: uuid4().hex)
    replica: bool = False
    _once: dict[str, asyncio.Future[object]] = field(default_factory=dict)
    _loaders: list[Loader[Any, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        client = self.connection.client
        # What the audit log tells of where a change came from.
        self.viewer = replace(self.viewer, address=client.host if client else None, request_id=self.request_id)

    @property
    def limits(self) -> Limits:
        """What a document may ask for."""
        limits: Limits = self.connection.app.state.limits
        return limits

    def secret_box(self) -> SecretBox:
        """What seals secrets.

        Raises:
            Unavailable: no key is set.
        """
        box: SecretBox | None = self.connection.app.state.secret_box
        if box is None:
            raise Unavailable("SIDELINE_SECRET_KEYS is not set on this server: secrets cannot be kept.")
        return box

    @cached_property
    def users(self) -> Loader[UUID, User | None]:
        """Users in sight by their ids."""
        return self.loader(self._load_users)

    @cached_property
    def groups(self) -> Loader[UUID, Group | None]:
        """Groups of the team by their ids."""
        return self.loader(self._load_groups)

    @cached_property
    def roles(self) -> Loader[UUID, Role | None]:
        """Roles of the team by their ids."""
        return self.loader(self._load_roles)

    @cached_property
    def activities(self) -> Loader[UUID, Activity | None]:
        """Activities in sight by their ids."""
        return self.loader(self._load_activities)

    @cached_property
    def goal_subjects(self) -> Loader[UUID, User]:
        """Users whose goals are in sight, by their ids."""
        return self.loader(self._load_goal_subjects)

    @cached_property
    def goals(self) -> Loader[UUID, GoalView | None]:
        """Goals in sight by their ids."""
        return self.loader(self._load_goals)

    @cached_property
    def goal_histories(self) -> Loader[UUID, list[Version]]:
        """The versions of goals that are in sight already."""
        return self.loader(self._load_histories)

    @cached_property
    def goal_progress(self) -> Loader[GoalView, Progress]:
        """How goals stand now."""
        return self.loader(self._load_progress)

    @cached_property
    def goal_outlooks(self) -> Loader[GoalView, Forecast | None]:
        """Where goals will end."""
        return self.loader(self._load_outlooks)

    @cached_property
    def scores(self) -> Loader[tuple[UUID, Asked], Mapping[ScoreKind, Score]]:
        """Scores of people in sight over days, of every kind that their roles have."""
        return self.loader(self._load_scores)

    @cached_property
    def score_histories(self) -> Loader[UUID, list[DefinitionVersion]]:
        """The versions of score definitions that are in sight already."""
        return self.loader(self._load_score_histories)

    @cached_property
    def live_call_participants(self) -> Loader[UUID, list[LiveCallParticipant]]:
        """Who is or was on live calls that are in sight already."""
        return self.loader(self._load_live_call_participants)

    @cached_property
    def accolade_rules(self) -> Loader[UUID, Rule]:
        """Rules of the team that granted something, by their ids."""
        return self.loader(self._load_accolade_rules)

    @cached_property
    def action_runs(self) -> Loader[tuple[UUID, PageRequest], Page[ActionRun]]:
        """The first pages of the histories of actions that are in sight already."""
        return self.loader(self._load_action_runs)

    @cached_property
    def run_messages(self) -> Loader[tuple[UUID, int], list[SentMessage]]:
        """What occurrences of actions that are in sight already let go out."""
        return self.loader(self._load_run_messages)

    @cached_property
    def email_bodies(self) -> Loader[tuple[UUID, UUID], str | None]:
        """Bodies of emails that the viewer may read, by the email's and its owner's id."""
        return self.loader(self._load_email_bodies)

    async def renewed(self) -> Context:
        """A context for the next event or the next operation of one connection: the viewer as they stand now.

        Raises:
            Unauthenticated: the credential has ended.
        """
        viewer = await self.identify()
        return Context(
            viewer, datetime.now(UTC), self.connection, self.identify, self.queue, self.credential, self.streams
        )

    async def refresh(self) -> None:
        """The same in place, for a stream whose executor holds on to one context. Nothing may be executing in it.

        Raises:
            Unauthenticated: the credential has ended.
        """
        request_id, renewed = self.request_id, await self.renewed()
        # What was looked up belongs to the moment that is over.
        self.__dict__.clear()
        self.__dict__.update(renewed.__dict__)
        self.request_id = request_id

    def abandon(self) -> None:
        """Stop the look-ups that are under way: nobody waits for them any more."""
        for future in self._once.values():
            future.cancel()
        for loader in self._loaders:
            loader.abandon()

    def loader(self, load: Callable[[list[Key]], Awaitable[Sequence[Any]]]) -> Loader[Key, Any]:
        """A loader of this request's, given up with it."""
        made: Loader[Key, Any] = Loader(load)
        self._loaders.append(made)
        return made

    def acquire(self) -> AbstractAsyncContextManager[Connection]:
        """A connection that sees the viewer's team alone, to read from; to the replica if that may answer."""
        return self._replica().reading(self.viewer.team_id) if self.replica else self.acquire_primary()

    def _replica(self) -> Replica:
        replica: Replica = self.connection.app.state.replica
        return replica

    def acquire_primary(self) -> AbstractAsyncContextManager[Connection]:
        """The same to the primary, for what has to be as it is now, or may write."""
        return acquire(self.viewer.team_id)

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """The same inside one transaction."""
        return transaction(self.viewer.team_id)

    async def in_transaction(self, work: Callable[[Connection], Awaitable[Result]]) -> Result:
        """Run `work` in a transaction that sees the viewer's team alone; again when PostgreSQL broke a deadlock."""
        return await in_transaction(self.viewer.team_id, work)

    @property
    def calendar(self) -> Calendar:
        """How the viewer's team counts days."""
        return calendar_of(self.viewer)

    async def once(self, key: str, work: Callable[[], Awaitable[Result]]) -> Result:
        """The result of `work`, done once a request however many fields ask for it at once."""
        future = self._once.get(key)
        if future is None:
            future = self._once[key] = asyncio.ensure_future(_run(work))
        # A field that is given up must not take along what others wait for.
        found = await asyncio.shield(future)
        return cast("Result", found)

    async def users_in_sight(self) -> Sight:
        """The users whose data the viewer may see."""

        async def look() -> Sight:
            async with self.acquire_primary() as connection:
                return await access.see_users(connection, self.viewer)

        return await self.once("users", look)

    async def groups_in_sight(self) -> Sight:
        """The groups whose data the viewer may see."""

        async def look() -> Sight:
            async with self.acquire_primary() as connection:
                return await access.see_groups(connection, self.viewer)

        return await self.once("groups", look)

    async def goal_sight(self) -> GoalSight:
        """The subjects whose goals the viewer may see."""

        async def look() -> GoalSight:
            async with self.acquire_primary() as connection:
                return await access.see_goals(connection, self.viewer)

        return await self.once("goals", look)

    async def film_sight(self) -> FilmSight:
        """The activities that the viewer may see, with those that others ask the viewer about."""

        async def look() -> FilmSight:
            users = await self.users_in_sight()
            async with self.acquire_primary() as connection:
                return await see_film(connection, self.viewer, users)

        return await self.once("film", look)

    async def feeds(self) -> frozenset[str]:
        """The feeds that bring the team activities."""

        async def look() -> frozenset[str]:
            async with self.acquire() as connection:
                return await people.connected_feeds(connection, self.viewer.team_id)

        return await self.once("feeds", look)

    async def _load_action_runs(self, asked: list[tuple[UUID, PageRequest]]) -> list[Page[ActionRun]]:
        async with self.acquire() as connection:
            return await action_list.first_runs(connection, self.viewer.team_id, asked)

    async def _load_run_messages(self, runs: list[tuple[UUID, int]]) -> list[list[SentMessage]]:
        async with self.acquire() as connection:
            found = await action_list.messages_of_runs(connection, self.viewer.team_id, runs)
        return [found[run] for run in runs]

    async def _load_users(self, ids: list[UUID]) -> list[User | None]:
        sight = await self.users_in_sight()
        async with self.acquire() as connection:
            return await people.users_by_id(connection, sight, ids)

    async def _load_groups(self, ids: list[UUID]) -> list[Group | None]:
        async with self.acquire() as connection:
            return await people.groups_by_id(connection, self.viewer.team_id, ids)

    async def _load_roles(self, ids: list[UUID]) -> list[Role | None]:
        async with self.acquire() as connection:
            return await people.roles_by_id(connection, self.viewer.team_id, ids)

    async def _load_activities(self, ids: list[UUID]) -> list[Activity | None]:
        sight = await self.film_sight()
        async with self.acquire() as connection:
            return await activities.film_by_id(connection, sight, ids)

    async def _load_goal_subjects(self, ids: list[UUID]) -> list[User | NotFound]:
        """Whose goals may be seen is known by name, even without TEAM_VIEW."""
        sight = await self.goal_sight()
        async with self.acquire() as connection:
            found = await people.users_by_id(connection, sight.users, ids)
        return [NotFound("No such user.") if user is None else user for user in found]

    async def _load_goals(self, ids: list[UUID]) -> list[GoalView | None]:
        sight = await self.goal_sight()
        async with self.acquire() as connection:
            found = await goals.goals_by_id(connection, sight, ids)
        return [found.get(goal_id) for goal_id in ids]

    async def _load_histories(self, ids: list[UUID]) -> list[list[Version]]:
        async with self.acquire() as connection:
            found = await goals.histories(connection, self.viewer.team_id, ids)
        return [found[goal_id] for goal_id in ids]

    async def _load_progress(self, wanted: list[GoalView]) -> list[Progress]:
        async with self.acquire() as connection:
            return await progress_now(connection, self.viewer.team_id, self.calendar, wanted, self.now)

    async def _load_scores(self, wanted: list[tuple[UUID, Asked]]) -> list[Mapping[ScoreKind, Score]]:
        sight = (await self.users_in_sight()).narrowed(user_id for user_id, _asked in wanted)
        asked = list(dict.fromkeys(one for _user_id, one in wanted))
        async with self.acquire() as connection:
            board = await load_scores(connection, Chosen(sight), self.calendar, self.now, list(ScoreKind), asked)
        return [board.scores_of(user_id, one) for user_id, one in wanted]

    async def _load_score_histories(self, ids: list[UUID]) -> list[list[DefinitionVersion]]:
        async with self.acquire() as connection:
            found = await scores.histories(connection, self.viewer.team_id, ids)
        return [found[definition_id] for definition_id in ids]

    async def _load_live_call_participants(self, ids: list[UUID]) -> list[list[LiveCallParticipant]]:
        async with self.acquire_primary() as connection:
            found = await live_calls.participants_of(connection, self.viewer.team_id, ids)
        return [found[call_id] for call_id in ids]

    async def _load_accolade_rules(self, ids: list[UUID]) -> list[Rule]:
        async with self.acquire() as connection:
            found = await rules_by_id(connection, self.viewer.team_id, ids)
        return [found[rule_id] for rule_id in ids]

    async def _load_outlooks(self, wanted: list[GoalView]) -> list[Forecast | None]:
        async with self.acquire() as connection:
            return await forecasts_now(connection, self.viewer.team_id, self.calendar, wanted, self.now)

    async def _load_email_bodies(self, emails: list[tuple[UUID, UUID]]) -> list[str | None]:
        async with self.transaction() as connection:
            return await bodies.read_bodies(connection, self.viewer, emails)


async def _run(work: Callable[[], Awaitable[object]]) -> object:
    return await work()
