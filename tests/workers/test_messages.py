"""Messages, sent to a real SMTP server and a real HTTP receiver.

Invariants:
A. A mail is marked as sent once the server has said 250; refused for good (5xx) it has failed, for now (4xx) it is
   tried again; one whose connection breaks after its data is sent again under the same Message-ID.
B. Whatever a title, a name or an address holds, it begins no header of its own and no second recipient, and is escaped.
C. A digest tells its reader what they may see at the moment of sending, and nothing else; who has left is told nothing.
D. A webhook is signed as Standard Webhooks has it, goes to its endpoint's owner alone, under one id for each attempt.
E. Two senders at once send each message once; a claim that has lapsed is somebody else's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest
import uvicorn
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from domain import digests, goals, ingest, messages, webhooks
from domain.access import Viewer
from domain.database import ALL_TEAMS, acquire, transaction
from domain.errors import Invalid
from domain.goals import SetGoals, Subject
from domain.messages import NewMessage, queue_message, queue_messages
from domain.models.actions import MessageChannel, MessageState
from domain.models.base import new_id
from domain.models.goals import GoalPeriod
from domain.models.people import Permission
from domain.periods import NamedRange
from domain.records import decode_mapping
from domain.secrets import SecretBox
from domain.webhooks import EndpointChange
from tests.conftest import TEST_KEY
from tests.factories import make_role, make_team, make_user, viewer_of
from tests.workers.post_office import PostOffice
from workers import letters
from workers.mail import Mail, Mailer, MailRefused, MailUnsent, compose, read_route
from workers.messages import Post
from workers.sending import Sender

SENDER = "Sideline <sideline@example.test>"
NOW = datetime.now(UTC)


@pytest.fixture
async def office() -> AsyncIterator[PostOffice]:
    made = PostOffice()
    made.url = await made.open()
    yield made
    await made.close()


class Team:
    """A manager with a rep in scope, and a rep out of it."""

    id: UUID

    async def open(self) -> Team:
        async with acquire(ALL_TEAMS) as connection:
            self.id = await make_team(connection)
            lead = await make_role(
                connection, self.id, Permission.TEAM_VIEW, Permission.MANAGE_GOALS, Permission.MANAGE_TEAM
            )
            self.user_role = await make_role(connection, self.id)
            group = new_id()
            await connection.execute("INSERT INTO groups (id, team_id, name) VALUES ($1, $2, 'Far')", group, self.id)
            self.manager = await make_user(connection, self.id, lead, name="Mara", email="mara@example.test")
            self.rep = await make_user(
                connection, self.id, self.user_role, name="Rita <b>", email="rita@example.test", manager_id=self.manager
            )
            self.admin = await make_user(
                connection, self.id, await make_role(connection, self.id, is_admin=True), is_rep=False
            )
            self.far = await make_user(connection, self.id, self.user_role, name="Zoltan", group_id=group)
        return self

    async def viewer(self, user_id: UUID) -> Viewer:
        async with acquire(ALL_TEAMS) as connection:
            return await viewer_of(connection, user_id)

    async def goal(self, user_id: UUID, metric: str = "CALLS_LOGGED") -> None:
        admin = self.admin
        async with transaction(self.id) as connection:
            await goals.set_goals(
                connection,
                await self.viewer(admin),
                SetGoals(metric, GoalPeriod.YEAR, Decimal(10_000), (Subject(user_id, None, ()),)),
                NOW,
            )

    async def calls(self, email: str, many: int) -> None:
        records = [
            decode_mapping(
                {
                    "kind": "call",
                    "externalId": f"{email}:{place}",
                    "user": email,
                    "occurredAt": (NOW - timedelta(days=1)).isoformat(),
                    "durationSeconds": 60,
                    "connected": True,
                }
            )
            for place in range(many)
        ]
        await ingest.take_in(self.id, "test", list(enumerate(records)))

    async def states(self) -> list[tuple[str, int, str | None]]:
        async with acquire(self.id) as connection:
            rows = await connection.fetch("SELECT state, attempts, last_error FROM outgoing_messages ORDER BY id")
        return [tuple(row) for row in rows]

    async def hurry(self) -> None:
        """The time of the next attempt has come."""
        async with acquire(ALL_TEAMS) as connection:
            await connection.execute("UPDATE outgoing_messages SET due_at = now(), leased_until = NULL")


@pytest.fixture
async def team(emptied_database: str) -> Team:
    return await Team().open()


def post_to(office: PostOffice, **options: Any) -> Post:
    route = read_route(office.url)
    given: dict[str, Any] = {"sender": None, "box": None, **options}
    return Post(f"test:{new_id()}", mailers=lambda: Mailer(route, SENDER), **given)


async def send_all(post: Post) -> None:
    while await post.step():
        pass


def plain(key: str, subject: str = "S", to: str = "x@example.test") -> NewMessage:
    return NewMessage(key, address=to, content={"subject": subject, "text": "T", "html": "<p>T</p>"})


def parts(message: EmailMessage) -> tuple[str, str]:
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    return text.get_content().replace("\r\n", "\n"), html.get_content().replace("\r\n", "\n")


async def test_a_mail_is_sent_once_by_two_senders_at_once(team: Team, office: PostOffice) -> None:
    async with transaction(team.id) as connection:
        await queue_messages(connection, team.id, [plain(f"k{n}") for n in range(60)])
        await queue_messages(connection, team.id, [plain(f"k{n}", "again") for n in range(60)])
    await asyncio.gather(*(send_all(post_to(office, lot=7)) for _ in range(2)))
    names = [mail.message["Message-ID"] for mail in office.taken]
    assert len(names) == len(set(names)) == 60
    assert await team.states() == [("SENT", 1, None)] * 60
    first = office.taken[0].message
    assert (first["From"], first["To"], first["Subject"]) == (SENDER, "x@example.test", "S")
    assert first["Auto-Submitted"] == "auto-generated"
    assert parts(first) == ("T\n", "<p>T</p>\n")
    async with acquire(team.id) as connection:
        assert await connection.fetchval("SELECT count(*) FROM outgoing_messages WHERE content <> '{}'") == 0


@pytest.mark.parametrize("where", ["rcpt", "data"])
async def test_what_a_server_refuses(team: Team, office: PostOffice, where: str) -> None:
    answers = iter(["450 4.2.1 Greylisted, come again", "550 5.1.1 No such mailbox"])
    if where == "rcpt":
        office.rcpt = lambda to: next(answers) if to == "bad@example.test" else None
    else:
        office.data = lambda mail: next(answers) if mail.recipients == ["bad@example.test"] else None
    async with transaction(team.id) as connection:
        await queue_messages(connection, team.id, [plain("bad", to="bad@example.test"), plain("good")])
    await send_all(post_to(office))
    (bad, good) = await team.states()
    assert bad[:2] == ("WAITING", 1)
    assert "450" in (bad[2] or "")
    assert good[0] == "SENT"
    await team.hurry()
    await send_all(post_to(office))
    bad, _good = await team.states()
    assert bad[:2] == ("FAILED", 2)
    assert "550" in (bad[2] or "")
    assert [mail.recipients for mail in office.taken] == [["x@example.test"]]


async def test_a_connection_cut_after_the_data(team: Team, office: PostOffice) -> None:
    office.cut_after_data = 1
    async with transaction(team.id) as connection:
        await queue_message(connection, team.id, plain("k"))
    await send_all(post_to(office))
    assert (await team.states())[0][:2] == ("WAITING", 1)
    await team.hurry()
    await send_all(post_to(office))
    assert (await team.states())[0][:2] == ("SENT", 2)
    names = {mail.message["Message-ID"] for mail in office.taken}
    assert len(office.taken) == 2, "the first was taken too: nobody could know"
    assert len(names) == 1, "a repeat is told by its name"


async def test_a_server_that_is_away_costs_no_attempts_but_one(team: Team, office: PostOffice) -> None:
    await office.close()
    async with transaction(team.id) as connection:
        await queue_messages(connection, team.id, [plain(f"k{n}") for n in range(8)])
    post = post_to(office)
    await post.step()
    states = await team.states()
    assert {state[0] for state in states} == {"WAITING"}
    assert sum(state[1] for state in states) == 4  # One for each connection.


async def test_without_a_mail_server_mails_wait_and_fail_at_last(team: Team) -> None:
    async with transaction(team.id) as connection:
        await queue_message(connection, team.id, plain("k"))
    post = Post("test", mailers=None, sender=None, box=None)
    await post.step()
    await post.forget()
    assert (await team.states())[0][0] == "WAITING"
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE outgoing_messages SET created_at = now() - interval '2 days'")
    await post.forget()
    state, _attempts, error = (await team.states())[0]
    assert state == "FAILED"
    assert "SIDELINE_SMTP_URL" in (error or "")


NASTY = "Hi\r\nBcc: evil@example.test\r\n\r\n<script>\u2028x\x00\x85y"


async def test_no_header_can_be_smuggled_in(office: PostOffice) -> None:
    mailer = Mailer(read_route(office.url), SENDER)
    await mailer.send(Mail("n", "x@example.test", NASTY, NASTY.replace("\0", ""), "<p>x</p>"))
    await mailer.close()
    (mail,) = office.taken
    assert mail.recipients == ["x@example.test"]
    assert mail.message["Bcc"] is None
    assert mail.message["Subject"].startswith("Hi Bcc: evil@example.test <script>")
    assert b"\nBcc:" not in mail.content.split(b"\r\n\r\n", 1)[0]


@pytest.mark.parametrize(
    "to",
    [
        "x@example.test\r\nBcc: evil@example.test",
        "x@example.test, evil@example.test",
        "x@example.test>\r\nRCPT TO:<evil@example.test",
        "Somebody <x@example.test>",
        "nobody",
        "@example.test",
        "",
        "x@example.test\0",
    ],
)
def test_what_is_no_address(to: str) -> None:
    with pytest.raises(MailRefused):
        compose(Mail("n", to, "s", "t"), SENDER, NOW)


async def test_addresses_beyond_ascii(office: PostOffice) -> None:
    mailer = Mailer(read_route(office.url), SENDER)
    await mailer.send(Mail("n", "jürgen@example.test", "Grüße", "Grüße"))
    await mailer.close()
    assert office.taken[0].recipients == ["jürgen@example.test"]
    assert office.taken[0].message["Subject"] == "Grüße"


async def test_a_server_that_must_speak_tls_and_does_not(office: PostOffice) -> None:
    mailer = Mailer(read_route(f"{office.url}?starttls=require"), SENDER)
    with pytest.raises(MailUnsent) as found:
        await mailer.send(Mail("n", "x@example.test", "s", "t"))
    assert found.value.server_at_fault
    assert office.taken == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.test", ("mail.test", 25, None, None, False, "auto")),
        ("smtp://u:p%40w@mail.test", ("mail.test", 587, "u", "p@w", False, "require")),
        ("smtps://u:p@mail.test", ("mail.test", 465, "u", "p", True, "off")),
        ("smtp://mail.test:2525?starttls=off", ("mail.test", 2525, None, None, False, "off")),
    ],
)
def test_the_way_mail_goes(url: str, expected: tuple[Any, ...]) -> None:
    route = read_route(url)
    assert (route.host, route.port, route.username, route.password, route.tls, route.starttls) == expected


@pytest.mark.parametrize("url", ["http://x", "smtp://", "smtp://x?starttls=maybe", "smtp://x:port"])
def test_no_way_for_mail(url: str) -> None:
    with pytest.raises(Invalid, match="SIDELINE_SMTP_URL"):
        read_route(url)


async def digest_of(team: Team, office: PostOffice, user_id: UUID, key: str) -> EmailMessage | None:
    async with transaction(team.id) as connection:
        content = {"title": "Weekly", "range": "THIS_YEAR"}
        message = NewMessage(key, user_id=user_id, template=letters.DIGEST, content=content)
        await queue_message(connection, team.id, message)
    before = len(office.taken)
    await send_all(post_to(office))
    return office.taken[-1].message if len(office.taken) > before else None


async def test_a_digest_tells_what_its_reader_may_see(team: Team, office: PostOffice) -> None:
    for user_id in (team.rep, team.far, team.manager):
        await team.goal(user_id)
    for email, many in (("rita@example.test", 3), ("mara@example.test", 2)):
        await team.calls(email, many)
    async with acquire(ALL_TEAMS) as connection:
        far = await connection.fetchval("SELECT email FROM users WHERE id = $1", team.far)
    await team.calls(far, 50)

    manager = await digest_of(team, office, team.manager, "m")
    assert manager is not None
    text, html = parts(manager)
    assert "Calls logged: 5" in text
    assert "Rita <b>: at" in text
    assert "Rita &lt;b&gt;: at" in html
    assert "Rita <b>" not in html
    assert "Zoltan" not in text + html

    rep = await digest_of(team, office, team.rep, "r")
    assert rep is not None
    text, _html = parts(rep)
    assert "Calls logged: 3" in text
    assert "Mara" not in text
    assert "Who falls behind" not in text

    # What counts is the moment of sending: the rights have changed since it was queued.
    async with transaction(team.id) as connection:
        content = {"title": "Weekly", "range": "THIS_YEAR"}
        await queue_message(
            connection, team.id, NewMessage("later", user_id=team.manager, template=letters.DIGEST, content=content)
        )
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET role_id = $2 WHERE id = $1", team.manager, team.user_role)
    await send_all(post_to(office))
    text, _html = parts(office.taken[-1].message)
    assert "Calls logged: 2" in text
    assert "Rita" not in text

    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET active = false WHERE id = $1", team.rep)
    assert await digest_of(team, office, team.rep, "gone") is None
    assert (await team.states())[-1][0] == "CANCELLED"


async def test_a_reminder_only_where_something_is_slow(team: Team, office: PostOffice) -> None:
    async def remind(key: str) -> int:
        before = len(office.taken)
        async with transaction(team.id) as connection:
            content = {"title": "Your goals", "only_behind": True}
            message = NewMessage(key, user_id=team.rep, template=letters.GOAL_REMINDER, content=content)
            await queue_message(connection, team.id, message)
        await send_all(post_to(office))
        return len(office.taken) - before

    assert await remind("none") == 0
    await team.calls("rita@example.test", 1)
    await team.goal(team.rep)
    assert await remind("slow") == 1
    assert "Calls logged per year: 1 of 10,000, behind" in parts(office.taken[-1].message)[0]


async def test_a_digest_costs_a_fixed_number_of_statements(team: Team) -> None:
    counts = set()
    for _ in range(2):
        async with acquire(ALL_TEAMS) as connection:
            for _rep in range(5):
                user_id = await make_user(connection, team.id, team.user_role, manager_id=team.manager)
                await connection.execute("SELECT 1", timeout=5)
                await team.goal(user_id)
        reader = await team.viewer(team.manager)
        async with acquire(team.id) as connection:
            seen: list[str] = []
            session = connection._con  # type: ignore[attr-defined]
            session.add_query_logger(lambda record, seen=seen: seen.append(record.query))
            await digests.compose_digest(connection, reader, NamedRange.THIS_YEAR, NOW)
            session._query_loggers.clear()
        counts.add(len(seen))
    assert len(counts) == 1, counts


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[str, list[tuple[dict[str, str], bytes]], dict[str, int]]]:
    got: list[tuple[dict[str, str], bytes]] = []
    mood = {"status": 200}

    async def take(request: Request) -> Response:
        got.append((dict(request.headers), await request.body()))
        return PlainTextResponse("", status_code=mood["status"])

    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=[Route("/", take, methods=["POST"])]), port=0, log_level="error", lifespan="off"
        )
    )
    task = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/", got, mood
    server.should_exit = True
    await task


async def test_a_webhook_digest(team: Team, receiver: Any) -> None:
    url, got, mood = receiver
    await team.goal(team.rep)
    await team.calls("rita@example.test", 4)
    box = SecretBox([TEST_KEY])
    manager = await team.viewer(team.manager)
    async with transaction(team.id) as connection:
        endpoint, secret = await webhooks.create_endpoint(
            connection, manager, box, EndpointChange(url=url), private_allowed=True
        )

        def message(key: str, user_id: UUID) -> NewMessage:
            content = {"title": "Weekly", "range": "THIS_YEAR"}
            return NewMessage(
                key, MessageChannel.WEBHOOK, user_id, endpoint_id=endpoint.id, template=letters.DIGEST, content=content
            )

        await queue_messages(connection, team.id, [message("mine", team.manager), message("not mine", team.rep)])
    sender = Sender(private_allowed=True)
    post = Post("test", mailers=None, sender=sender, box=box)
    mood["status"] = 503
    await send_all(post)
    assert [state[0] for state in await team.states()] == ["WAITING", "CANCELLED"]
    mood["status"] = 200
    await team.hurry()
    await send_all(post)
    assert [state[0] for state in await team.states()] == ["SENT", "CANCELLED"]
    assert len({headers["webhook-id"] for headers, _body in got}) == 1
    headers, body = got[-1]
    Webhook(secret).verify(body, headers)
    told = json.loads(body)
    assert told["type"] == "DIGEST"
    assert {"metric": "CALLS_LOGGED", "value": "4", "previous": "0"} in told["data"]["totals"]
    assert [one["name"] for one in told["data"]["fallingBehind"]] == ["Rita <b>"]
    async with acquire(team.id) as connection:
        log = await connection.fetch("SELECT type, attempt, status_code FROM webhook_deliveries ORDER BY id")
    assert [tuple(row) for row in log] == [("DIGEST", 1, 503), ("DIGEST", 2, 200)]
    # Private addresses are refused unless the operator allows them.
    async with transaction(team.id) as connection:
        await queue_message(connection, team.id, message("private", team.manager))
    strict = Sender(private_allowed=False)
    await send_all(Post("test", mailers=None, sender=strict, box=box))
    assert "Refused" in ((await team.states())[-1][2] or "")
    await sender.close()
    await strict.close()


async def test_a_lapsed_claim_is_somebody_elses(team: Team) -> None:
    async with transaction(team.id) as connection:
        await queue_message(connection, team.id, plain("k"))
    async with acquire(ALL_TEAMS) as connection:
        (dead,) = await messages.claim(connection, "dead", 5, [MessageChannel.MAIL], lease_seconds=-1)
        (other,) = await messages.claim(connection, "other", 5, [MessageChannel.MAIL])
        assert await messages.claim(connection, "third", 5, [MessageChannel.MAIL]) == []
        assert other.name == dead.name
        assert not await messages.finish(connection, dead, MessageState.SENT)
        assert await messages.finish(connection, other, MessageState.SENT)
