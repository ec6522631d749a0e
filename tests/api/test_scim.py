"""SCIM 2.0: an identity provider looks after people and groups.

Invariants:
A. The public conformance check of SCIM passes whole.
B. What Okta and Entra send does what they mean by it.
C. It takes a token with the scope SCIM, of somebody with MANAGE_TEAM; nothing of another team shows.
D. A change of what has changed meanwhile is refused; what is known already is not sent again.
E. Filters, orders and pages agree with what each means, worked out without them.
F. Deactivation and removal end access at once and keep what was done; who is made again is the same person, as new.
G. Nobody gives what they do not have, and the last Admin stays.
H. A PATCH happens whole or not at all, changes at once take turns, and each is told in the audit log.
I. A person is in one group; a group's place in the tree stays; one with goals or groups below it is not removed.
J. What is too much is refused before it is worked at.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import httpx
import pytest
from scim2_client import BaseSyncSCIMClient
from scim2_tester import Status, check_server
from scim2_tester.checkers import core_schemas_validation
from scim2_tester.utils import CheckConfig, CheckContext

from domain import teams
from domain.database import ALL_TEAMS, acquire
from domain.ids import decode_any_id, encode_id
from domain.models.base import new_id
from tests.api.conftest import Api
from tests.api.scim_filters import GROUP_FIELDS, GROUP_SELECTIONS, SELECTIONS, USER_FIELDS, Filters
from tests.factories import make_group, make_role, make_user

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"


class Directory:
    """A team with an Admin whose token an identity provider has."""

    async def make(self, api: Api) -> Directory:
        self.api = api
        async with acquire(ALL_TEAMS) as connection:
            self.team = await teams.create_team(connection, name="Team")
            self.admin_role = await teams.role_named(connection, self.team, "Admin")
            self.user_role = await teams.role_named(connection, self.team, "User")
            self.manager_role = await make_role(connection, self.team, "TEAM_VIEW", name="Manager")
            self.admin = await make_user(connection, self.team, self.admin_role, email="admin@x.test", name="Ada")
        self.token = await api.token(self.admin, scopes=["SCIM"])
        return self

    async def ask(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str
    ) -> httpx.Response:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.api.http.request(
            method,
            f"/scim/v2{path}",
            json=body,
            headers={"authorization": f"Bearer {token or self.token}", "content-type": "application/scim+json"}
            | fields,
        )

    async def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        response = await self.api.http.get(
            f"/scim/v2{path}", params=parameters, headers={"authorization": f"Bearer {self.token}"}
        )
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/scim+json"
        found: dict[str, Any] = response.json()
        return found

    async def make_user(self, user_name: str, **more: Any) -> dict[str, Any]:
        response = await self.ask("POST", "/Users", {"schemas": [USER], "userName": user_name, **more})
        assert response.status_code == 201, response.text
        made: dict[str, Any] = response.json()
        assert response.headers["location"] == made["meta"]["location"]
        return made

    async def make_group(self, name: str, *members: dict[str, Any], **more: Any) -> dict[str, Any]:
        body = {"schemas": [GROUP], "displayName": name, "members": [{"value": one["id"]} for one in members], **more}
        response = await self.ask("POST", "/Groups", body)
        assert response.status_code == 201, response.text
        made: dict[str, Any] = response.json()
        return made

    async def patch(self, found: dict[str, Any], *operations: dict[str, Any], **headers: str) -> httpx.Response:
        kind = found["meta"]["resourceType"]
        body = {"schemas": [PATCH], "Operations": list(operations)}
        return await self.ask("PATCH", f"/{kind}s/{found['id']}", body, **headers)

    async def patched(self, found: dict[str, Any], *operations: dict[str, Any]) -> dict[str, Any]:
        response = await self.patch(found, *operations)
        assert response.status_code in (200, 204), response.text
        return await self.get(f"/{found['meta']['resourceType']}s/{found['id']}")

    async def members(self, group: dict[str, Any]) -> set[str]:
        found = await self.get(f"/Groups/{group['id']}")
        return {member["value"] for member in found.get("members", [])}

    async def row(self, user: dict[str, Any]) -> Any:
        async with acquire(self.team) as connection:
            return await connection.fetchrow("SELECT * FROM users WHERE id = $1", key(user))

    async def actions(self) -> list[str]:
        async with acquire(self.team) as connection:
            rows = await connection.fetch("SELECT action FROM audit_entries ORDER BY position")
        return [row["action"] for row in rows]


def key(found: dict[str, Any]) -> UUID:
    decoded = decode_any_id(found["id"])
    assert decoded is not None
    return decoded[1]


def refused(response: httpx.Response, status: int, scim_type: str | None = None) -> str:
    """The detail of a refusal in SCIM's shape."""
    assert response.status_code == status, response.text
    body = response.json()
    assert response.headers["content-type"] == "application/scim+json"
    assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert (body["status"], body.get("scimType")) == (str(status), scim_type), body
    detail: str = body["detail"]
    return detail


@pytest.fixture
async def directory(api: Api) -> Directory:
    return await Directory().make(api)


