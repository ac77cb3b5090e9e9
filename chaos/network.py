"""A TCP proxy between the processes and their servers, which fails in every way a network can."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

LOOPBACK = "127.0.0.1"
PIECE = 65_536
RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST instead of FIN

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Network:
    """Every link of one run, served by one thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="network", daemon=True)
        self._thread.start()
        self.links: list[Link] = []

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def link(self, name: str, target: int) -> Link:
        """A new way to the server on that port; it listens on a port of its own."""
        link = Link(self, name, target)
        asyncio.run_coroutine_threadsafe(link.listen(), self.loop).result(10)
        self.links.append(link)
        return link

    def tell(self, action: Callable[[], None]) -> None:
        """Let the network's thread do this, and wait until it is done."""

        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self.loop).result(10)

    def heal(self) -> None:
        for link in self.links:
            link.heal()

    def close(self) -> None:
        async def end() -> None:
            for link in self.links:
                link.stop_listening()
                link.cut()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


class Link:
    """One process's way to one server. All is well until one of the faults is switched on."""

    def __init__(self, network: Network, name: str, target: int) -> None:
        self.name, self.target = name, target
        self.port = 0
        self.lost_answers = 0
        self._network = network
        self._server: asyncio.Server | None = None
        self._talks: set[Talk] = set()
        self._refuses = False
        self.delay = 0.0  # seconds, of each piece
        self.forth, self.back = asyncio.Event(), asyncio.Event()  # clear: nothing passes
        self._lose: tuple[bytes, ...] = ()
        self._losses_left = 0

    async def listen(self) -> None:
        self.forth.set()
        self.back.set()
        self._server = await asyncio.start_server(self._talk, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()

    # -- what can go wrong, to be called from any thread ----------------------------------------

    @contextmanager
    def reset(self) -> Iterator[None]:
        """Every connection breaks, and none comes about."""
        self._network.tell(self._refuse)
        try:
            yield
        finally:
            self.heal()

    def reset_once(self) -> None:
        """Every connection breaks; new ones work."""
        self._network.tell(self.cut)

    @contextmanager
    def black_hole(self, *, only_answers: bool = False) -> Iterator[None]:
        """Nothing arrives, nothing breaks; what was sent meanwhile arrives at the end.

        With `only_answers` requests still arrive.
        """

        def swallow() -> None:
            self.back.clear()
            if not only_answers:
                self.forth.clear()

        self._network.tell(swallow)
        try:
            yield
        finally:
            self.heal()

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        """Everything takes that much longer, each way."""
        self.delay = seconds
        try:
            yield
        finally:
            self.heal()

    @contextmanager
    def lose_answers(self, *requests: bytes, times: int = 1_000_000) -> Iterator[None]:
        """A request that contains one of these is carried out, but its answer never comes back.

        The server's answer is awaited, so it is certain that the request was carried out; then
        the connection breaks.
        """
        self._lose, self._losses_left = requests, times
        try:
            yield
        finally:
            self.heal()

    def heal(self) -> None:
        def all_is_well() -> None:
            self._refuses = False
            self.delay = 0.0
            self._lose, self._losses_left = (), 0
            self.forth.set()
            self.back.set()

        self._network.tell(all_is_well)

    # -- in the network's thread ------------------------------------------------------------------

    def _refuse(self) -> None:
        self._refuses = True
        self.cut()

    def cut(self) -> None:
        for talk in list(self._talks):
            talk.cut()

    def loses_answer_of(self, request: bytes) -> bool:
        if self._losses_left > 0 and any(part in request for part in self._lose):
            self._losses_left -= 1
            self.lost_answers += 1
            return True
        return False

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            abort(writer)
            return
        talk: Talk | None = None
        try:
            await self.forth.wait()
            server = await asyncio.open_connection(LOOPBACK, self.target)
            talk = Talk(self, (reader, writer), server)
            self._talks.add(talk)
            await talk.carry()
        except OSError:
            abort(writer)
        finally:
            if talk is not None:
                self._talks.discard(talk)
                talk.close()
            writer.close()


class Talk:
    """One connection through a link."""

    def __init__(self, link: Link, client: Ends, server: Ends) -> None:
        self._link, self._client, self._server = link, client, server
        self._losing = False

    async def carry(self) -> None:
        """Carry bytes both ways until either side ends."""
        ways = [asyncio.ensure_future(way) for way in (self._requests(), self._answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _requests(self) -> None:
        while piece := await self._client[0].read(PIECE):
            await self._on_the_way(self._link.forth)
            self._losing = self._losing or self._link.loses_answer_of(piece)
            self._server[1].write(piece)
            await self._server[1].drain()
        await self._link.forth.wait()

    async def _answers(self) -> None:
        while piece := await self._server[0].read(PIECE):
            if self._losing:
                self.cut()
                return
            await self._on_the_way(self._link.back)
            self._client[1].write(piece)
            await self._client[1].drain()
        await self._link.back.wait()

    async def _on_the_way(self, way: asyncio.Event) -> None:
        if self._link.delay:
            await asyncio.sleep(self._link.delay)
        await way.wait()

    def cut(self) -> None:
        """Break both halves at once."""
        abort(self._client[1])
        abort(self._server[1])

    def close(self) -> None:
        for _, writer in (self._client, self._server):
            writer.close()


def abort(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, so that the other side notices at once."""
    sock: socket.socket | None = writer.get_extra_info("socket")
    with suppress(OSError, AttributeError):
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    writer.transport.abort()
