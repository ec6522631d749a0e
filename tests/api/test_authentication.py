"""Who is let in.

Invariants:
A. An unknown, an expired and a revoked token, and one of an inactive user, get the same bytes but for the request's id.
B. A JWT counts only with the pinned algorithm, the issuer, the audience, and in its time; keys rotate.
C. A burst of unknown keys does not hammer the issuer; a down issuer is 503, not 401.
D. A browser's request needs its CSRF token and its own origin; a session ends at the server.
E. Demo people can be signed in as in demo mode alone.
"""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from api.app import create_app
from domain.database import ALL_TEAMS, acquire
from domain.tokens import revoke_token
from tests.api.conftest import Api, settings_for
from tests.factories import make_role, make_team, make_user

DOCUMENT = "{ viewer { user { email } } }"


async def somebody(email: str | None = None) -> UUID:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection)
        return await make_user(connection, team_id, await make_role(connection, team_id), email=email)


async def post(api: Api, headers: dict[str, str]) -> httpx.Response:
    return await api.http.post("/graphql", json={"query": DOCUMENT}, headers=headers)


async def test_refusals_are_the_same_bytes(api: Api) -> None:
    user_id = await somebody()
    valid = await api.token(user_id)
    assert (await post(api, {"authorization": f"Bearer {valid}"})).status_code == 200

    expired = await api.token(user_id, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    revoked = await api.token(user_id)
    async with acquire(ALL_TEAMS) as connection:
        row = await connection.fetchrow("SELECT id, team_id FROM tokens WHERE user_id = $1 ORDER BY id DESC", user_id)
        await revoke_token(connection, row["team_id"], row["id"])
    gone_id = await somebody()
    gone = await api.token(gone_id)
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET active = false WHERE id = $1", gone_id)
    headers = [{"authorization": f"Bearer {one}"} for one in (expired, revoked, gone, "sl_unknown", "a.b.c", "é")]
    headers += [{"authorization": "Basic eDp5"}, {"authorization": ""}, {}]
    answers = [await post(api, {k: v.encode() for k, v in one.items()}) for one in headers]  # type: ignore[arg-type]
    told = {answer.text.replace(answer.headers["x-request-id"], "…") for answer in answers}
    assert len(told) == 1
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["www-authenticate"] for answer in answers} == {'Bearer realm="sideline"'}
    assert answers[0].json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_last_use_is_kept_to_the_minute(api: Api) -> None:
    user_id = await somebody()
    token = await api.token(user_id)
    for _ in range(2):
        await post(api, {"authorization": f"Bearer {token}"})
    async with acquire(ALL_TEAMS) as connection:
        used = await connection.fetchval("SELECT last_used_at FROM tokens WHERE user_id = $1", user_id)
    assert datetime.now(UTC) - used < timedelta(minutes=1)


@dataclass
class Issuer:
    """An OIDC issuer: a real HTTP server with keys that rotate."""

    keys: dict[str, rsa.RSAPrivateKey] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    down: bool = False
    url: str = ""

    def rotate(self, key_id: str) -> None:
        self.keys = {key_id: rsa.generate_private_key(public_exponent=65537, key_size=2048)}

    def jwks(self) -> dict[str, Any]:
        return {
            "keys": [
                json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) | {"kid": key_id, "alg": "RS256"}
                for key_id, key in self.keys.items()
            ]
        }

    def token(self, email: str, **changes: Any) -> str:
        key_id, key = next(iter(self.keys.items()))
        now = datetime.now(UTC)
        claims: dict[str, Any] = {
            "iss": self.url,
            "aud": "sideline",
            "exp": now + timedelta(minutes=5),
            "nbf": now - timedelta(minutes=1),
            "email": email,
        } | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": key_id})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    one = Issuer()
    one.rotate("first")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            one.requests.append(self.path)
            if one.down:
                self.send_error(503)
                return
            body = {"jwks_uri": f"{one.url}/keys"} if self.path.endswith("openid-configuration") else one.jwks()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_arguments: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield one
    server.shutdown()
    thread.join()
    server.server_close()


@asynccontextmanager
async def with_issuer(database_url: str, redis_url: str, issuer: Issuer, **more: Any) -> AsyncIterator[Api]:
    settings = settings_for(database_url, redis_url, oidc_issuer=issuer.url, oidc_audience="sideline", **more)
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sideline.test") as http,
    ):
        yield Api(app, http)


async def test_jwts_of_the_issuer(database_url: str, redis_url: str, issuer: Issuer) -> None:
    async with with_issuer(database_url, redis_url, issuer) as api:
        email = f"{(await somebody()).hex}@example.test"

        async def status(token: str) -> int:
            return (await post(api, {"authorization": f"Bearer {token}"})).status_code

        past, future = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
        assert await status(issuer.token(email)) == 200
        assert await status(issuer.token(email.upper())) == 200
        for changes in (
            {"iss": "https://elsewhere.test"},
            {"aud": "another"},
            {"aud": None},
            {"exp": past},
            {"exp": None},
            {"nbf": future},
            {"email": "nobody@example.test"},
            {"email": None},
            {"email_verified": False},
        ):
            token = issuer.token(**{"email": email} | changes)
            assert await status(token) == 401, changes
        public = next(iter(issuer.keys.values())).public_key()
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        claims = jwt.decode(issuer.token(email), options={"verify_signature": False})
        header = jwt.utils.base64url_encode(json.dumps({"alg": "HS256", "kid": "first", "typ": "JWT"}).encode())
        body = jwt.utils.base64url_encode(json.dumps(claims).encode())
        signed = header + b"." + body
        mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(signed, pem)
        assert await status((signed + b"." + jwt.utils.base64url_encode(mac)).decode()) == 401
        assert await status(jwt.encode(claims, None, algorithm="none", headers={"kid": "first"})) == 401


