"""Individual View and the film over GraphQL.

Invariants:
A. The tab costs a fixed number of statements, whatever it shows.
B. Its numbers and its list are those of the filter, and agree with each other.
C. What a request for feedback opens is the activity, never an email's body, and no more of the owner than who it is.
D. Who takes part in film that one sees is known by name; more of them only where they are in sight.
E. What a rule refuses stands in the payload, by its input's path.
"""

from __future__ import annotations

from typing import Any

import pytest

from domain.database import ALL_TEAMS, acquire
from domain.ids import encode_id
from tests.api.conftest import Api
from tests.api.test_dashboards import counting
from tests.domain.film_team import FilmTeam

TAB = """
query($filter: ActivityFilter, $userId: ID) {
  individualView(userId: $userId, filter: $filter) {
    user { name }
    kinds { kind count commented scored reviewed }
    cadences { cadence emails stepsCompleted stepsOverdue peopleAdded }
    activities(first: 50) {
      totalCount
      nodes {
        __typename id externalId commentCount scorecardCount user { name }
        ... on EmailActivity { subject cadence }
        ... on ConversationActivity { durationSeconds talkRatio reviewed reviews { way reviewer { name } }
          recordingUrl recorded { __typename externalId } }
        ... on CallActivity { recordings { externalId } }
      }
    }
  }
}
"""


async def scene(*, more: int = 0) -> FilmTeam:
    team = await FilmTeam().build()
    records: list[dict[str, Any]] = [
        {"kind": "email", "externalId": "email", "subject": "An Offer", "body": "secret", "cadence": "New"},
        {"kind": "cadence_step", "externalId": "step", "cadence": "New", "step": 1},
        {"kind": "cadence_step", "externalId": "late", "cadence": "New", "step": 2, "status": "overdue"},
        {
            "kind": "call",
            "externalId": "call",
            "durationSeconds": 300,
            "connected": True,
            "disposition": "booked",
            "sentiment": "positive",
        },
        {
            "kind": "conversation",
            "externalId": "recording",
            "durationSeconds": 290,
            "recordedExternalId": "call",
            "recordingUrl": "https://recorder.test/1",
        },
        {"kind": "call", "externalId": "missed", "durationSeconds": 0, "disposition": "no answer"},
    ]
    for number in range(more):
        records += [
            {
                "kind": "conversation",
                "externalId": f"v{number}",
                "durationSeconds": 60,
                "recordedExternalId": f"c{number}",
            },
            {"kind": "call", "externalId": f"c{number}", "durationSeconds": 60},
        ]
    await team.take(*records)
    return team


async def gid(team: FilmTeam, external_id: str = "conversation") -> str:
    kinds = {"email": "EmailActivity", "call": "CallActivity", "missed": "CallActivity"}
    return encode_id(kinds.get(external_id, "ConversationActivity"), await team.activity(external_id))


def of(team: FilmTeam, name: str) -> str:
    return encode_id("User", team.users[name])


async def comment(api: Api, token: str, activity: str, **more: Any) -> Any:
    answer = await api.data(
        token,
        """mutation($input: AddCommentInput!) { addComment(input: $input) {
            comment { id body atSeconds author { id name user { name } } mentions { name }
                activity { externalId commentCount } }
            errors { code message path } } }""",
        input={"activityId": activity, "body": "Well asked", **more},
    )
    return answer["addComment"]


TEMPLATE = """
mutation { createScorecardTemplate(input: {name: "Discovery", questions: [
  {key: "opening", text: "How was it?", kind: SCALE, steps: 5, weight: "2"},
  {key: "agenda", text: "An agenda?", kind: YES_NO},
  {key: "advice", text: "What next?", kind: TEXT, required: false}]})
  { template { id version questions { key weight } } errors { message path } } }
"""
SAVE = """
mutation($input: SaveScorecardInput!) { saveScorecard(input: $input) {
  scorecard { id state score revision scorer { name } answers { question { key } scale yes text } }
  errors { code message path } } }
"""
SUBMIT = """
mutation($id: ID!) { submitScorecard(input: {scorecardId: $id}) {
  scorecard { state score relation activity { scorecardCount } } errors { code path } } }
"""


