"""Who uses the apps: reps and managers who look, managers who coach, an admin who moves people, a guest who comes and
goes."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import uuid4

from domain.ids import encode_id
from tests.soak.client import Client, Failed, check
from tests.soak.world import Person, World

TEAM = """query($range: RangeInput!, $group: ID) { teamDashboard(range: $range, groupId: $group) {
    metrics { metric value previous change goal attainment progress { pace status }
        trend(interval: WEEK) { value goal } }
    groups { group { id name } metrics { metric value goal attainment } }
    reps(first: 10, sortBy: CALLS_LOGGED) { totalCount nodes { rank user { id name } metrics { metric value goal } } }
    fallingBehind(first: 5) { user { name } } } }"""
INDIVIDUAL = """query($range: RangeInput!, $user: ID) { individualDashboard(range: $range, userId: $user) {
    user { name } metrics { mine { metric value goal attainment } peerCount peerAverage peerMedian percentile } } }"""
USERS = """query($first: Int, $after: String, $last: Int, $before: String) {
    users(first: $first, after: $after, last: $last, before: $before) { totalCount nodes { id name group { name } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
NODES = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on User { name goals(first: 5) { totalCount } } } }"
GOALS = """query { goals(first: 50) { totalCount nodes { id metric period target version derived
    progress { actual attainment status } } } }"""
FILM = """query($user: ID) { individualView(userId: $user) { kinds { kind count commented } activities(first: 20) {
    nodes { id occurredAt commentCount } } } }"""
ACTIONS = "query { scheduledActions(first: 20) { totalCount nodes { id title state dueAt } } }"
COACHING = """query { coachingOpportunities(range: {named: LAST_30_DAYS}, first: 10) { __typename } }"""
RANGES = ("THIS_WEEK", "THIS_MONTH", "THIS_QUARTER", "LAST_30_DAYS", "LAST_MONTH")
PAGE = 7

SET_GOALS = """mutation($input: SetGoalsInput!) { setGoals(input: $input) {
    goals { id version target } errors { code message path } } }"""
REMOVE_GOALS = """mutation($input: RemoveGoalsInput!) { removeGoals(input: $input) {
    goals { id effectiveTo } errors { code message path } } }"""
COMMENT = """mutation($input: AddCommentInput!) { addComment(input: $input) {
    comment { id body } errors { code message path } } }"""
COMMENTS = """query($id: ID!) { node(id: $id) { ... on ConversationActivity {
    comments(first: 100) { nodes { id body } } } } }"""
SAVE_CARD = """mutation($input: SaveScorecardInput!) { saveScorecard(input: $input) {
    scorecard { id state } errors { code message path } } }"""
SUBMIT_CARD = """mutation($id: ID!) { submitScorecard(input: {scorecardId: $id}) {
    scorecard { id state } errors { code message path } } }"""
REVIEW = """mutation($id: ID!) { markReviewed(input: {activityId: $id}) { errors { code message path } } }"""
PLAN = """mutation($input: CreateCoachingPlanInput!) { createCoachingPlan(input: $input) {
    plan { id title } errors { code message path } } }"""
PLANS = "query($user: ID) { coachingPlans(userId: $user) { id title } }"
ADD_ACTION = """mutation($input: CreateScheduledActionInput!) { createScheduledAction(input: $input) {
    actions { id } errors { code message path } } }"""
SNOOZE = """mutation($ids: [ID!]!, $until: DateTime!) { snoozeScheduledActions(input: {ids: $ids, until: $until}) {
    actions { id dueAt } errors { code message path } } }"""
MOVE = """mutation($input: UpdateUserInput!) { updateUser(input: $input) {
    user { id group { id } } errors { code message path } } }"""
DEACTIVATE = "mutation($id: ID!) { deactivateUser(input: {userId: $id}) { user { active } errors { code message } } }"
REACTIVATE = "mutation($id: ID!) { reactivateUser(input: {userId: $id}) { user { active } errors { code message } } }"
MAKE_TOKEN = """mutation($id: ID!) { createToken(input: {name: "guest", scopes: [READ], userId: $id}) {
    text errors { code message } } }"""

SNOOZED_SECONDS, SNOOZE_SECONDS = 120.0, 15.0
"""An action that is to be snoozed is due so late that no fault lets it come first, and is put "off" to sooner, so that
the run need not wait for it."""


class Actor(ABC):
    """Somebody who does one thing after the other until the load ends.

    Args:
        world: Their team.
        client: Theirs.
        pause: Seconds between two steps, on average.
        ending: Set when the load is over.
    """

    def __init__(self, world: World, client: Client, pause: float, ending: asyncio.Event) -> None:
        self.world = world
        self.client = client
        self.chance: Random = client.chance
        self.pause = pause
        self.ending = ending

    @abstractmethod
    async def step(self) -> None:
        """Do something."""

    async def live(self) -> None:
        """Do one thing after the other. What fails has been told to the journal, and ends nothing."""
        while not self.ending.is_set():
            await self.think()
            try:
                await self.step()
            except Failed:
                self.client.journal.counts["steps given up"] += 1

    async def think(self) -> None:
        """Pause, or until the load is over."""
        try:
            await asyncio.wait_for(self.ending.wait(), self.chance.expovariate(1 / self.pause))
        except TimeoutError:
            return

    async def keyed(self, kind: str, document: str, given: dict[str, Any]) -> Any:
        """A mutation under an idempotency key; sometimes once more, which must answer the same."""
        given = {**given, "idempotencyKey": str(uuid4())}
        answer = await self.client.ask(kind, document, input=given)
        if self.chance.random() < 0.15:
            again = await self.client.ask(f"{kind} again", document, input=given)
            if again != answer:
                self.client.journal.fail(f"{kind}: the same key answered {answer}, then {again}")
        return answer


class App(Actor):
    """Somebody with the app open: dashboards, lists that are paged to and fro, objects by their ids.

    Args:
        person: Who.
        sees: Whom they must find in the list of people.
    """

    def __init__(self, person: Person, sees: Sequence[Person], *rest: Any) -> None:
        super().__init__(*rest)
        self.person = person
        self.sees = sees
        self.seen: list[str] = [person.gid]

    async def step(self) -> None:
        """Look at something."""
        looks = (
            self.team,
            self.individual,
            self.people,
            self.nodes,
            self.goals,
            self.film,
            self.actions,
            self.coaching,
        )
        await self.chance.choices(looks, (8, 6, 3, 4, 3, 3, 2, 1))[0]()

    def _range(self) -> dict[str, str]:
        return {"named": self.chance.choice(RANGES)}

    def _somebody(self) -> str:
        return self.chance.choice(self.sees).gid

    async def team(self) -> None:
        """The team's dashboard, or a group's."""
        group = encode_id("Group", self.chance.choice(self.world.groups)) if len(self.sees) > 1 else None
        chosen = group if self.chance.random() < 0.3 else None
        await self.client.ask("team dashboard", TEAM, range=self._range(), group=chosen)

    async def individual(self) -> None:
        """Somebody's dashboard."""
        await self.client.ask("individual dashboard", INDIVIDUAL, range=self._range(), user=self._somebody())

    async def people(self) -> None:
        """All people, page by page: nobody twice, and nobody missing who was there all the while."""
        backward = self.chance.random() < 0.5
        found: list[str] = []
        cursor = None
        while True:
            sent: dict[str, Any] = {"last": PAGE, "before": cursor} if backward else {"first": PAGE, "after": cursor}
            page = await self.client.ask("people", USERS, **sent)
            found += [node["id"] for node in page["nodes"]]
            info = page["pageInfo"]
            if not info["hasPreviousPage" if backward else "hasNextPage"]:
                break
            cursor = info["startCursor" if backward else "endCursor"]
        missing = {person.gid for person in self.sees} - set(found)
        if len(found) != len(set(found)) or missing:
            self.client.journal.fail(f"people, page by page: {len(found)} of {len(set(found))}, without {missing}")
        self.seen = found

    async def nodes(self) -> None:
        """Objects by their ids."""
        ids = self.chance.sample(self.seen, min(len(self.seen), 5))
        found = await self.client.ask("nodes", NODES, ids=ids)
        if [None if node is None else node["id"] for node in found] != ids:
            self.client.journal.fail(f"nodes: {found} for {ids}")

    async def goals(self) -> None:
        """The goals in sight."""
        await self.client.ask("goals", GOALS)

    async def film(self) -> None:
        """Somebody's film."""
        await self.client.ask("film", FILM, user=self._somebody())

    async def actions(self) -> None:
        """What is due."""
        await self.client.ask("actions", ACTIONS)

    async def coaching(self) -> None:
        """The gaps that matter."""
        await self.client.ask("coaching opportunities", COACHING)


class Manager(Actor):
    """A manager who sets goals, comments, scores, plans and schedules.

    Args:
        person: Who.
        place: The how-manieth manager: some goals are theirs alone, and those they also remove.
    """

    def __init__(self, person: Person, place: int, *rest: Any) -> None:
        super().__init__(*rest)
        self.person = person
        self.own = (("EMAILS_SENT", "WEEK"), ("MEETINGS_BOOKED", "MONTH"))[place]
        self.shared = (("CALLS_LOGGED", "MONTH"), ("CALLS_CONNECTED", "WEEK"))
        self.films = list(self.world.films[place::2])
        self.set: list[str] = []

    async def step(self) -> None:
        """Do something."""
        works = (self.set_goals, self.remove_goals, self.comment, self.score, self.review, self.plan, self.schedule)
        await self.chance.choices(works, (8, 1, 3, 2, 1, 1, 2))[0]()

    async def set_goals(self) -> None:
        """Goals for some people, or for a group, to a number that nobody else sets."""
        metric, period = self.chance.choice((self.own, *self.shared))
        number = str(self.world.number())
        given: dict[str, Any] = {"metric": metric, "period": period, "target": number}
        if self.chance.random() < 0.15:
            ids = given["groupIds"] = [encode_id("Group", self.chance.choice(self.world.groups))]
        else:
            people = self.chance.sample(self.world.reps, self.chance.randint(1, min(8, len(self.world.reps))))
            ids = given["userIds"] = [person.gid for person in people]
        answer = await self.keyed("set goals", SET_GOALS, given)
        self.world.sets[number] = ids
        if (metric, period) == self.own:
            self.set = [goal["id"] for goal in answer["goals"]]

    async def remove_goals(self) -> None:
        """Take back what was set last."""
        ids, self.set = self.set, []
        if ids:
            await self.keyed("remove goals", REMOVE_GOALS, {"goalIds": ids})
            self.world.removes[f"removal {self.world.number()}"] = ids

    async def comment(self) -> None:
        """Say something on a conversation."""
        film, body = self.chance.choice(self.world.films), f"Remark {self.world.number()}"

        async def find() -> Any:
            node = await self.client.ask("look for a comment", COMMENTS, id=film)
            return next(({"comment": one} for one in node["comments"]["nodes"] if one["body"] == body), None)

        given = {"activityId": film, "body": body, "atSeconds": self.chance.randrange(600)}
        made = await self.client.ask("comment", COMMENT, find=find, input=given)
        self.world.comments[made["comment"]["id"]] = body

    async def score(self) -> None:
        """Fill a scorecard, and submit it."""
        if not self.films:
            return
        answers = [{"question": "opening", "scale": self.chance.randint(1, 5)}, {"question": "agenda", "yes": True}]
        given = {"activityId": self.films.pop(), "templateId": self.world.template, "answers": answers}
        card = (await self.client.ask("save a scorecard", SAVE_CARD, input=given))["scorecard"]["id"]
        await self.client.ask("submit a scorecard", SUBMIT_CARD, settled={"CONFLICT"}, id=card)
        self.world.cards.append(card)

    async def review(self) -> None:
        """Say that a conversation was reviewed."""
        await self.client.ask("review", REVIEW, id=self.chance.choice(self.world.films))

    async def plan(self) -> None:
        """Begin a coaching plan."""
        rep, title = self.chance.choice(self.world.reps), f"Plan {self.world.number()}"

        async def find() -> Any:
            plans = await self.client.ask("look for a plan", PLANS, user=rep.gid)
            return next(({"plan": one} for one in plans if one["title"] == title), None)

        given = {"userId": rep.gid, "title": title, "focus": [{"metric": "CONNECT_RATE"}], "items": [{"title": "Ask"}]}
        made = await self.client.ask("coaching plan", PLAN, find=find, input=given)
        self.world.plans[made["plan"]["id"]] = title

    async def schedule(self) -> None:
        """A reminder for some people or a snapshot for oneself, due in a moment; sometimes put off first."""
        snoozed = self.chance.random() < 0.3
        due = datetime.now(UTC) + timedelta(seconds=SNOOZED_SECONDS if snoozed else self.chance.uniform(1, 8))
        if self.chance.random() < 0.5:
            given: dict[str, Any] = {"kind": "REPORT_SNAPSHOT", "dueAt": due.isoformat(), "range": "THIS_MONTH"}
        else:
            people = self.chance.sample(self.world.reps, 3)
            given = {"kind": "GOAL_REMINDER", "dueAt": due.isoformat(), "userIds": [person.gid for person in people]}
        key = f"{given['kind']} {self.world.number()}"
        made = await self.keyed("schedule", ADD_ACTION, {**given, "title": key})
        ids = self.world.actions[key] = [action["id"] for action in made["actions"]]
        if snoozed:
            until = (datetime.now(UTC) + timedelta(seconds=SNOOZE_SECONDS)).isoformat()
            # Where an answer was lost, it may be over by now, or the moment that it was put off to.
            await self.client.ask("snooze", SNOOZE, settled={"CONFLICT", "INVALID"}, ids=ids, until=until)


class Admin(Actor):
    """Moves people between groups, and sets the team's goal.

    Args:
        endpoint: The webhook endpoint that digests go to.
    """

    def __init__(self, endpoint: str, *rest: Any) -> None:
        super().__init__(*rest)
        self.endpoint = endpoint

    async def step(self) -> None:
        """Do something."""
        await self.chance.choices((self.move, self.team_goal, self.digest), (3, 1, 1))[0]()

    async def move(self) -> None:
        """Somebody is in another group from now on."""
        given = {
            "userId": self.chance.choice(self.world.reps).gid,
            "groupId": encode_id("Group", self.chance.choice(self.world.groups[1:])),
        }
        answer = await self.client.ask("move somebody", MOVE, input=given)
        if answer["user"]["group"]["id"] != given["groupId"]:
            self.client.journal.fail(f"move somebody: {answer} for {given}")

    async def team_goal(self) -> None:
        """A goal of the whole team."""
        number = str(self.world.number())
        given = {"metric": "CALLS_LOGGED", "period": "QUARTER", "target": number, "team": True}
        await self.keyed("set the team's goal", SET_GOALS, given)
        self.world.sets[number] = [encode_id("Team", self.world.team_id)]

    async def digest(self) -> None:
        """A digest to the webhook endpoint."""
        due = datetime.now(UTC) + timedelta(seconds=self.chance.uniform(1, 5))
        key = f"DIGEST {self.world.number()}"
        given = {"kind": "DIGEST", "dueAt": due.isoformat(), "endpointId": self.endpoint, "title": key}
        made = await self.keyed("schedule", ADD_ACTION, given)
        self.world.actions[key] = [action["id"] for action in made["actions"]]


class Guest(Actor):
    """An admin who lets a guest in and ends their access: from the acknowledgement on, nothing is answered to them.

    Args:
        person: The guest.
        as_guest: Makes the guest's client, given their token.
    """

    def __init__(self, person: Person, as_guest: Callable[[str], Client], *rest: Any) -> None:
        super().__init__(*rest)
        self.person = person
        self.as_guest = as_guest

    async def step(self) -> None:
        """In, look, out, look in vain."""
        guest = self.as_guest((await self.client.ask("make a token", MAKE_TOKEN, id=self.person.gid))["text"])
        await guest.ask("guest's dashboard", INDIVIDUAL, range={"named": "THIS_MONTH"}, user=None)
        await self.client.ask("deactivate", DEACTIVATE, id=self.person.gid)

        async def refused(url: str) -> None:
            sent = {"query": "{ viewer { user { id } } }"}
            answer = await guest.http.post(f"{url}/graphql", json=sent, headers=guest.headers)
            check(answer, (401,))

        await guest.tried("guest's look in vain", refused, "a token of somebody deactivated")
        await self.think()
        await self.client.ask("reactivate", REACTIVATE, id=self.person.gid)
