"""The shapes on streams: a coroutine for each connection, which reads, writes, and waits for `drain`."""

from __future__ import annotations

import asyncio
from typing import Awaitable, Callable, Dict, Optional, Set, Tuple

from contract import BACKLOG, PATTERN, Digest

#: What is read at a time.
BLOCK = 65536

#: What reading and writing raise for a connection that is gone: an OSError, but for rloop.
LOST = (OSError, RuntimeError)

Backend = Tuple[str, int]
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Serve = Callable[[Reader, Writer], Awaitable[None]]


async def echo(reader: Reader, writer: Writer) -> None:
    while data := await reader.read(BLOCK):
        writer.write(data)
        await writer.drain()


async def lines(reader: Reader, writer: Writer) -> None:
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()


async def sink(reader: Reader, writer: Writer) -> None:
    digest = Digest()
    while data := await reader.read(BLOCK):
        digest.update(data)
    writer.write(digest.answer())
    await writer.drain()


async def source(reader: Reader, writer: Writer) -> None:
    left = int.from_bytes(await reader.readexactly(8), "big")
    while left > 0:
        block = PATTERN[:left]
        writer.write(block)
        await writer.drain()
        left -= len(block)


async def mixed(reader: Reader, writer: Writer) -> None:
    kind = await reader.readexactly(1)
    if kind == b"E":
        await echo(reader, writer)
    while kind == b"D":
        writer.write(PATTERN)
        await writer.drain()


class Hub:
    """One writer, many readers: after each message all are waited for."""

    def __init__(self) -> None:
        self.subscribers: Set[Writer] = set()

    async def serve(self, reader: Reader, writer: Writer) -> None:
        kind = await reader.readexactly(1)
        if kind == b"P":
            await self.publish(reader)
        elif kind == b"S":
            await self.subscribe(reader, writer)

    async def subscribe(self, reader: Reader, writer: Writer) -> None:
        self.subscribers.add(writer)
        try:
            while await reader.read(BLOCK):
                pass
        finally:
            self.subscribers.discard(writer)

    async def publish(self, reader: Reader) -> None:
        while data := await reader.read(BLOCK):
            hearing = list(self.subscribers)
            for writer in hearing:
                writer.write(data)
            for writer in hearing:
                try:
                    await writer.drain()
                except LOST:
                    self.subscribers.discard(writer)


async def one_way(reader: Reader, writer: Writer) -> None:
    """All that comes, then its end."""
    await echo(reader, writer)
    if not writer.is_closing():
        writer.write_eof()


def relay(backend: Backend) -> Serve:
    async def serve(reader: Reader, writer: Writer) -> None:
        from_backend, to_backend = await asyncio.open_connection(*backend)
        try:
            await asyncio.gather(one_way(reader, to_backend), one_way(from_backend, writer))
        except LOST:
            writer.transport.abort()
            to_backend.transport.abort()
        finally:
            to_backend.close()

    return serve


def coroutine_of(shape: str, backend: Optional[Backend]) -> Serve:
    """What serves a connection; KeyError when there is no such shape."""
    shapes: Dict[str, Serve] = {
        "echo": echo,
        "lines": lines,
        "sink": sink,
        "source": source,
        "fanout": Hub().serve,
        "mixed": mixed,
    }
    if backend is not None:
        shapes["relay"] = relay(backend)
    return shapes[shape]


def guarded(serve: Serve) -> Serve:
    """A connection that fails costs only itself."""

    async def run(reader: Reader, writer: Writer) -> None:
        try:
            await serve(reader, writer)
        except (*LOST, EOFError, ValueError):
            pass  # it is gone, ended too early, or its line is too long
        finally:
            writer.close()

    return run


async def start(shape: str, backend: Optional[Backend]) -> asyncio.Server:
    """Listens; KeyError when there is no such shape."""
    serve = guarded(coroutine_of(shape, backend))
    return await asyncio.start_server(serve, "127.0.0.1", 0, backlog=BACKLOG)
