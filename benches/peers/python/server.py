"""A server of the benches' contract on a loop of Python's.

    server.py asyncio|uvloop|rloop protocol|streams SHAPE [--backend HOST:PORT] [--spin MICROSECONDS]
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import importlib
import resource
import signal
import sys
from typing import NoReturn, Optional, Tuple

sys.dont_write_bytecode = True  # the sources stay as they are

import callbacks  # noqa: E402
import coroutines  # noqa: E402
from contract import NO_SUCH_SHAPE  # noqa: E402

LAYERS = {"protocol": callbacks.start, "streams": coroutines.start}

#: Shapes that a loop can't have on a layer, and why.
NO_END = "does not close a connection that it is told to close, which ends a transfer"
NO_CHANGE = "has no set_protocol, which this is made with"
LACKS = {
    ("rloop", "protocol"): {"sink": NO_END, "source": NO_END, "fanout": NO_CHANGE, "mixed": NO_CHANGE},
    ("rloop", "streams"): {"sink": NO_END, "source": NO_END},
}

#: Of prctl(2): which signal to get when the parent ends.
PR_SET_PDEATHSIG = 1


def refuse(why: str) -> NoReturn:
    print(why, file=sys.stderr)
    sys.exit(NO_SUCH_SHAPE)


class Parser(argparse.ArgumentParser):
    """Whose errors have the agreed exit code."""

    def error(self, message: str) -> NoReturn:
        refuse(message)


def address(text: str) -> Tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def arguments() -> argparse.Namespace:
    parser = Parser()
    parser.add_argument("loop", choices=["asyncio", "uvloop", "rloop"])
    parser.add_argument("layer", choices=list(LAYERS))
    parser.add_argument("shape")
    parser.add_argument("--backend", type=address)
    parser.add_argument("--spin", type=int, help="is taken and ignored: none of these loops spins")
    return parser.parse_args()


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        refuse(f"{name} can't be imported: {error}")
    loop: asyncio.AbstractEventLoop = module.new_event_loop()
    return loop


def prepare_process() -> None:
    """Dies with its parent; may have as many descriptors as there are."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def serve(layer: str, shape: str, backend: Optional[Tuple[str, int]]) -> None:
    try:
        server = await LAYERS[layer](shape, backend)
    except KeyError:
        refuse(f"expected a shape (and its --backend), got {shape!r}")
    print("listening", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().create_future()  # until killed


def main() -> None:
    chosen = arguments()
    why = LACKS.get((chosen.loop, chosen.layer), {}).get(chosen.shape)
    if why is not None:
        refuse(f"{chosen.shape}: {chosen.loop} {why}")
    prepare_process()
    loop = new_loop(chosen.loop)
    asyncio.set_event_loop(loop)
    loop.run_until_complete(serve(chosen.layer, chosen.shape, chosen.backend))


if __name__ == "__main__":
    main()
