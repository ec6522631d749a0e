"""The installation that a command works on: configured servers, the running one's, or embedded ones for a while."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.processes import alive
from cli.embedded.redis import EmbeddedRedis
from domain.secrets import make_key
from domain.settings import Settings

Say = Callable[[str], None]
RUN_FILE = "run.json"


@dataclass(frozen=True, slots=True)
class Running:
    """What `sideline up` tells other commands."""

    pid: int
    url: str
    database_url: str
    redis_url: str


def write_running(home: Path, running: Running) -> None:
    """Tell other commands; the file holds passwords, so only its owner may read it."""
    file = home / RUN_FILE
    unfinished = home / f"{RUN_FILE}.new"
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as output:
        json.dump(asdict(running), output)
    unfinished.replace(file)


def read_running(home: Path) -> Running | None:
    """The running installation of a home, if one runs."""
    file = home / RUN_FILE
    if not file.exists():
        return None
    running = Running(**json.loads(file.read_text()))
    return running if alive(running.pid) else None


def kept_secret(home: Path, name: str, make: Callable[[], str]) -> str:
    """A secret of a home, made at its first use."""
    file = home / name
    if not file.exists():
        home.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(make() + "\n")
    return file.read_text().strip()


def with_secret_keys(settings: Settings) -> Settings:
    """The settings with keys for secrets: the configured ones; of an embedded installation its own."""
    if settings.secret_keys or settings.database_url:
        return settings
    return settings.model_copy(update={"secret_keys": kept_secret(settings.home, "secret.key", make_key)})


@contextmanager
def services(settings: Settings, say: Say) -> Iterator[tuple[str, str]]:
    """The addresses of PostgreSQL and Redis; servers that are neither configured nor running run for this while.

    Raises:
        ServiceError: an embedded server would not start.
    """
    running = read_running(settings.home)
    database_url = settings.database_url or (running.database_url if running else None)
    redis_url = settings.redis_url or (running.redis_url if running else None)
    postgres = None if database_url else EmbeddedPostgres(settings.home / "postgres", say=say)
    redis = None if redis_url else EmbeddedRedis(settings.home / "redis")
    try:
        if postgres is not None:
            say("PostgreSQL is starting")
            database_url = postgres.start()
        if redis is not None:
            redis_url = redis.start()
        assert database_url is not None
        assert redis_url is not None
        yield database_url, redis_url
    finally:
        if redis is not None:
            redis.stop()
        if postgres is not None:
            postgres.stop()


@contextmanager
def database(settings: Settings, say: Say) -> Iterator[str]:
    """The address of PostgreSQL alone, likewise.

    Raises:
        ServiceError: the embedded server would not start.
    """
    running = read_running(settings.home)
    known = settings.database_url or (running.database_url if running else None)
    if known:
        yield known
        return
    postgres = EmbeddedPostgres(settings.home / "postgres", say=say)
    say("PostgreSQL is starting")
    try:
        yield postgres.start()
    finally:
        postgres.stop()