async def test_keys_rotate_and_a_burst_does_not_hammer(database_url: str, redis_url: str, issuer: Issuer) -> None:
    async with with_issuer(database_url, redis_url, issuer) as api:
        email = f"{(await somebody()).hex}@example.test"
        seconds = [0.0]
        api.app.state.oidc._clock = lambda: seconds[0]

        async def status(token: str) -> int:
            return (await post(api, {"authorization": f"Bearer {token}"})).status_code

        assert await status(issuer.token(email)) == 200
        assert len(issuer.requests) == 2
        old = issuer.token(email)
        issuer.rotate("second")
        seconds[0] = 31.0
        assert await status(issuer.token(email)) == 200
        assert len(issuer.requests) == 3
        assert await status(old) == 401
        for _ in range(20):
            assert await status(old) == 401
        assert len(issuer.requests) == 3
        seconds[0] = 700.0
        issuer.down = True
        assert await status(issuer.token(email)) == 200, "known keys go on while the issuer is down"


async def test_a_down_issuer_is_503(database_url: str, redis_url: str, issuer: Issuer) -> None:
    issuer.down = True
    async with with_issuer(database_url, redis_url, issuer) as api:
        answer = await post(api, {"authorization": f"Bearer {issuer.token('x@example.test')}"})
        assert answer.status_code == 503
        assert answer.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"


async def test_a_session_needs_its_csrf_token(api: Api) -> None:
    user_id = await somebody()
    signed_in = await api.http.post("/session", json={"token": await api.token(user_id)})
    assert signed_in.status_code == 200
    cookie = signed_in.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    csrf = signed_in.json()["csrfToken"]
    assert (await post(api, {"x-sideline-csrf": csrf})).status_code == 200
    assert (await post(api, {})).status_code == 403
    assert (await post(api, {"x-sideline-csrf": "0" * 64})).status_code == 403
    elsewhere = {"x-sideline-csrf": csrf, "origin": "https://evil.test"}
    assert (await post(api, elsewhere)).status_code == 403
    same = {"x-sideline-csrf": csrf, "origin": "http://sideline.test"}
    assert (await post(api, same)).status_code == 200
    assert (await api.http.delete("/session")).status_code == 403
    kept = dict(api.http.cookies)
    assert (await api.http.delete("/session", headers={"x-sideline-csrf": csrf})).status_code == 204
    assert (await api.http.get("/session")).json()["signedIn"] is False
    api.http.cookies.update(kept)
    assert (await post(api, {"x-sideline-csrf": csrf})).status_code == 401, "the session has ended at the server"
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("DELETE FROM tokens WHERE kind = 'session'")


async def test_a_sessions_secret_is_no_bearer_token(api: Api) -> None:
    token = await api.token(await somebody())
    await api.http.post("/session", json={"token": token})
    secret = api.http.cookies["sideline_session"]
    assert (await post(api, {"authorization": f"Bearer {secret}"})).status_code == 401
    api.http.cookies.clear()
    assert (await post(api, {"cookie": f"sideline_session={token}", "x-sideline-csrf": "x"})).status_code == 401


async def test_a_form_of_another_site_cannot_sign_in(api: Api) -> None:
    token = await api.token(await somebody())
    answer = await api.http.post(
        "/session", content=json.dumps({"token": token}), headers={"content-type": "text/plain"}
    )
    assert answer.status_code == 400
    assert (await api.http.post("/session", json={"token": "sl_nope"})).status_code == 401
    assert (await api.http.post("/session", json={})).status_code == 400


async def test_demo_people_in_demo_teams_alone(api: Api) -> None:
    async with acquire(ALL_TEAMS) as connection:
        demo = await make_team(connection, demo=True)
        role = await make_role(connection, demo)
        await make_user(connection, demo, role, email="lead@demo.test")
        other = await make_team(connection)
        await make_user(connection, other, await make_role(connection, other), email="ops@demo.test")
        await make_user(connection, demo, role, email="someone@demo.test")
    try:
        assert [one["email"] for one in (await api.http.get("/session")).json()["people"]] == ["lead@demo.test"]
        assert (await api.http.post("/session", json={"person": "lead@demo.test"})).status_code == 200
        for email in ("ops@demo.test", "someone@demo.test", "nobody@demo.test"):
            assert (await api.http.post("/session", json={"person": email})).status_code == 401
        api.app.state.settings.demo = False
        assert (await api.http.post("/session", json={"person": "lead@demo.test"})).status_code == 401
    finally:
        async with acquire(ALL_TEAMS) as connection:
            await connection.execute("UPDATE teams SET demo = false WHERE id = $1", demo)
