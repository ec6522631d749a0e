"""GraphiQL in a real browser, on a real server.

Invariants: it signs a demo person in by the picker, shows what the API answers, carries subscriptions, shows another
person's lesser access after a switch, breaks no rule of its content security policy, and asks nobody but its server.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import build_client_schema, get_introspection_query, parse, validate
from playwright.async_api import Page, async_playwright, expect

from tests.running.conftest import ROOT, Running

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
EXAMPLES = ROOT / "web" / "src" / "examples"


@asynccontextmanager
async def browser(url: str) -> AsyncIterator[Page]:
    troubles: list[str] = []
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await chromium.new_page(viewport={"width": 1280, "height": 800})
        page.on("console", lambda said: troubles.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith((url, "blob:")) else troubles.append(asked.url))
        page.on("websocket", lambda socket: None if url.split("//")[1] in socket.url else troubles.append(socket.url))
        try:
            yield page
        finally:
            await chromium.close()
    # Forms of refused answers belong to the test (GraphiQL logs the errors that end a subscription as an array);
    # everything else would be a fault of the page.
    assert [one for one in troubles if "status of 40" not in one and one != "Array(1)"] == []


async def text_of(page: Page, selector: str) -> str:
    """What an element shows."""
    found = await page.locator(selector).first.inner_text()
    return found.replace("\u00a0", " ")


async def result(page: Page, needle: str) -> str:
    """The answer, once it holds something."""
    await expect(page.locator(".result-window")).to_contain_text(
        re.compile(re.escape(needle).replace(r"\ ", r"\s")), timeout=20_000
    )
    return await text_of(page, ".result-window")


async def run_tab(page: Page, name: str) -> None:
    """Choose a tab, and run what it holds once it is there: the document, and its variables if it has some."""
    await page.locator(".graphiql-tab-button").get_by_text(name, exact=True).first.click()
    operation = re.compile(rf"(query|mutation|subscription)\s{name}\b")
    await expect(page.locator(".graphiql-query-editor")).to_contain_text(operation, timeout=20_000)
    file = next(one for one in EXAMPLES.glob("*.graphql") if operation.search(one.read_text()))
    if (variables := EXAMPLES / f"{file.stem}.variables.json").exists():
        first = next(iter(json.loads(variables.read_text())))
        await expect(page.locator(".graphiql-editor-tool")).to_contain_text(first, timeout=20_000)
    await page.wait_for_timeout(300)
    await page.click(".graphiql-execute-button")


def test_the_examples_are_valid(running: Running) -> None:
    schema = build_client_schema(running.installation.query(running.tokens["rep@demo.test"], get_introspection_query()))
    files = sorted(EXAMPLES.glob("*.graphql"))
    assert len(files) == 21
    for file in files:
        assert validate(schema, parse(file.read_text())) == [], file.name


def test_the_page_is_under_its_policy(running: Running) -> None:
    answer = httpx.get(f"{running.installation.url}/graphql", headers={"accept": "text/html"})
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "http" not in policy
    for path in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        assert httpx.get(running.installation.url + path).status_code == 200


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
async def test_graphiql(running: Running) -> None:
    url = running.installation.url
    async with browser(url) as page:
        await page.goto(f"{url}/graphql")
        await page.get_by_label("Demo person").select_option("manager@demo.test")
        await page.wait_for_selector(".graphiql-execute-button")
        assert "Morgan Ellis, Manager, Sideline Demo" in await page.get_by_test_id("who").inner_text()
        await page.wait_for_selector(".docExplorerWrap, .graphiql-explorer-root, .graphiql-plugin")

        await run_tab(page, "Team")
        direct = _direct(running, "manager@demo.test", "team")
        total = direct["teamDashboard"]["metrics"][0]["value"]
        assert f'"value": "{total}"' in await result(page, f'"value": "{total}"')

        assert direct["teamDashboard"]["fallingBehind"]
        assert await result(page, f'"goal": "{direct["teamDashboard"]["metrics"][0]["goal"]}"')

        await run_tab(page, "Goals")
        await result(page, '"period": "MONTH"')

        await run_tab(page, "GoalEvents")
        await page.wait_for_timeout(1_000)
        _set_a_goal(running, "manager@demo.test", "manager@demo.test", 4321)
        await result(page, '"target": "4321"')
        await page.click(".graphiql-execute-button")  # which stops it

        for tab, shown in (
            ("ManagerView", '"repsCoached"'),
            ("CoachingOpportunities", '"explanation"'),
            ("Scores", '"rank": 1'),
        ):
            await run_tab(page, tab)
            await result(page, shown)

        await run_tab(page, "Access")
        assert "LIVE_CALL_STUDIO" in await result(page, '"landingTab": "TEAM"')

        await page.get_by_label("Demo person").select_option("rep@demo.test")
        await expect(page.get_by_test_id("who")).to_contain_text("Riley Carter")
        await run_tab(page, "Access")
        assert "LIVE_CALL_STUDIO" not in await result(page, '"landingTab": "INDIVIDUAL"')
        await run_tab(page, "Reps")
        await result(page, '"permission": "TEAM_VIEW"')

        await run_tab(page, "Setup")
        await result(page, "It comes in by imports.")

        await run_tab(page, "JobProgress")
        await result(page, '"NOT_FOUND"')


def _set_a_goal(running: Running, email: str, whose: str, target: int) -> None:
    ask = running.installation.query
    token = running.tokens[email]
    user = ask(token, "query($s: String) { users(filter: {search: $s}) { nodes { id } } }", s=whose)["users"]["nodes"][
        0
    ]
    given = {"metric": "TASKS_COMPLETED", "period": "WEEK", "target": str(target), "userIds": [user["id"]]}
    document = "mutation($input: SetGoalsInput!) { setGoals(input: $input) { errors { message } } }"
    assert ask(token, document, input=given)["setGoals"]["errors"] == []


def _direct(running: Running, email: str, name: str) -> Any:
    variables = json.loads((EXAMPLES / f"{name}.variables.json").read_text())
    return running.installation.query(
        running.tokens[email], Path(EXAMPLES / f"{name}.graphql").read_text(), **variables
    )