async def score(api: Api, token: str, template: str, activity: str) -> Any:
    given = [{"question": "opening", "scale": 4}, {"question": "agenda", "yes": True}]
    saved = await api.data(
        token, SAVE, input={"activityId": activity, "templateId": template, "answers": given, "note": "Good"}
    )
    assert not saved["saveScorecard"]["errors"]
    return (await api.data(token, SUBMIT, id=saved["saveScorecard"]["scorecard"]["id"]))["submitScorecard"]


async def test_the_tab(api: Api) -> None:
    team = await scene()
    manager = await api.token(team.users["manager"])
    template = (await api.data(manager, TEMPLATE))["createScorecardTemplate"]["template"]["id"]
    assert (await score(api, manager, template, await gid(team)))["scorecard"] == {
        "state": "SUBMITTED",
        "score": "83.3333",
        "relation": "MANAGER",
        "activity": {"scorecardCount": 1},
    }
    await comment(api, manager, await gid(team, "call"))
    view = (await api.data(manager, TAB, userId=of(team, "rep")))["individualView"]
    assert view["user"] == {"name": "Rep"}
    assert {one["kind"]: tuple(one.values())[1:] for one in view["kinds"]} == {
        "EMAIL": (1, 0, 0, 0),
        "CALL": (2, 1, 0, 0),
        "CONVERSATION": (2, 0, 1, 1),
        "CADENCE_STEP": (2, 0, 0, 0),
    }
    assert view["cadences"] == [
        {"cadence": "New", "emails": 1, "stepsCompleted": 1, "stepsOverdue": 1, "peopleAdded": 0}
    ]
    nodes = {one["externalId"]: one for one in view["activities"]["nodes"]}
    assert view["activities"]["totalCount"] == len(nodes) == 7
    assert nodes["conversation"]["reviews"] == [{"way": "SCORECARD", "reviewer": {"name": "Manager"}}]
    assert nodes["recording"]["recorded"] == {"__typename": "CallActivity", "externalId": "call"}
    assert nodes["recording"]["recordingUrl"] == "https://recorder.test/1"
    assert nodes["call"]["recordings"] == [{"externalId": "recording"}]
    assert (nodes["call"]["commentCount"], nodes["conversation"]["scorecardCount"]) == (1, 1)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"kinds": ["CALL"]}, {"call", "missed"}),
        ({"cadences": ["New"]}, {"email", "step", "late"}),
        ({"cadences": ["New"], "statuses": ["overdue"]}, {"late"}),
        ({"dispositions": ["booked", "busy"]}, {"call"}),
        ({"sentiments": ["positive"]}, {"call"}),
        ({"connected": False}, {"missed"}),
        ({"minDurationSeconds": 290, "maxDurationSeconds": 300}, {"call", "recording"}),
        ({"search": "an off"}, {"email"}),
        ({"search": "%"}, set()),
        ({"hasComments": True}, {"call"}),
        ({"hasComments": False, "kinds": ["CALL"]}, {"missed"}),
        ({"hasScorecard": True}, {"conversation"}),
        ({"reviewed": True}, {"conversation"}),
        ({"reviewed": False}, {"recording"}),
        ({"from": "2026-03-11T00:00:00Z", "connected": True}, set()),
    ],
)
async def test_filters(api: Api, wanted: dict[str, Any], found: set[str]) -> None:
    team = await scene()
    manager = await api.token(team.users["manager"])
    template = (await api.data(manager, TEMPLATE))["createScorecardTemplate"]["template"]["id"]
    await score(api, manager, template, await gid(team))
    await comment(api, manager, await gid(team, "call"))
    view = (await api.data(manager, TAB, userId=of(team, "rep"), filter=wanted))["individualView"]
    assert {one["externalId"] for one in view["activities"]["nodes"]} == found
    assert view["activities"]["totalCount"] == len(found) == sum(one["count"] for one in view["kinds"])
    # The same by the list of all, within a quarter of a year.
    listed = await api.data(
        manager,
        "query($filter: ActivityFilter) { activities(filter: $filter) { nodes { externalId } } }",
        filter={"from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z", "userId": of(team, "rep"), **wanted},
    )
    assert {one["externalId"] for one in listed["activities"]["nodes"]} == found


