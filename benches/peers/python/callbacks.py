"""The shapes on `asyncio.Protocol`: callbacks.

Each side stops reading while what it writes to is above its high-water mark. `BufferedProtocol`, which reads into a buffer of ours, would
save an allocation for each read; programs on `Protocol` are what this measures.
"""

from __future__ import annotations

import asyncio
from typing import Callable, Dict, Optional, Set, Tuple, cast

from contract import BACKLOG, PATTERN, Digest

#: As long as a line may be.
LONGEST_LINE = 1 << 16

Backend = Tuple[str, int]


class Connection(asyncio.Protocol):
    """Knows its transport."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)


class Echo(Connection):
    """What comes goes back."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


class Lines(Echo):
    """Each line is written by itself."""

    rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.transport.write(line + b"\n")
        if len(self.rest) > LONGEST_LINE:
            self.transport.abort()


class Sink(Connection):
    """Reads all, answers with a digest."""

    def __init__(self) -> None:
        self.digest = Digest()

    def data_received(self, data: bytes) -> None:
        self.digest.update(data)

    def eof_received(self) -> None:
        self.transport.write(self.digest.answer())


class Download(Connection):
    """Sends the pattern as fast as the peer reads: `left` bytes, or for ever."""

    left: Optional[int] = None
    sending = False
    paused = False

    def send(self) -> None:
        self.sending = True
        while not self.paused and not self.transport.is_closing():
            block = PATTERN if self.left is None else PATTERN[: self.left]
            self.transport.write(block)
            if self.left is not None:
                self.left -= len(block)
                if self.left == 0:
                    self.transport.close()  # when all is sent

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        # Later: a transport that is closed by a resume_writing is closed twice by asyncio.
        asyncio.get_running_loop().call_soon(self.send)

    def eof_received(self) -> bool:
        return self.sending  # the peer's end of file ends its direction alone


class Source(Download):
    """Sends as much as it is asked for."""

    asked = b""

    def data_received(self, data: bytes) -> None:
        if self.sending:
            return
        self.asked += data
        if len(self.asked) >= 8:
            self.left = int.from_bytes(self.asked[:8], "big")
            self.send()


class First(Connection):
    """The first byte says which protocol goes on."""

    def __init__(self, choose: Callable[[bytes], Optional[Connection]]) -> None:
        self.choose = choose

    def data_received(self, data: bytes) -> None:
        chosen = self.choose(data[:1])
        if chosen is None:
            self.transport.abort()
            return
        self.transport.set_protocol(chosen)
        chosen.connection_made(self.transport)
        if len(data) > 1:
            chosen.data_received(data[1:])


class EndlessDownload(Download):
    """Begins at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.send()


def mixed(kind: bytes) -> Optional[Connection]:
    if kind == b"E":
        return Echo()
    return EndlessDownload() if kind == b"D" else None


class Hub:
    """One writer, many readers: the writer is not read while a reader is above its high-water mark."""

    def __init__(self) -> None:
        self.subscribers: Set[Subscriber] = set()
        self.stalled: Set[Subscriber] = set()
        self.publishers: Set[Publisher] = set()

    def member(self, kind: bytes) -> Optional[Connection]:
        if kind == b"P":
            return Publisher(self)
        return Subscriber(self) if kind == b"S" else None

    def stall(self, subscriber: Subscriber) -> None:
        self.stalled.add(subscriber)
        for publisher in self.publishers:
            publisher.transport.pause_reading()

    def go_on(self, subscriber: Subscriber) -> None:
        if subscriber not in self.stalled:
            return
        self.stalled.discard(subscriber)
        if not self.stalled:
            for publisher in self.publishers:
                publisher.transport.resume_reading()


class Subscriber(Connection):
    """Hears everything."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.hub.subscribers.add(self)

    def pause_writing(self) -> None:
        self.hub.stall(self)

    def resume_writing(self) -> None:
        self.hub.go_on(self)

    def connection_lost(self, exc: Optional[BaseException]) -> None:
        self.hub.subscribers.discard(self)
        self.hub.go_on(self)


class Publisher(Connection):
    """Is heard by everybody."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.hub.publishers.add(self)
        if self.hub.stalled:
            self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        for subscriber in self.hub.subscribers:
            subscriber.transport.write(data)

    def connection_lost(self, exc: Optional[BaseException]) -> None:
        self.hub.publishers.discard(self)


class Side(Connection):
    """One of the two connections of a relay: what it reads, the other writes."""

    other: Optional[Side] = None
    ended = False

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        if self.other is None or self.other.ended:
            return False  # which closes this one, and then the other
        self.other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.other is not None and not self.other.ended:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.ended:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Optional[BaseException]) -> None:
        if self.other is None:
            return
        if exc is None:
            self.other.transport.close()
        else:
            self.other.transport.abort()  # nobody is left for what it has not sent


class Client(Side):
    """The side that came. What it says before the backend is there is kept: uvloop begins to read whatever connection_made says."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.connecting = asyncio.ensure_future(self.connect())

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.early += data
            self.transport.pause_reading()
        super().data_received(data)

    def eof_received(self) -> bool:
        return super().eof_received() or self.other is None

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: Behind(self), *self.backend)
        except OSError:
            self.transport.abort()

    def connected(self, other: Side) -> None:
        if self.transport.is_closing():
            other.transport.close()
            return
        self.other = other
        if self.early:
            other.transport.write(self.early)
            self.transport.resume_reading()
        if self.ended:
            other.transport.write_eof()


class Behind(Side):
    """The side of the backend, which may speak first."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.other = self.client
        self.client.connected(self)


def protocol_of(shape: str, backend: Optional[Backend]) -> Callable[[], asyncio.Protocol]:
    """What makes the protocol of a connection; KeyError when there is no such shape."""
    hub = Hub()
    plain: Dict[str, Callable[[], asyncio.Protocol]] = {
        "echo": Echo,
        "lines": Lines,
        "sink": Sink,
        "source": Source,
        "fanout": lambda: First(hub.member),
        "mixed": lambda: First(mixed),
    }
    if backend is not None:
        address = backend
        plain["relay"] = lambda: Client(address)
    return plain[shape]


async def start(shape: str, backend: Optional[Backend]) -> asyncio.Server:
    """Listens; KeyError when there is no such shape."""
    factory = protocol_of(shape, backend)
    loop = asyncio.get_running_loop()
    return await loop.create_server(factory, "127.0.0.1", 0, backlog=BACKLOG)
