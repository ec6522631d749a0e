"""Sending one webhook: to public addresses alone, for a bounded time, reading a bounded answer.

Where a name leads is looked up here, each address of it is checked, and the connection goes to the address that was
checked, so that a name cannot lead somewhere else the second time. Redirects are not followed: an answer that redirects
has failed.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from typing import Any

import httpcore

from domain.webhooks import Attempt, is_public_address

ATTEMPT_SECONDS = 15.0
"""For all of it: the look-up, the connection, the request and the answer."""
RESPONSE_BYTES = 4_096
"""Of an answer's body, so much is read and kept."""
GONE = 410
_RETRY_AFTER = (429, 503)


class ForbiddenAddress(Exception):
    """The name leads to an address that is not of the public internet."""


class PublicBackend(httpcore.AsyncNetworkBackend):
    """Connects to public addresses alone.

    Args:
        private_allowed: The operator allows others too.
    """

    def __init__(self, *, private_allowed: bool) -> None:
        self._private_allowed = private_allowed
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Look the name up, check every address, and connect to the first that answers."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        if not self._private_allowed and not all(is_public_address(address) for address in addresses):
            raise ForbiddenAddress(f"{host} leads to an address that is not of the public internet")
        failure: Exception | None = None
        for address in addresses:
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError(f"{host} has no address")

    async def connect_unix_socket(self, *_arguments: Any, **_options: Any) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise ForbiddenAddress("a webhook does not go to a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class Sender:
    """Sends webhooks.

    Args:
        private_allowed: The operator allows private addresses.
        trust: The authorities that are trusted; the system's by default.
    """

    def __init__(self, *, private_allowed: bool, trust: ssl.SSLContext | None = None) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trust,
            max_connections=None,
            max_keepalive_connections=20,
            keepalive_expiry=30.0,
            network_backend=PublicBackend(private_allowed=private_allowed),
        )

    async def close(self) -> None:
        """Close the connections that are kept open."""
        await self._pool.aclose()

    async def send(self, url: str, headers: Mapping[bytes | str, bytes | str], body: bytes) -> Attempt:
        """Send a body; nothing that the receiver does is raised."""
        began = time.monotonic()
        status: int | None = None
        error: str | None = None
        text: str | None = None
        retry_after: float | None = None
        try:
            async with (
                asyncio.timeout(ATTEMPT_SECONDS),
                self._pool.stream("POST", url, headers=headers, content=body) as response,
            ):
                status = response.status
                retry_after = _retry_after(response) if status in _RETRY_AFTER else None
                kept = bytearray()
                async for piece in response.aiter_stream():
                    kept += piece[: RESPONSE_BYTES - len(kept)]
                    if len(kept) >= RESPONSE_BYTES:
                        break
                text = kept.decode(errors="replace").replace("\0", "")
            if not 200 <= status < 300:
                error = f"The receiver answered {status}."
        except TimeoutError:
            error = f"The receiver did not answer within {ATTEMPT_SECONDS:g} s."
        except ForbiddenAddress as refusal:
            error = f"Refused: {refusal}."
        except (
            OSError,
            UnicodeError,
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
        ) as failure:
            error = f"The receiver cannot be reached: {type(failure).__name__}: {failure}"
        except httpcore.UnsupportedProtocol as failure:
            error = f"The address does not fit: {failure}"
        if status is not None and 200 <= status < 300:
            # Delivered is delivered, even when the rest of a long answer was not waited for.
            error = None
        duration = round((time.monotonic() - began) * 1000)
        return Attempt(status, error, text, duration, retry_after, gone=status == GONE)


def _retry_after(response: httpcore.Response) -> float | None:
    for name, value in response.headers:
        if name.lower() == b"retry-after" and value.strip().isdigit():
            return float(value)
    return None