async def test_a_close_look_has_an_end(api: Api) -> None:
    team = await scene()
    admin = await api.token(team.users["admin"])
    document = "query($filter: ActivityFilter) { activities(filter: $filter) { totalCount } }"
    answer = await api.query(admin, document, filter={"search": "offer"})
    assert answer["errors"][0]["extensions"]["code"] == "INVALID"
    assert "choose a user" in answer["errors"][0]["message"]
    for near in ({"from": "2026-03-01T00:00:00Z", "to": "2026-05-30T00:00:00Z"}, {"userId": of(team, "rep")}):
        found = await api.data(admin, document, filter={"search": "offer", **near})
        assert found["activities"]["totalCount"] == 1


async def test_a_fixed_number_of_statements(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    for more in (1, 15):
        team = await scene(more=more)
        token = await api.token(team.users["manager"])
        for name in ["conversation", *(f"v{number}" for number in range(more))]:
            await comment(api, token, await gid(team, name))
        await api.data(token, TAB, userId=of(team, "rep"))
        async with counting(monkeypatch) as seen:
            await api.data(token, TAB, userId=of(team, "rep"))
        # A connection that served another team before is told of this one.
        counts.append(len([statement for statement in seen if "set_config" not in statement]))
    assert counts[0] == counts[1]
    assert counts[0] <= 13, counts


async def test_whose_tab(api: Api) -> None:
    team = await scene()
    for name, whose, seen in (
        ("rep", None, "Rep"),
        ("rep", "rep", "Rep"),
        ("rep", "peer", None),
        ("peer", "rep", None),
        ("lead", "rep", "Rep"),
        ("rival", "rep", None),
        ("admin", "other", "Other"),
    ):
        token = await api.token(team.users[name])
        answer = await api.query(token, TAB, userId=None if whose is None else of(team, whose))
        if seen is None:
            assert answer["data"] is None
            assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
        else:
            assert answer["data"]["individualView"]["user"] == {"name": seen}


async def test_what_a_request_opens(api: Api) -> None:
    team = await scene()
    rep, peer = [await api.token(team.users[name]) for name in ("rep", "peer")]
    email = await gid(team, "email")
    document = """query($id: ID!) { node(id: $id) { ... on EmailActivity {
        subject body user { name activities { totalCount } } comments { nodes { body author { name } } } } } }"""
    assert (await api.data(peer, document, id=email))["node"] is None
    people = await api.data(
        rep,
        "query($id: ID!) { colleagues(activityId: $id, purpose: FEEDBACK) { nodes { id name user { name } } } }",
        id=email,
    )
    known = {one["name"]: one for one in people["colleagues"]["nodes"]}
    assert set(known) == {"Admin", "Boss", "Lead", "Manager", "Peer"}
    assert all(one["user"] is None for one in known.values()), "a name is all that a rep may know"
    asked = await api.data(
        rep,
        """mutation($input: RequestFeedbackInput!) { requestFeedback(input: $input) {
            requests { id state asked { name } activity { externalId } } errors { message } } }""",
        input={"activityId": email, "askedIds": [known["Peer"]["id"]], "message": "Too long?"},
    )
    (request,) = asked["requestFeedback"]["requests"]
    await comment(api, rep, email)
    answer = await api.query(peer, document, id=email)
    assert answer["data"]["node"] == {
        "subject": "An Offer",
        "body": None,
        "user": {"name": "Rep", "activities": {"totalCount": 0}},
        "comments": {"nodes": [{"body": "Well asked", "author": {"name": "Rep"}}]},
    }
    assert [error["path"] for error in answer["errors"]] == [["node", "body"]]
    assert answer["errors"][0]["extensions"]["permission"] == "VIEW_EMAIL_CONTENT"
    listed = await api.data(
        peer,
        "{ feedbackRequests(filter: {received: true}) { nodes { message rep { name } activity { externalId } } } }",
    )
    assert listed["feedbackRequests"]["nodes"] == [
        {"message": "Too long?", "rep": {"name": "Rep"}, "activity": {"externalId": "email"}}
    ]
    mine = await comment(api, peer, email)
    ended = await api.data(
        peer,
        """mutation($input: AnswerFeedbackRequestInput!) { answerFeedbackRequest(input: $input) {
            request { state comment { id } activity { id } } errors { message } } }""",
        input={"requestId": request["id"], "commentId": mine["comment"]["id"]},
    )
    assert ended["answerFeedbackRequest"] == {
        "request": {"state": "ANSWERED", "comment": None, "activity": None},
        "errors": [],
    }
    assert (await api.data(peer, document, id=email))["node"] is None
    shown = await api.data(rep, "{ feedbackRequests { nodes { state comment { body author { name } } } } }")
    assert shown["feedbackRequests"]["nodes"] == [
        {"state": "ANSWERED", "comment": {"body": "Well asked", "author": {"name": "Peer"}}}
    ]


async def test_a_permission_elsewhere_opens_no_body(api: Api) -> None:
    """A manager of another branch may read emails there; being asked about this one changes nothing of that."""
    team = await scene()
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "UPDATE users SET manager_id = $2 WHERE id = $1", team.users["rep"], team.users["rival"]
        )
    rep, rival = [await api.token(team.users[name]) for name in ("rep", "rival")]
    email = await gid(team, "email")
    answer = await api.data(
        rep,
        "mutation($input: RequestFeedbackInput!) { requestFeedback(input: $input) { errors { message } } }",
        input={"activityId": email, "askedIds": [of(team, "rival")]},
    )
    assert answer["requestFeedback"]["errors"] == []
    document = "query($id: ID!) { node(id: $id) { ... on EmailActivity { subject body } } }"
    # In the reporting line, the rep is in scope, and the body may be read.
    assert (await api.data(rival, document, id=email))["node"]["body"] == "secret"
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET manager_id = NULL WHERE id = $1", team.users["rep"])
    answer = await api.query(rival, document, id=email)
    assert answer["data"]["node"] == {"subject": "An Offer", "body": None}
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_errors_stand_in_the_payload(api: Api) -> None:
    team = await scene()
    manager, rep = [await api.token(team.users[name]) for name in ("manager", "rep")]
    found = await comment(api, manager, await gid(team), atSeconds=601)
    assert found["comment"] is None
    assert [(one["code"], one["path"]) for one in found["errors"]] == [("INVALID", ["input", "atSeconds"])]
    found = await comment(api, manager, await gid(team), mentionIds=[of(team, "rep"), of(team, "peer")])
    assert [(one["code"], one["path"]) for one in found["errors"]] == [
        ("MENTIONED_MAY_NOT_SEE", ["input", "mentionIds", "1"])
    ]
    found = await comment(api, manager, of(team, "rep"))
    assert found["errors"][0]["code"] == "NOT_FOUND"
    template = (await api.data(manager, TEMPLATE))["createScorecardTemplate"]["template"]["id"]
    saved = await api.data(
        manager,
        SAVE,
        input={
            "activityId": await gid(team),
            "templateId": template,
            "answers": [{"question": "opening", "scale": 9}, {"question": "agenda", "text": "x"}],
        },
    )
    assert [one["path"] for one in saved["saveScorecard"]["errors"]] == [
        ["input", "answers", "0"],
        ["input", "answers", "1"],
    ]
    answer = await api.query(
        rep,
        "mutation($id: ID!) { markReviewed(input: {activityId: $id}) { errors { code } } }",
        id=await gid(team),
    )
    assert answer["errors"][0]["extensions"]["permission"] == "manager"
    answer = await api.query(rep, TEMPLATE)
    assert answer["errors"][0]["extensions"]["permission"] == "MANAGE_GOALS"


