"""What is left open by uvicorn; tests/running/test_attacks.py has it against a real process.

Invariants:
A. When there are too many connections, the one that has asked nothing for longest makes room, and none that asks.
B. Who fetches an answer goes on being served, however slowly; who does not is noticed.
C. A WebSocket whose other side is closing it does not keep the process from stopping in good order.
"""

from __future__ import annotations

from typing import Any

from websockets.protocol import State
from websockets.server import ServerProtocol

from api.server import STALLED_BYTES, STALLED_SECONDS, Room, WebSocketProtocol, _Finished


class Transport:
    def __init__(self) -> None:
        self.aborted = False
        self.closed = False
        self.unsent = 0

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return self.unsent


class Connection:
    def __init__(self) -> None:
        self.transport = Transport()


def test_the_longest_silent_one_makes_room() -> None:
    room = Room(2)
    made: list[Any] = [Connection() for _ in range(4)]
    for number, one in enumerate(made[:3], start=1):
        room.silent[one] = None
        room.make(number)
    assert [one.transport.aborted for one in made] == [True, False, False, False]
    del room.silent[made[1]]  # It asks something.
    room.silent[made[3]] = None
    room.make(3)
    assert [one.transport.aborted for one in made] == [True, False, True, False]
    room.silent.clear()
    room.make(9)
    assert not made[1].transport.aborted


def test_who_does_not_fetch_is_noticed() -> None:
    transport: Any = Transport()
    finished = _Finished()
    transport.unsent = 10 * STALLED_BYTES
    now = 100.0
    while transport.unsent > 0:
        assert not finished.stalled(transport, now)
        now += STALLED_SECONDS * 0.9
        transport.unsent -= STALLED_BYTES
    assert not finished.stalled(transport, now + 10 * STALLED_SECONDS), "there is nothing left to fetch"
    finished = _Finished()
    transport.unsent = 10 * STALLED_BYTES
    now += 20 * STALLED_SECONDS
    assert not finished.stalled(transport, now)
    transport.unsent -= STALLED_BYTES - 1
    assert finished.stalled(transport, now + 1.1 * STALLED_SECONDS)


def test_a_socket_that_is_closing_is_let_go() -> None:
    protocol: Any = WebSocketProtocol.__new__(WebSocketProtocol)
    protocol.transport = Transport()
    protocol.conn = ServerProtocol(state=State.CLOSING)
    protocol.handshake_complete, protocol.close_sent = True, False
    protocol.stop_keepalive = lambda: None
    protocol.shutdown()
    assert protocol.transport.closed
