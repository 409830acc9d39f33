"""Connections are dealt evenly, and a worker that hangs does not keep them."""

import asyncio
import socket

import pytest

from recsys_core.service.accepting import Acceptor, shared_counts
from recsys_core.service.supervisor import open_socket


@pytest.fixture
def listening():
    with open_socket("127.0.0.1", 0) as found:
        yield found


class Open(asyncio.Protocol):
    """A connection that its worker counts."""

    def __init__(self, mine: list):
        self.mine = mine

    def connection_made(self, transport):
        self.mine.append(transport)


async def connect_all(listening: socket.socket, many: int) -> None:
    for _ in range(many):
        await asyncio.open_connection(*listening.getsockname())


async def settle(*workers: list, until: int) -> None:
    for _ in range(200):
        if sum(map(len, workers)) >= until:
            return
        await asyncio.sleep(0.01)


def acceptor(listening, counts, place, mine):
    return Acceptor(listening.dup(), counts, place, lambda: len(mine), lambda: Open(mine))


def test_two_workers_get_as_many_connections_each(listening):
    async def deal() -> tuple[int, int]:
        counts, one, two = shared_counts(2), [], []
        both = [acceptor(listening, counts, place, mine) for place, mine in enumerate((one, two))]
        await connect_all(listening, 20)
        await settle(one, two, until=20)
        for each in both:
            each.close()
        return len(one), len(two)

    assert asyncio.run(deal()) == (10, 10)


def test_what_a_hanging_worker_leaves_is_taken_by_another(listening):
    async def deal() -> int:
        counts, mine = shared_counts(2), []  # the other says 0 and never accepts
        only = acceptor(listening, counts, 0, mine)
        await connect_all(listening, 3)
        await settle(mine, until=3)
        only.close()
        return len(mine)

    assert asyncio.run(deal()) == 3


def test_a_closed_acceptor_leaves_connections_waiting(listening):
    async def deal() -> list[int]:
        counts, old, new = shared_counts(1), [], []
        acceptor(listening, counts, 0, old).close()
        await connect_all(listening, 2)
        await asyncio.sleep(0.05)
        fresh = acceptor(listening, shared_counts(1), 0, new)
        await settle(new, until=2)
        fresh.close()
        return [len(old), len(new)]

    assert asyncio.run(deal()) == [0, 2]