async def test_a_thread_with_mentions(api: Api) -> None:
    team = await scene()
    manager, rep = [await api.token(team.users[name]) for name in ("manager", "rep")]
    made = await comment(api, manager, await gid(team), atSeconds=30, mentionIds=[of(team, "rep")])
    assert made["comment"]["author"]["user"] == {"name": "Manager"}
    answered = await comment(api, rep, await gid(team), answersId=made["comment"]["id"])
    assert answered["comment"]["activity"]["commentCount"] == 2
    await api.data(
        manager,
        """mutation($id: ID!) { editComment(input: {commentId: $id, body: "Better", atSeconds: 40}) {
            comment { version } errors { message } } }""",
        id=made["comment"]["id"],
    )
    found = await api.data(
        rep,
        """query($id: ID!) { node(id: $id) { ... on ConversationActivity { comments(first: 5) { totalCount nodes {
            body atSeconds version earlierVersions { body atSeconds } author { name user { name } } mentions { name }
            answers { body author { name } answers { body } } } } } }
          mentions(first: 5, unread: true) { nodes { id readAt comment { body activity { externalId } } } } }""",
        id=await gid(team),
    )
    assert found["node"]["comments"] == {
        "totalCount": 1,
        "nodes": [
            {
                "body": "Better",
                "atSeconds": 40,
                "version": 2,
                "earlierVersions": [{"body": "Well asked", "atSeconds": 30}],
                "author": {"name": "Manager", "user": None},
                "mentions": [{"name": "Rep"}],
                "answers": [{"body": "Well asked", "author": {"name": "Rep"}, "answers": []}],
            }
        ],
    }
    (mention,) = found["mentions"]["nodes"]
    assert mention["comment"] == {"body": "Better", "activity": {"externalId": "conversation"}}
    marked = await api.data(
        rep,
        "mutation($ids: [ID!]) { markMentions(input: {mentionIds: $ids}) { changed errors { code } } }",
        ids=[mention["id"]],
    )
    assert marked["markMentions"] == {"changed": 1, "errors": []}
    assert (await api.data(rep, "{ mentions(unread: true) { totalCount } }"))["mentions"]["totalCount"] == 0


