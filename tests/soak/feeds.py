"""What brings activities in and takes them out: imports and their corrections, files that are synced, exports."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import httpx
import orjson

from tests.soak.client import PATIENCE_SECONDS, RETRIED_CODES, Again, Client, Failed, check, read
from tests.soak.followers import job_ends
from tests.soak.people import Actor
from tests.soak.world import Source

IMPORT = """mutation($source: String!, $records: [JSON!]!) { importActivities(input: {
    source: $source, records: $records}) { accepted unchanged rejected errors { code message path } } }"""
JOB = "query($id: ID!) { job(id: $id) { id kind state processed error } }"
CONNECT = """mutation($input: ConnectIntegrationInput!) { connectIntegration(input: $input) {
    integration { id } errors { code message path } } }"""
INTEGRATIONS = "query { integrations { id name status lastError quarantined lastJob { id state } } }"
SYNC = """mutation($id: ID!) { syncIntegration(input: {integrationId: $id}) { job { id } errors { code message } } }"""
EXPORT = """mutation { exportConnection(input: {connection: "activities", format: NDJSON}) {
    export { id } job { id } errors { code message path } } }"""
DELETE_EXPORT = "mutation($id: ID!) { deleteExport(input: {exportId: $id}) { errors { code message path } } }"
EXPORTS = "query { exports { id rows url goneBecause job { state } } }"
WAIT_SECONDS = 1.0
STILL_SOURCE = "film"
"""Whose records are neither corrected nor deleted."""


class Importer(Actor):
    """Sends records of one system: some by the mutation, some as a file whose job is waited for.

    Args:
        source: The system.
        most: Records at once, at most.
    """

    def __init__(self, source: Source, most: int, *rest: Any) -> None:
        super().__init__(*rest)
        self.source = source
        self.most = most

    async def step(self) -> None:
        """Send some records."""
        records = self.source.some(self.chance.randint(1, self.most))
        if self.chance.random() < 0.7:
            await self.mutate(records)
        else:
            await self.upload(records)

    async def mutate(self, records: list[dict[str, Any]]) -> None:
        """By the mutation."""
        answer = await self.client.ask("import", IMPORT, source=self.source.name, records=records)
        if answer["rejected"] or answer["accepted"] + answer["unchanged"] != len(records):
            self.client.journal.fail(f"import: {answer} for {len(records)} records")

    async def upload(self, records: list[dict[str, Any]]) -> None:
        """As a file."""
        content = gzip.compress(b"\n".join(orjson.dumps(record) for record in records))

        async def send(url: str) -> str:
            answer = await self.client.http.post(
                f"{url}/import?source={self.source.name}&format=ndjson", content=content, headers=self.client.headers
            )
            return str(read(answer, (202,))["job"]["id"])

        job = await self.client.tried("upload", send, f"{len(records)} records")
        self.world.jobs["uploads"].append(job)
        await self.watch(job)

    async def watch(self, job: str) -> None:
        """Follow a job to its end: by subscription, or by asking."""
        if self.chance.random() < 0.5:
            await job_ends(self.client, job)
            return
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (await self.client.ask("job", JOB, id=job))["state"] in ("SCHEDULED", "RUNNING"):
                    await asyncio.sleep(WAIT_SECONDS)
        except TimeoutError as error:
            self.client.journal.fail(f"job {job} did not end in {PATIENCE_SECONDS:.0f} s")
            raise Failed(job) from error


class Files(Actor):
    """Lays files into a folder that an integration reads, and asks for syncs.

    Args:
        source: The system whose records are in the files.
        folder: Where.
    """

    def __init__(self, source: Source, folder: Path, *rest: Any) -> None:
        super().__init__(*rest)
        self.source = source
        self.folder = folder
        self.number = 0
        self.integration = ""

    async def connect(self) -> None:
        """Make the integration; where the answer is lost, look for it first."""

        async def find() -> Any:
            rows = await self.client.ask("integrations", INTEGRATIONS)
            return next(({"integration": row} for row in rows), None)

        settings = {"folder": str(self.folder), "source": self.source.name}
        made = await self.client.ask("connect", CONNECT, find=find, input={"kind": "files", "settings": settings})
        self.integration = made["integration"]["id"]

    async def step(self) -> None:
        """One more file, whole at once, and a sync."""
        self.number += 1
        file = self.folder / f"{self.number:06}.ndjson"
        lines = "".join(json.dumps(record) + "\n" for record in self.source.some(self.chance.randint(5, 40)))
        unfinished = file.with_suffix(".part")
        unfinished.write_text(lines)
        unfinished.rename(file)
        await self.sync()

    async def sync(self) -> str:
        """Ask for a sync. Returns its job."""
        return str((await self.client.ask("sync", SYNC, id=self.integration))["job"]["id"])


class Exporter(Actor):
    """Takes lists out: streamed, or by a job and a download."""

    async def step(self) -> None:
        """One export."""
        await self.chance.choices((self.stream, self.by_job), (3, 1))[0]()

    async def stream(self) -> None:
        """A streamed list; one that breaks off is begun anew, as its reader is told to."""
        name = self.chance.choice(("activities", "users", "goals"))

        async def send(url: str) -> list[dict[str, Any]]:
            rows = []
            address = f"{url}/export/{name}?format=ndjson"
            async with self.client.http.stream("GET", address, headers=self.client.headers) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                check(answer)
                async for line in answer.aiter_lines():
                    row = json.loads(line)
                    if set(row) == {"error"}:
                        if row["error"]["code"] in RETRIED_CODES:
                            raise Again(f"broke off: {row['error']['code']}")
                        raise Failed(f"broke off: {row['error']}")
                    rows.append(row)
            return rows

        rows = await self.client.tried(f"export {name}", send, name)
        self.client.journal.counts["rows exported"] += len(rows)
        # What is corrected meanwhile may move in the order, and is there as it was, as it is, or both.
        still = [row["externalId"] for row in rows if row.get("source") == STILL_SOURCE]
        ids = [row["id"] for row in rows] if name == "users" else still
        wanted = len(self.world.films) if name == "activities" else len(set(ids))
        if not len(ids) == len(set(ids)) == wanted:
            self.client.journal.fail(f"export {name}: {len(ids)} rows stood still, {len(set(ids))} ids, of {wanted}")

    async def by_job(self) -> None:
        """A list made by a job, then downloaded: as many rows as it says; then deleted, as one keeps 50 at most."""
        made = await self.client.ask("export by a job", EXPORT)
        await job_ends(self.client, made["job"]["id"])
        self.world.jobs["exports"].append(made["job"]["id"])
        listed = await self.client.ask("exports", EXPORTS)
        export = next(one for one in listed if one["id"] == made["export"]["id"])

        async def send(url: str) -> int:
            answer: httpx.Response = await self.client.http.get(f"{url}{export['url']}", headers=self.client.headers)
            check(answer)
            return len(gzip.decompress(answer.content).splitlines())

        rows = await self.client.tried("download", send, str(export))
        if rows != export["rows"]:
            self.client.journal.fail(f"download: {rows} rows, {export['rows']} were told")
        # Sent again after an answer that was lost, it finds nothing to delete.
        await self.client.ask("delete export", DELETE_EXPORT, settled=("NOT_FOUND",), id=export["id"])


def as_guest_of(client: Client, token: str) -> Client:
    """Another person's client on the same connections."""
    return Client(client.http, client.addresses, token, client.journal, client.chance)