class Client(BaseSyncSCIMClient):
    """scim2-client in a thread, on the application in this event loop."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        super().__init__()
        self.http = http
        self.loop = asyncio.get_running_loop()

    def _stays_under_base_url(self, endpoint: str) -> bool:
        return True

    def _parse_json(self, response: Any) -> Any:
        return response.json()

    def request(self, method: str, url: str, **options: Any) -> Any:
        sent = self.http.request(method, url, **options)
        return asyncio.run_coroutine_threadsafe(sent, self.loop).result()


async def test_the_public_conformance_check_passes_whole(directory: Directory) -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(directory.api.app),
        base_url="http://sideline.test/scim/v2",
        headers={"authorization": f"Bearer {directory.token}"},
    ) as http:
        client = Client(http)
        results = await asyncio.to_thread(check_server, client)
        results += await asyncio.to_thread(core_schemas_validation, CheckContext(client, CheckConfig()))
    assert [(one.title, one.reason) for one in results if one.status is not Status.SUCCESS] == []
    assert len(results) > 70


async def test_okta(directory: Directory) -> None:
    """Looks for the person, makes them, updates, suspends and removes them; pushes groups."""
    wanted = {"filter": 'userName eq "Isaac.Brock@Example.com"', "startIndex": 1, "count": 100}
    assert (await directory.get("/Users", **wanted))["totalResults"] == 0
    profile = {
        "schemas": [USER],
        "userName": "isaac.brock@example.com",
        "name": {"givenName": "Isaac", "familyName": "Brock"},
        "emails": [{"primary": True, "value": "isaac.brock@example.com", "type": "work"}],
        "displayName": "Isaac Brock",
        "locale": "en-US",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq",
        "active": True,
    }
    response = await directory.ask("POST", "/Users", profile)
    assert response.status_code == 201
    made = response.json()
    assert made["id"] == (await directory.get("/Users", **wanted))["Resources"][0]["id"]
    assert "password" not in made
    assert refused(await directory.ask("POST", "/Users", profile), 409, "uniqueness").startswith("userName")
    row = await directory.row(made)
    assert (row["name"], row["email"], row["scim_user_name"]) == ("Isaac Brock", profile["userName"], None)
    assert row["role_id"] == directory.user_role

    profile |= {"id": made["id"], "name": {"givenName": "Isaac", "familyName": "Stone"}, "displayName": "Isaac Stone"}
    response = await directory.ask("PUT", f"/Users/{made['id']}", profile)
    assert (response.status_code, response.json()["name"]) == (200, profile["name"])

    off = await directory.patched(made, {"op": "replace", "value": {"active": False}})
    assert off["active"] is False
    assert (await directory.row(made))["active"] is False
    assert (await directory.patched(made, {"op": "replace", "value": {"active": True}}))["active"] is True

    other = await directory.make_user("modest@example.com")
    group = await directory.make_group("Test SCIMv2", made)
    assert (await directory.get("/Groups", filter='displayName eq "test scimv2"'))["Resources"][0]["id"] == group["id"]
    response = await directory.patch(
        group,
        {"op": "remove", "path": f'members[value eq "{made["id"]}"]'},
        {"op": "add", "path": "members", "value": [{"value": other["id"], "display": "modest@example.com"}]},
    )
    assert response.status_code == 204
    assert await directory.members(group) == {other["id"]}
    renamed = {"op": "replace", "value": {"id": group["id"], "displayName": "Renamed"}}
    assert (await directory.patched(group, renamed))["displayName"] == "Renamed"
    everybody = {"op": "replace", "path": "members", "value": [{"value": made["id"]}, {"value": other["id"]}]}
    await directory.patched(group, everybody)
    assert await directory.members(group) == {made["id"], other["id"]}
    assert (await directory.ask("DELETE", f"/Groups/{group['id']}")).status_code == 204
    assert "groups" not in await directory.get(f"/Users/{made['id']}")


async def test_entra(directory: Directory) -> None:
    """Capitalised operations, truth in quotes, dotted and qualified keys, the manager as a bare id."""
    boss = await directory.make_user("boss@x.test")
    response = await directory.ask(
        "POST",
        "/Users",
        {
            "schemas": [USER, ENTERPRISE],
            "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
            "userName": "Test_User_ab6490ee",
            "active": "True",
            "addresses": [{"primary": False, "type": "work", "country": "US"}],
            "emails": [{"primary": True, "type": "work", "value": "testing@x.test"}],
            "displayName": "lennay",
            "meta": {"resourceType": "User"},
            "name": {"formatted": "givenName familyName", "familyName": "familyName", "givenName": "givenName"},
            "roles": [{"primary": False, "type": "WindowsAzureActiveDirectoryRole", "value": "manager"}],
            "title": "Seller",
            ENTERPRISE: {"department": "Sales", "manager": boss["id"]},
        },
    )
    assert response.status_code == 201, response.text
    made = response.json()
    assert made["roles"] == [{"value": "Manager"}]
    assert made[ENTERPRISE]["manager"]["value"] == boss["id"]
    row = await directory.row(made)
    assert (row["email"], row["scim_user_name"], row["manager_id"]) == (
        "testing@x.test",
        "Test_User_ab6490ee",
        key(boss),
    )
    found = await directory.get("/Users", filter=f'id eq "{made["id"]}" and manager eq "{boss["id"]}"', attributes="id")
    assert [sorted(one) for one in found["Resources"]] == [["id", "schemas"]]

    changed = await directory.patched(
        made,
        {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "updated@x.test"},
        {"op": "Replace", "path": "name.familyName", "value": "updatedFamilyName"},
        {"op": "Add", "path": 'phoneNumbers[type eq "mobile"].value', "value": "+1"},
        {"op": "Add", "value": {"name.givenName": "Updated", f"{ENTERPRISE}:department": "IT", "title": "Boss"}},
        {"op": "Replace", "path": 'roles[primary eq "True"].value', "value": "Admin"},
        {"op": "Replace", "path": "active", "value": "False"},
    )
    assert changed["emails"] == [{"value": "updated@x.test", "type": "work", "primary": True}]
    assert changed["name"] == {
        "formatted": "givenName familyName",
        "familyName": "updatedFamilyName",
        "givenName": "Updated",
    }
    assert (changed["active"], changed["roles"]) == (False, [{"value": "Admin"}])
    again = await directory.patched(
        made,
        {"op": "Replace", "value": {'emails[type eq "work"].value': "third@x.test", "userName": "third"}},
        {"op": "Replace", "value": {f"{ENTERPRISE}:manager": directory_id(directory.admin)}},
        {"op": "Remove", "path": 'roles[primary eq "True"].value'},
        {"op": "Add", "path": "active", "value": True},
    )
    assert (again["userName"], again["emails"][0]["value"], again["active"]) == ("third", "third@x.test", True)
    assert again[ENTERPRISE]["manager"]["value"] == directory_id(directory.admin)
    assert "roles" not in again
    gone = await directory.patched(made, {"op": "Remove", "path": f"{ENTERPRISE}:manager"})
    assert ENTERPRISE not in gone

    group = await directory.make_group("Entra", externalId="8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159")
    await directory.patch(group, {"op": "Add", "path": "members", "value": [{"$ref": None, "value": made["id"]}]})
    assert await directory.members(group) == {made["id"]}
    wanted = f'id eq "{group["id"]}" and members eq "{made["id"]}"'
    assert (await directory.get("/Groups", filter=wanted, attributes="id"))["totalResults"] == 1
    await directory.patch(group, {"op": "Remove", "path": "members", "value": [{"$ref": None, "value": made["id"]}]})
    assert await directory.members(group) == set()
    without = await directory.get(f"/Groups/{group['id']}", excludedAttributes="members")
    assert "members" not in without


def directory_id(user_id: UUID) -> str:
    return encode_id("User", user_id)


async def test_who_may_ask(directory: Directory) -> None:
    async with acquire(ALL_TEAMS) as connection:
        rep = await make_user(connection, directory.team, directory.manager_role)
    for token, status in (
        ("sl_unknown", 401),
        (await directory.api.token(directory.admin, scopes=["READ", "WRITE", "IMPORT"]), 403),
        (await directory.api.token(rep, scopes=["SCIM"]), 403),
    ):
        for method, path in (("GET", "/Users"), ("POST", "/Groups"), ("GET", "/Schemas"), ("DELETE", "/Users/x")):
            refused(await directory.ask(method, path, {} if method == "POST" else None, token=token), status)
    nobody = await directory.api.http.get("/scim/v2/Users")
    refused(nobody, 401)
    assert nobody.headers["www-authenticate"].startswith("Bearer")


async def test_another_team_is_not_there(directory: Directory) -> None:
    other = await Directory().make(directory.api)
    user = await other.make_user("theirs@x.test", externalId="theirs")
    group = await other.make_group("Theirs", user)
    for path in (f"/Users/{user['id']}", f"/Groups/{group['id']}"):
        body = {"schemas": [USER if "Users" in path else GROUP], "userName": "x@x.test", "displayName": "x"}
        refused(await directory.ask("GET", path), 404)
        refused(await directory.ask("PUT", path, body), 404)
        operations = [{"op": "replace", "path": "displayName", "value": "x"}]
        refused(await directory.ask("PATCH", path, {"schemas": [PATCH], "Operations": operations}), 404)
        refused(await directory.ask("DELETE", path), 404)
    for wanted in ("userName pr or displayName pr", f'id eq "{user["id"]}"', 'externalId eq "theirs"'):
        found = await directory.get("", filter=wanted)
        assert user["id"] not in {one["id"] for one in found["Resources"]}
        assert group["id"] not in {one["id"] for one in found["Resources"]}
    # Neither its names nor its ids stand in anybody's way or can be pointed at.
    ours = await directory.make_user("theirs@x.test", externalId="theirs")
    mine = await directory.make_group("Ours", ours)
    refused(
        await directory.patch(mine, {"op": "add", "path": "members", "value": [{"value": user["id"]}]}),
        400,
        "invalidValue",
    )
    manager = {"op": "add", "path": f"{ENTERPRISE}:manager", "value": {"value": user["id"]}}
    refused(await directory.patch(ours, manager), 400, "invalidValue")
    assert await directory.members(mine) == {ours["id"]}


async def test_versions(directory: Directory) -> None:
    user = await directory.make_user("v@x.test")
    group = await directory.make_group("V", user)
    for found, change in ((user, {"displayName": "New"}), (group, {"displayName": "New"})):
        path = f"/{found['meta']['resourceType']}s/{found['id']}"
        now = await directory.ask("GET", path)
        version = now.headers["etag"]
        assert version == now.json()["meta"]["version"]
        assert version.startswith('W/"')
        known = await directory.ask("GET", path, if_none_match=version)
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", version)
        assert (await directory.ask("GET", path, if_none_match='W/"other"')).status_code == 200
        operation = {"op": "replace", "value": change}
        assert (await directory.patch(found, operation, if_match=f'"x", {version}')).status_code in (200, 204)
        body = {"schemas": found["schemas"], "userName": "v@x.test", "displayName": "Old"}
        refused(await directory.patch(found, operation, if_match=version), 412)
        refused(await directory.ask("PUT", path, body, if_match=version), 412)
        refused(await directory.ask("DELETE", path, if_match=version), 412)
        after = await directory.get(path)
        assert (after["displayName"], after["meta"]["version"] != version) == ("New", True)
        assert after["meta"]["lastModified"] > now.json()["meta"]["lastModified"] >= now.json()["meta"]["created"]
        assert (await directory.ask("PUT", path, body, if_match="*")).status_code == 200
    before = await directory.get(f"/Groups/{group['id']}")
    await directory.patch(group, {"op": "remove", "path": "members"})
    after = await directory.get(f"/Groups/{group['id']}", excludedAttributes="members")
    assert after["meta"]["version"] != before["meta"]["version"], "who is in it is part of it"
    assert after["meta"]["lastModified"] > before["meta"]["lastModified"]


async def crowd(directory: Directory, random: Random, count: int) -> None:
    """People with some of everything, made straight in the tables."""
    given = ["Ana", "ana", "Bo", "Élan", 'Q"uote', "per%cent", "back\\slash", "under_score"]
    start = datetime(2026, 1, 1, tzinfo=UTC)
    async with acquire(ALL_TEAMS) as connection:
        groups = [await make_group(connection, directory.team, name) for name in ("West", "west coast", "East")]
        made = [directory.admin]
        for number in range(count):
            name = random.choice([None, *given])
            external = random.choice([None, f"Ext-{number}", f"ext-{number}"])
            made.append(
                await make_user(
                    connection,
                    directory.team,
                    random.choice([directory.user_role, directory.manager_role, directory.admin_role]),
                    email=f"{random.choice('aAbB')}{number}@{random.choice(['x.test', 'Y.test'])}",
                    name=f"{random.choice(given)} {number % 5}",
                    given_name=name,
                    family_name=random.choice([None, "Smith", "smithson"]),
                    formatted_name=None if name is None else f"{name} Smith",
                    scim_user_name=random.choice([None, f"Login{number}"]),
                    scim_external_id=external,
                    active=random.random() < 0.7,
                    group_id=random.choice([None, *groups]),
                    manager_id=random.choice([None, *made]),
                    created_at=start + timedelta(seconds=random.randint(0, 5)),
                    changed_at=start + timedelta(seconds=random.randint(5, 9)),
                    scim_removed_at=random.choice([None] * 9 + [start]),
                    erased_at=random.choice([None] * 19 + [start]),
                )
            )


async def pages(directory: Directory, random: Random, path: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """A whole list, read page by page, sometimes by `/.search`."""
    found: list[dict[str, Any]] = []
    total = None
    while total is None or len(found) < total:
        page = {**wanted, "startIndex": len(found) + 1, "count": random.choice([7, 40, 1000])}
        if random.random() < 0.3:
            response = await directory.ask("POST", f"{path}/.search", {"schemas": [SEARCH], **page})
            assert response.status_code == 200, (wanted, response.text)
            answer = response.json()
        else:
            answer = await directory.get(path, **page)
        assert answer["startIndex"] == len(found) + 1
        assert answer["itemsPerPage"] == len(answer["Resources"])
        total = answer["totalResults"] if total is None else total
        assert answer["totalResults"] == total
        assert answer["Resources"] or total == len(found)
        found += answer["Resources"]
    return found


@pytest.mark.parametrize("seed", [1, 2])
async def test_filters_orders_and_pages(directory: Directory, seed: int) -> None:
    random = Random(seed)
    await crowd(directory, random, 60)
    for path, fields, selections in (
        ("/Users", USER_FIELDS, SELECTIONS),
        ("/Groups", GROUP_FIELDS, GROUP_SELECTIONS),
    ):
        everything = await pages(directory, random, path, {})
        async with acquire(directory.team) as connection:
            count = await connection.fetchval(
                "SELECT count(*) FROM users WHERE scim_removed_at IS NULL AND erased_at IS NULL"
                if path == "/Users"
                else "SELECT count(*) FROM groups"
            )
        assert len({one["id"] for one in everything}) == len(everything) == count
        filters = Filters(random, fields, selections, everything)
        matched, tried = 0, 120 if path == "/Users" else 40
        for _ in range(tried):
            text, means = filters.any()
            expected = [one for one in everything if means(one)]
            wanted = {"filter": text}
            sort = random.choice(
                [None, *(field for field in fields if not field.path.startswith(("members", "schemas")))]
            )
            if sort is not None and sort.path != "id":
                descending = random.random() < 0.5
                wanted |= {"sortBy": sort.path, "sortOrder": "descending" if descending else "ascending"}

                def rank(document: dict[str, Any], sort: Any = sort) -> tuple[bool, Any]:
                    values = sort.values(document)
                    value = values[0] if values else ""
                    return not values, value.lower() if sort.kind == "text" else value

                expected.sort(key=rank, reverse=descending)
            found = await pages(directory, random, path, wanted)
            assert [one["id"] for one in found] == [one["id"] for one in expected], wanted
            matched += 0 < len(expected) < len(everything)
        assert matched > tried / 5, "many filters choose some and leave some"


async def test_everything_at_once(directory: Directory) -> None:
    random = Random(3)
    await crowd(directory, random, 20)
    people, groups = await pages(directory, random, "/Users", {}), await pages(directory, random, "/Groups", {})
    found = await pages(directory, random, "", {})
    assert [one["id"] for one in found] == [one["id"] for one in [*people, *groups]]
    # What one kind has not got has no value there.
    for text, expected in (
        ('displayName sw "w"', [one for one in groups if one["displayName"].lower().startswith("w")]),
        ("not (userName pr)", groups),
        ("userName eq null", groups),
        ('meta.resourceType eq "User" and members ne "x"', people),
    ):
        assert [one["id"] for one in await pages(directory, random, "", {"filter": text})] == [
            one["id"] for one in expected
        ]
    sorted_found = await pages(directory, random, "", {"sortBy": "userName", "sortOrder": "descending"})
    names = [one["userName"].lower() for one in sorted_found if "userName" in one]
    assert names == sorted(names, reverse=True)
    assert "nickName" in refused(await directory.ask("GET", '?filter=nickName eq "x"'), 400, "invalidFilter")


SAY_NOTHING = (
    ('nickName eq "x"', "nickName"),
    ('emails[country eq "x"]', "country"),
    ('emails.country eq "x"', "emails.country"),
    ('urn:ietf:params:scim:schemas:core:2.0:Group:displayName eq "x"', "displayName"),
    ('name eq "x"', "name.formatted"),
    ("active gt true", "active"),
    ('active eq "perhaps"', "active"),
    ('meta.created co "2026"', "co"),
    ('meta.created gt "yesterday"', "time"),
    ('meta.created gt "0001-01-01T00:00:00+14:00"', "time"),
    ("userName eq 7", "quotes"),
    ("userName gt null", "null"),
    ('userName[value eq "x"]', "several"),
    ('userName regex "x"', "column"),
    ("userName eq", "column"),
    ('userName eq "x" and', "column"),
    ('userName eq "\\u0000"', "null character"),
    ('userName eq "\\ud800"', "no text"),
    ("not " * 3 + "(userName pr)", "column"),
    ("not (" * 40 + "userName pr" + ")" * 40, "nests"),
    ('userName eq "' + "x" * 5000 + '"', "4096"),
)
"""Filters that are refused, and what of them the answer names."""


async def test_filters_that_say_nothing(directory: Directory) -> None:
    for text, told in SAY_NOTHING:
        response = await directory.ask("GET", f"/Users?{httpx.QueryParams({'filter': text})}")
        assert told in refused(response, 400, "invalidFilter"), text


async def test_other_parameters(directory: Directory) -> None:
    await directory.make_user("a@x.test", name={"givenName": "A", "familyName": "B"})
    for name, value, scim_type in (
        ("count", "many", "invalidValue"),
        ("startIndex", "1.5", "invalidValue"),
        ("sortBy", "members", "invalidPath"),
        ("sortBy", "name", "invalidPath"),
        ("sortBy", "a b", "invalidPath"),
        ("sortOrder", "up", "invalidValue"),
    ):
        assert name in refused(await directory.ask("GET", f"/Users?{name}={value}"), 400, scim_type)
    refused(await directory.ask("GET", "/Users?attributes=id&excludedAttributes=name"), 400, "invalidValue")
    assert (await directory.get("/Users", count=-1))["Resources"] == []
    assert (await directory.get("/Users", startIndex=-5, count=1))["startIndex"] == 1
    assert (await directory.get("/Users", startIndex=10**30))["Resources"] == []
    by_name = {"filter": 'userName eq "a@x.test"'}
    for parameters, there in (
        ({"attributes": "name.givenName,EMAILS.value"}, {"schemas", "id", "name", "emails"}),
        ({"attributes": f"{USER}:displayName,unknown"}, {"schemas", "id", "displayName"}),
        (
            {"excludedAttributes": "meta,id,schemas,name.familyName,active"},
            {"schemas", "id", "userName", "displayName", "name", "emails"},
        ),
    ):
        (found,) = (await directory.get("/Users", **by_name, **parameters))["Resources"]
        assert set(found) == there
        assert "familyName" not in found.get("name", {})
    refused(await directory.ask("GET", '/ResourceTypes?filter=name eq "User"'), 403)
    for method, path, status in (
        ("GET", "/Me", 501),
        ("POST", "/Bulk", 501),
        ("GET", "/Nothing", 404),
        ("GET", "/Users/x/y", 404),
        ("PUT", "/Users", 405),
        ("GET", "/.search", 405),
        ("GET", f"/Users/{encode_id('Group', new_id())}", 404),
        ("GET", "/Users/%C3%A9", 404),
    ):
        refused(await directory.ask(method, path), status)


async def test_deactivation_ends_access_at_once(directory: Directory) -> None:
    user = await directory.make_user("rep@x.test", roles=[{"value": "Manager"}])
    token = await directory.api.token(key(user))
    document = "{ viewer { user { name } } }"
    assert "errors" not in await directory.api.query(token, document)
    await directory.patch(user, {"op": "replace", "path": "active", "value": False})
    response = await directory.api.http.post(
        "/graphql", json={"query": document}, headers={"authorization": f"Bearer {token}"}
    )
    assert response.status_code == 401
    found = await directory.patched(user, {"op": "replace", "path": "active", "value": True})
    assert (found["active"], found["roles"]) == (True, [{"value": "Manager"}]), "a suspension takes no role away"
    response = await directory.api.http.post(
        "/graphql", json={"query": document}, headers={"authorization": f"Bearer {token}"}
    )
    assert response.status_code == 401, "an ended token stays ended"
    assert await directory.actions() == ["USER_INVITED", "USER_DEACTIVATED", "USER_REACTIVATED"]


async def test_a_removed_person_is_gone_and_comes_back_as_new(directory: Directory) -> None:
    user = await directory.make_user(
        "rep@x.test", externalId="e1", roles=[{"value": "Manager"}], name={"givenName": "Rep", "familyName": "One"}
    )
    report = await directory.make_user("report@x.test", **{ENTERPRISE: {"manager": {"value": user["id"]}}})
    group = await directory.make_group("West", user, report)
    token = await directory.api.token(key(user))
    assert (await directory.ask("DELETE", f"/Users/{user['id']}")).status_code == 204
    for method in ("GET", "DELETE"):
        refused(await directory.ask(method, f"/Users/{user['id']}"), 404)
    response = await directory.api.http.post(
        "/graphql", json={"query": "{ viewer { user { name } } }"}, headers={"authorization": f"Bearer {token}"}
    )
    assert response.status_code == 401
    assert (await directory.get("/Users", filter='userName sw "rep@"'))["totalResults"] == 0
    assert await directory.members(group) == {report["id"]}
    assert ENTERPRISE not in await directory.get(f"/Users/{report['id']}")
    row = await directory.row(user)
    assert (row["active"], row["name"], row["group_id"]) == (False, "Rep One", key(group)), "history stays"
    # A change of somebody who reports to them says nothing of that.
    await directory.patched(report, {"op": "replace", "path": "displayName", "value": "Other"})
    assert (await directory.row(report))["manager_id"] == key(user)
    taken = {"op": "replace", "path": "userName", "value": "REP@x.test"}
    assert "userName" in refused(await directory.patch(report, taken), 409, "uniqueness")

    for again in ({"userName": "Rep@X.test"}, {"userName": "new@x.test", "externalId": "e1"}):
        back = await directory.make_user(again.pop("userName"), **again)
        assert back["id"] == user["id"], "the same person"
        assert back["active"] is True
        assert not {"roles", "groups", "name"} & set(back), "with nothing of what they were given before"
        assert await directory.members(group) == {report["id"]}
        assert (await directory.ask("DELETE", f"/Users/{user['id']}")).status_code == 204
        refused(
            await directory.ask("POST", "/Users", {"schemas": [USER], "userName": "report@x.test"}), 409, "uniqueness"
        )
        if "externalId" not in again:
            async with acquire(directory.team) as connection:
                await connection.execute("UPDATE users SET scim_external_id = 'e1' WHERE id = $1", key(user))
    resting = await directory.make_user("new@x.test", active=False)
    assert (resting["id"], resting["active"]) == (user["id"], False)


async def test_names_and_addresses_follow(directory: Directory) -> None:
    user = await directory.make_user("a@x.test", name={"givenName": "Ann", "familyName": "Lee"})
    assert (user["displayName"], user["emails"][0]["value"]) == ("Ann Lee", "a@x.test")
    for operation, name, address in (
        ({"op": "replace", "path": "name.familyName", "value": "Roe"}, "Ann Roe", "a@x.test"),
        ({"op": "replace", "path": "userName", "value": "ann@x.test"}, "Ann Roe", "ann@x.test"),
        ({"op": "replace", "path": "displayName", "value": "Annie"}, "Annie", "ann@x.test"),
        ({"op": "replace", "path": "name.givenName", "value": "Anne"}, "Annie", "ann@x.test"),
        ({"op": "remove", "path": "displayName"}, "Anne Roe", "ann@x.test"),
        ({"op": "replace", "path": "userName", "value": "login7"}, "Anne Roe", "ann@x.test"),
        ({"op": "replace", "path": "userName", "value": "b@x.test"}, "Anne Roe", "ann@x.test"),
        ({"op": "remove", "path": "emails"}, "Anne Roe", "b@x.test"),
        ({"op": "add", "path": "emails", "value": [{"value": "z@x.test", "primary": True}]}, "Anne Roe", "z@x.test"),
        ({"op": "add", "path": "emails", "value": [{"value": "home@x.test", "type": "home"}]}, "Anne Roe", "z@x.test"),
    ):
        found = await directory.patched(user, operation)
        assert (found["displayName"], found["emails"][0]["value"]) == (name, address), operation
        assert len(found["emails"]) == 1
    # A PUT leaves what it does not name, and clears what it names empty.
    role = {"op": "add", "path": "roles", "value": [{"value": "Manager"}]}
    await directory.patched(user, role, {"op": "add", "path": "externalId", "value": "e"})
    path = f"/Users/{user['id']}"
    kept = (await directory.ask("PUT", path, {"schemas": [USER], "userName": "b@x.test"})).json()
    assert (kept["roles"], kept["externalId"], kept["displayName"]) == ([{"value": "Manager"}], "e", "Anne Roe")
    cleared = (
        await directory.ask(
            "PUT", path, {"schemas": [USER], "userName": "b@x.test", "roles": [], "externalId": None, "name": {}}
        )
    ).json()
    assert not {"roles", "externalId", "name"} & set(cleared)
    for operation in (
        {"op": "remove", "path": "userName"},
        {"op": "remove", "path": "active"},
        {"op": "replace", "path": "id", "value": "x"},
        {"op": "replace", "path": "groups", "value": []},
    ):
        refused(await directory.patch(user, operation), 400, "mutability")
    await directory.patched(user, {"op": "replace", "path": "userName", "value": "login8"})
    refused(await directory.patch(user, {"op": "remove", "path": "emails"}), 400, "mutability")
    for body in (
        {"userName": "nobody"},
        {"userName": " "},
        {"userName": "q\0@x.test"},
        {"userName": "q@x.test", "roles": [{"value": "Nobody"}]},
        {"userName": "q@x.test", "roles": [{"value": "No\0body"}]},
        {"userName": "q@x.test", "externalId": "x" * 256},
        {"userName": "q" * 256, "emails": [{"value": "q@x.test"}]},
        {"userName": "q@x.test", ENTERPRISE: {"manager": {"value": "nobody"}}},
    ):
        refused(await directory.ask("POST", "/Users", {"schemas": [USER], **body}), 400, "invalidValue")


async def test_nobody_gives_what_they_do_not_have(directory: Directory) -> None:
    admin = await directory.get(f"/Users/{directory_id(directory.admin)}")
    for operations in (
        [{"op": "replace", "path": "active", "value": False}],
        [{"op": "remove", "path": "roles"}],
        [{"op": "replace", "path": "displayName", "value": "x"}, {"op": "replace", "value": {"active": False}}],
    ):
        assert "last Admin" in refused(await directory.patch(admin, *operations), 409)
    assert "last Admin" in refused(await directory.ask("DELETE", f"/Users/{admin['id']}"), 409)
    assert await directory.get(f"/Users/{admin['id']}") == admin
    async with acquire(ALL_TEAMS) as connection:
        clerk_role = await make_role(connection, directory.team, "MANAGE_TEAM", name="Clerk")
        clerk = await make_user(connection, directory.team, clerk_role)
    token = await directory.api.token(clerk, scopes=["SCIM"])
    for role in ("Admin", "Manager"):
        body = {"schemas": [USER], "userName": "new@x.test", "roles": [{"value": role}]}
        refused(await directory.ask("POST", "/Users", body, token=token), 403)
    refused(await directory.ask("DELETE", f"/Users/{admin['id']}", token=token), 403)
    group = await directory.make_group("Top")
    operations = [{"op": "add", "path": "members", "value": [{"value": admin["id"]}]}]
    body = {"schemas": [PATCH], "Operations": operations}
    refused(await directory.ask("PATCH", f"/Groups/{group['id']}", body, token=token), 403)
    assert await directory.members(group) == set()


async def test_a_patch_happens_whole_or_not_at_all(directory: Directory) -> None:
    user, other = await directory.make_user("a@x.test"), await directory.make_user("b@x.test", externalId="taken")
    group = await directory.make_group("West", user)
    before, actions = await directory.get(""), await directory.actions()
    both = "?attributes=id&excludedAttributes=name"
    for path, body in (
        (f"/Users/{user['id']}", {"schemas": [USER], "userName": "c@x.test"}),
        (f"/Groups/{group['id']}", {"schemas": [GROUP], "displayName": "Other"}),
    ):
        refused(await directory.ask("PUT", path + both, body), 400, "invalidValue")
        refused(await directory.ask("POST", path.rpartition("/")[0] + both, body), 400, "invalidValue")
    name = {"op": "replace", "path": "displayName", "value": "Changed"}
    for operation, status, scim_type in (
        ({"op": "replace", "path": "externalId", "value": "taken"}, 409, "uniqueness"),
        ({"op": "replace", "path": "emails", "value": [{"value": "B@x.test"}]}, 409, "uniqueness"),
        ({"op": "replace", "path": "roles", "value": [{"value": "Nobody"}]}, 400, "invalidValue"),
        ({"op": "replace", "path": "active", "value": "perhaps"}, 400, "invalidValue"),
        ({"op": "replace", "path": "userName", "value": 7}, 400, "invalidValue"),
        ({"op": "replace", "path": f"{ENTERPRISE}:manager", "value": user["id"]}, 400, "invalidValue"),
        ({"op": "replace", "path": "emails[", "value": "x"}, 400, "invalidPath"),
        ({"op": "replace", "path": 'emails[nothing eq "x"].value', "value": "x"}, 400, "invalidFilter"),
        ({"op": "jump", "path": "displayName", "value": "x"}, 400, "invalidValue"),
        ({"op": "remove"}, 400, "noTarget"),
        ({"op": "replace", "path": "displayName", "value": "x\0y"}, 400, "invalidValue"),
        ({"op": "replace", "path": "displayName", "value": "x" * 201}, 400, "invalidValue"),
    ):
        assert refused(await directory.patch(user, name, operation), status, scim_type)
    members = {"op": "add", "path": "members", "value": [{"value": other["id"]}]}
    for operation, scim_type in (
        ({"op": "add", "path": "members", "value": [{"value": "nobody"}]}, "invalidValue"),
        ({"op": "add", "path": "members", "value": [{"value": encode_id("User", new_id())}]}, "invalidValue"),
        ({"op": "add", "path": "members", "value": [{"value": group["id"], "type": "Group"}]}, "invalidValue"),
        ({"op": "replace", "path": "members"}, "invalidValue"),
        ({"op": "jump", "path": "members", "value": []}, "invalidValue"),
        ({"op": "replace", "path": f'members[value eq "{user["id"]}"]', "value": {"value": other["id"]}}, "mutability"),
        ({"op": "remove", "path": 'members[display eq "x"]'}, "invalidFilter"),
        ({"op": "remove", "path": "members.value"}, "invalidPath"),
        ({"op": "remove", "path": "displayName"}, "mutability"),
        ({"op": "replace", "value": {"displayName": ""}}, "invalidValue"),
    ):
        assert refused(await directory.patch(group, name, members, operation), 400, scim_type)
    refused(await directory.ask("PATCH", f"/Groups/{group['id']}", {"schemas": [PATCH]}), 400, "invalidValue")
    assert await directory.get("") == before
    assert await directory.actions() == actions
    # What changes nothing is told nowhere.
    await directory.patched(user, {"op": "replace", "path": "displayName", "value": user["displayName"]})
    await directory.patched(group, {"op": "add", "path": "members", "value": [{"value": user["id"]}]})
    assert (await directory.get(""), await directory.actions()) == (before, actions)


async def test_a_person_is_in_one_group(directory: Directory) -> None:
    people = [await directory.make_user(f"p{number}@x.test") for number in range(4)]
    async with acquire(ALL_TEAMS) as connection:
        above = await make_group(connection, directory.team, "Above")
    west, east = await directory.make_group("West", *people[:2]), await directory.make_group("East", *people[2:])
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE groups SET parent_id = $1 WHERE id = $2", above, key(west))
    await directory.patch(west, {"op": "add", "value": {"members": [{"value": people[2]["id"]}], "externalId": "w"}})
    assert await directory.members(west) == {one["id"] for one in people[:3]}
    assert await directory.members(east) == {people[3]["id"]}
    assert (await directory.get(f"/Users/{people[2]['id']}"))["groups"][0]["value"] == west["id"]
    body = {"schemas": [GROUP], "displayName": "West coast", "members": [{"$ref": people[0]["meta"]["location"]}]}
    replaced = (await directory.ask("PUT", f"/Groups/{west['id']}", body)).json()
    assert ([one["value"] for one in replaced["members"]], replaced["externalId"]) == ([people[0]["id"]], "w")
    del body["members"]
    assert (await directory.ask("PUT", f"/Groups/{west['id']}", body)).json()["members"] == replaced["members"]
    async with acquire(directory.team) as connection:
        assert await connection.fetchval("SELECT parent_id FROM groups WHERE id = $1", key(west)) == above
    taken = await directory.ask("POST", "/Groups", {"schemas": [GROUP], "displayName": "x", "externalId": "w"})
    refused(taken, 409, "uniqueness")
    moves = [action for action in await directory.actions() if action == "USER_UPDATED"]
    assert len(moves) == 4 + 1 + 2, "each person's move is told"

    refused(await directory.ask("DELETE", f"/Groups/{encode_id('Group', above)}"), 409)
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "INSERT INTO goals (id, team_id, group_id, metric, period) VALUES ($1, $2, $3, 'MEETINGS_BOOKED', 'MONTH')",
            new_id(),
            directory.team,
            key(west),
        )
    assert "goals" in refused(await directory.ask("DELETE", f"/Groups/{west['id']}"), 409)
    assert await directory.members(west) == {people[0]["id"]}, "nobody left it"
    assert (await directory.ask("DELETE", f"/Groups/{east['id']}")).status_code == 204
    refused(await directory.ask("GET", f"/Groups/{east['id']}"), 404)
    assert "groups" not in await directory.get(f"/Users/{people[3]['id']}")


async def test_what_is_too_much(directory: Directory) -> None:
    user = await directory.make_user("a@x.test")
    group = await directory.make_group("West")
    address = f"/scim/v2/Users/{user['id']}"
    headers = {"authorization": f"Bearer {directory.token}"}
    for data, media_type, status, scim_type in (
        (b'{"a":"' + b"x" * 2**20 + b'"}', "application/scim+json", 413, None),
        (b"[" * 500 + b"]" * 500, "application/json", 400, "invalidSyntax"),
        (b'{"a":' + b"[" * 20 + b"]" * 20 + b"}", "application/json", 400, "invalidSyntax"),
        (b"{", "application/json", 400, "invalidSyntax"),
        (b"[]", "application/json", 400, "invalidSyntax"),
        (b"\xff", "application/json", 400, "invalidSyntax"),
        (b"{}", "text/plain", 415, None),
        (b'{"schemas":["urn:other"],"userName":"a@x.test"}', "application/json", 400, "invalidSyntax"),
    ):
        response = await directory.api.http.put(address, content=data, headers={**headers, "content-type": media_type})
        refused(response, status, scim_type)
    many = [{"value": f"{number}@x.test"} for number in range(11)]
    refused(await directory.patch(user, {"op": "replace", "path": "emails", "value": many}), 400, "invalidValue")
    refused(
        await directory.patch(user, *({"op": "add", "path": "emails", "value": [one]} for one in many)),
        400,
        "invalidValue",
    )
    halves = [{"op": "add", "path": "emails", "value": half} for half in (many[:8], many[8:])]
    refused(await directory.patch(user, *halves), 400, "invalidValue")
    long = {"op": "add", "path": f"emails[{' or '.join(['value pr'] * 40)}].type", "value": "x"}
    refused(await directory.patch(user, long), 400, "invalidPath")
    nothing = {"op": "add", "path": "members", "value": []}
    refused(await directory.patch(group, *[nothing] * 1001), 400, "invalidValue")
    crowd_of = [{"value": encode_id("User", new_id())} for _ in range(5001)]
    assert "5000" in refused(await directory.patch(group, {**nothing, "value": crowd_of}), 400, "invalidValue")
    poor = await directory.api.token(directory.admin, scopes=["SCIM"], cost_per_minute=150)
    rich = await directory.ask("GET", "/Users", token=poor)
    assert (rich.status_code, "ratelimit" in rich.headers) == (200, True)
    spent = await directory.ask("GET", "/Users", token=poor)
    refused(spent, 429)
    assert int(spent.headers["retry-after"]) > 0


async def test_changes_at_once_take_turns(directory: Directory) -> None:
    body = {"schemas": [USER], "userName": "a@x.test"}
    made = await asyncio.gather(*(directory.ask("POST", "/Users", body) for _ in range(4)))
    assert sorted(one.status_code for one in made) == [201, 409, 409, 409]
    (user,) = [one.json() for one in made if one.status_code == 201]
    groups = [await directory.make_group(name) for name in ("West", "East")]
    join = {"op": "add", "path": "members", "value": [{"value": user["id"]}]}
    await asyncio.gather(*(directory.patch(group, join) for group in groups * 2))
    assert sorted([len(await directory.members(group)) for group in groups]) == [0, 1]
    version = (await directory.get(f"/Users/{user['id']}"))["meta"]["version"]
    changes = ({"op": "replace", "path": "displayName", "value": str(number)} for number in range(3))
    answers = await asyncio.gather(*(directory.patch(user, change, if_match=version) for change in changes))
    assert sorted(one.status_code for one in answers) == [200, 412, 412]


async def test_many_members_move_in_few_statements(directory: Directory) -> None:
    async with acquire(ALL_TEAMS) as connection:
        made = [await make_user(connection, directory.team, directory.user_role) for _ in range(300)]
    group = await directory.make_group("All")
    everybody = [{"value": directory_id(user_id)} for user_id in made]
    await directory.patch(group, {"op": "add", "path": "members", "value": everybody})
    assert await directory.members(group) == {one["value"] for one in everybody}
    response = await directory.patch(group, {"op": "remove", "path": "members", "value": everybody[:299]})
    assert response.status_code == 204
    assert await directory.members(group) == {everybody[299]["value"]}
    assert (await directory.actions()).count("USER_UPDATED") == 300 + 299