async def test_a_calibration_and_its_report(api: Api) -> None:
    team = await scene()
    tokens = {name: await api.token(team.users[name]) for name in ("manager", "lead", "rep", "admin")}
    template = (await api.data(tokens["manager"], TEMPLATE))["createScorecardTemplate"]["template"]["id"]
    started = await api.data(
        tokens["manager"],
        """mutation($input: StartCalibrationInput!) { startCalibration(input: $input) {
            calibration { id state scorers { scorer { name } submittedAt } result { scores { mean } } }
            errors { message } } }""",
        input={
            "activityId": await gid(team),
            "templateId": template,
            "scorerIds": [of(team, "manager"), of(team, "lead")],
        },
    )
    calibration = started["startCalibration"]["calibration"]
    assert calibration["result"] is None
    assert [one["scorer"]["name"] for one in calibration["scorers"]] == ["Manager", "Lead"]
    await score(api, tokens["manager"], template, await gid(team))
    for name, count in {"manager": 1, "lead": 1, "rep": 0, "admin": 0}.items():
        found = await api.data(tokens[name], "{ scorecards { totalCount } }")
        assert found["scorecards"]["totalCount"] == count, name
    given = [{"question": "opening", "scale": 2}, {"question": "agenda", "yes": False}]
    saved = await api.data(
        tokens["lead"], SAVE, input={"activityId": await gid(team), "templateId": template, "answers": given}
    )
    await api.data(tokens["lead"], SUBMIT, id=saved["saveScorecard"]["scorecard"]["id"])
    found = await api.data(
        tokens["rep"],
        """query($id: ID!) { node(id: $id) { ... on Calibration { state result {
            scores { count mean lowest highest width } questions { question { key } answers { width } }
            scorecards { scorer { name } score } } } } }""",
        id=calibration["id"],
    )
    assert found["node"] == {
        "state": "CLOSED",
        "result": {
            "scores": {"count": 2, "mean": "50", "lowest": "16.6667", "highest": "83.3333", "width": "66.6666"},
            "questions": [
                {"question": {"key": "agenda"}, "answers": {"width": "1"}},
                {"question": {"key": "opening"}, "answers": {"width": "0.5"}},
            ],
            "scorecards": [
                {"scorer": {"name": "Manager"}, "score": "83.3333"},
                {"scorer": {"name": "Lead"}, "score": "16.6667"},
            ],
        },
    }
    report = await api.data(
        tokens["manager"],
        """query($id: ID!) { calibrationReport(templateId: $id, range: {named: TODAY}) {
            calibrations scores alpha meanWidth scorers { scorer { name } count bias deviation } } }""",
        id=template,
    )
    assert report["calibrationReport"] == {
        "calibrations": 1,
        "scores": 2,
        "alpha": None,
        "meanWidth": "66.6666",
        "scorers": [
            {"scorer": {"name": "Manager"}, "count": 1, "bias": "66.6666", "deviation": "66.6666"},
            {"scorer": {"name": "Lead"}, "count": 1, "bias": "-66.6666", "deviation": "66.6666"},
        ],
    }
    dashboard = """{ individualDashboard(range: {from: "2026-03-10", to: "2026-03-10"},
        metrics: [CONVERSATIONS_REVIEWED, SCORECARD_AVERAGE]) { metrics { mine { value available } } } }"""
    mine = (await api.data(tokens["rep"], dashboard))["individualDashboard"]["metrics"]
    assert [one["mine"] for one in mine] == [{"value": "1", "available": True}, {"value": "0.5", "available": True}]


