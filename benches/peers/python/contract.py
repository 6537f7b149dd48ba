"""What both layers need to keep the promises of a server."""

from __future__ import annotations

import zlib

#: Connections that wait to be accepted.
BACKLOG = 4096

#: The exit code for what can't be served here.
NO_SUCH_SHAPE = 3

#: What a source sends, over and over, from its beginning.
PATTERN = bytes((place * 31 + place // 256) % 256 for place in range(65536))


class Digest:
    """The count of bytes and their CRC-32."""

    def __init__(self) -> None:
        self.count = 0
        self.crc = 0

    def update(self, data: bytes) -> None:
        self.count += len(data)
        self.crc = zlib.crc32(data, self.crc)

    def answer(self) -> bytes:
        return self.count.to_bytes(8, "big") + self.crc.to_bytes(4, "big")
