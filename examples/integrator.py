"""Follow goal events for ever, each exactly once, with the public client `gql`:

    python integrator.py ws://localhost:8000/graphql TOKEN FILE [CURSOR]

FILE gets a line an event. The line holds the event's cursor, so that what is kept and how far it is kept are one write:
a program that is killed at any point goes on after its last whole line.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from gql import Client, gql
from gql.transport.exceptions import TransportError
from gql.transport.websockets import WebsocketsTransport

url, token, path = sys.argv[1], sys.argv[2], Path(sys.argv[3])
EVENTS = """subscription($after: String) { goalEvents(after: $after) {
    cursor type at goal { id metric period target subject { ... on User { name } ... on Group { name } } } } }"""


file = path.open("a+b")
file.seek(0)
text = file.read()
file.truncate(text.rfind(b"\n") + 1)  # a line that was cut short was never told to anybody
kept = text.splitlines()[: text.count(b"\n")]


async def follow(cursor: str | None) -> None:
    while True:
        transport = WebsocketsTransport(url, init_payload={"authorization": f"Bearer {token}"}, keep_alive_timeout=60)
        document = gql(EVENTS)
        document.variable_values = {"after": cursor}
        try:
            async with Client(transport=transport) as session:
                async for result in session.subscribe(document):
                    event = result["goalEvents"]
                    file.write(json.dumps(event).encode() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                    cursor = event["cursor"]
        except (TransportError, OSError, TimeoutError) as error:
            print(f"again in a second, after {cursor}: {error!r}", file=sys.stderr)
        await asyncio.sleep(1)


asyncio.run(follow(json.loads(kept[-1])["cursor"] if kept else (sys.argv[4:] or [None])[0]))