async def test_a_template_goes_on(api: Api) -> None:
    team = await scene()
    manager, rep, rival = [await api.token(team.users[name]) for name in ("manager", "rep", "rival")]
    made = (await api.data(manager, TEMPLATE))["createScorecardTemplate"]["template"]
    assert [one["weight"] for one in made["questions"]] == ["2", "1", "0"]
    update = """mutation($input: UpdateScorecardTemplateInput!) { updateScorecardTemplate(input: $input) {
        template { name version archived questions { key } versions { version publishedBy { name } questions { key } } }
        errors { code path } } }"""
    questions = [{"key": "opening", "text": "Better?", "kind": "YES_NO"}]
    given = {"templateId": made["id"], "name": "First talk", "questions": questions, "expectedVersion": 1}
    assert (await api.data(manager, update, input=given))["updateScorecardTemplate"] == {
        "template": {
            "name": "First talk",
            "version": 2,
            "archived": False,
            "questions": [{"key": "opening"}],
            "versions": [
                {"version": 2, "publishedBy": {"name": "Manager"}, "questions": [{"key": "opening"}]},
                {
                    "version": 1,
                    "publishedBy": {"name": "Manager"},
                    "questions": [{"key": "opening"}, {"key": "agenda"}, {"key": "advice"}],
                },
            ],
        },
        "errors": [],
    }
    again = (await api.data(manager, update, input=given))["updateScorecardTemplate"]
    assert again == {"template": None, "errors": [{"code": "CONFLICT", "path": ["input", "expectedVersion"]}]}
    for token in (rep, rival):
        answer = await api.query(token, update, input=given)
        assert answer["errors"][0]["extensions"]["permission"] == "MANAGE_TEAM"
    await api.data(manager, update, input={"templateId": made["id"], "archived": True})
    listed = "query($archived: Boolean!) { scorecardTemplates(archived: $archived) { name } }"
    assert (await api.data(rep, listed, archived=False))["scorecardTemplates"] == []
    assert (await api.data(rep, listed, archived=True))["scorecardTemplates"] == [{"name": "First talk"}]


async def test_playlists(api: Api) -> None:
    team = await scene()
    manager, rep, peer = [await api.token(team.users[name]) for name in ("manager", "rep", "peer")]
    made = await api.data(
        manager,
        """mutation($group: ID!) { createPlaylist(input: {name: "Openings", audience: GROUP, groupId: $group}) {
            playlist { id group { name } } errors { message } } }""",
        group=encode_id("Group", team.groups["region"]),
    )
    playlist = made["createPlaylist"]["playlist"]["id"]
    for name, start in (("conversation", 10), ("recording", None)):
        added = await api.data(
            manager,
            """mutation($input: AddPlaylistItemInput!) { addPlaylistItem(input: $input) {
                playlist { items { totalCount } } errors { message } } }""",
            input={"playlistId": playlist, "activityId": await gid(team, name), "startsSeconds": start, "note": name},
        )
        assert added["addPlaylistItem"]["errors"] == []
    document = """{ playlists { totalCount nodes { name owner { name } group { name }
        items { totalCount nodes { note startsSeconds activity { externalId } } } } } }"""
    found = (await api.data(rep, document))["playlists"]["nodes"]
    assert [one["note"] for one in found[0]["items"]["nodes"]] == ["conversation", "recording"]
    found = (await api.data(peer, document))["playlists"]["nodes"]
    assert found == [
        {
            "name": "Openings",
            "owner": {"name": "Manager"},
            "group": {"name": "region"},
            "items": {"totalCount": 0, "nodes": []},
        }
    ]
