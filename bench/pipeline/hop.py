"""The hop between a client of InfluxDB 2.x and an InfluxDB 1.x server, and the tap for latencies.

``/api/v2/write?bucket=B&precision=P`` becomes ``/write?db=B&precision=P'``; 1.x spells microseconds ``u``. Everything
else passes as it is. With ``--times`` each write that the server accepted is remembered with the moment of its answer,
and at the end a line ``device seq wall_ns`` is written for each of its points. Each client connection has one of its
own to the server.

``python -m bench.pipeline.hop --port P --to Q [--times FILE]``
"""

import argparse
import asyncio
import contextlib
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

HEAD_LIMIT = 1 << 16
PRECISIONS = {"": "n", "ns": "n", "us": "u", "ms": "ms", "s": "s", "nanosecond": "n", "microsecond": "u",
              "millisecond": "ms", "second": "s"}  # fmt: skip
_DEVICE = re.compile(rb"[, ]device=\"?([a-z0-9-]+)")
_SEQ = re.compile(rb"[, ]seq=([0-9]+)")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


def to_v1(target: str) -> str:
    """Return the target of a request as InfluxDB 1.x knows it."""
    parts = urlsplit(target)
    if parts.path not in {"/api/v2/write", "/api/v3/write_lp"}:
        return target
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    database = asked.get("bucket") or asked.get("db") or ""
    return "/write?" + urlencode({"db": database, "precision": PRECISIONS[asked.get("precision", "")]})


def points_of(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield device and ``seq`` of each line that has both."""
    for line in body.split(b"\n"):
        device, seq = _DEVICE.search(line), _SEQ.search(line)
        if device is not None and seq is not None:
            yield device[1], seq[1]


class Hop:
    """Passes requests on."""

    def __init__(self, to_port: int, *, watches: bool) -> None:
        self._to_port = to_port
        self._watches = watches
        self.accepted: list[tuple[int, bytes]] = []
        """When the server answered, and what it had been given."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it hangs up."""
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to_port, limit=1 << 20)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head, body = await _message(reader)
                method, target, rest = head.split(b" ", 2)
                changed = to_v1(target.decode()).encode()
                to_writer.write(b"%s %s %s%s" % (method, changed, rest, body))
                reply_head, reply_body = await _message(to_reader)
                if self._watches and changed.startswith(b"/write") and reply_head[9:12] == b"204":
                    self.accepted.append((time.time_ns(), body))
                writer.write(reply_head + reply_body)
                await writer.drain()
        for one in (writer, to_writer):
            one.close()


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read a request or a reply."""
    head = await reader.readuntil(b"\r\n\r\n")
    if _CHUNKED.search(head):
        chunks = []
        while True:
            size_line = await reader.readuntil(b"\r\n")
            chunk = await reader.readexactly(int(size_line.split(b";")[0], 16) + 2)
            chunks += [size_line, chunk]
            if chunk == b"\r\n":
                return head, b"".join(chunks)
    length = _LENGTH.search(head)
    return head, await reader.readexactly(int(length[1])) if length is not None else b""


async def run(port: int, to_port: int, times: Path | None) -> None:
    """Serve until told to stop."""
    hop = Hop(to_port, watches=times is not None)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.start_server(hop.serve, "127.0.0.1", port, limit=1 << 20)
    await stop.wait()
    server.close()
    if times is not None:
        with times.open("wb") as file:
            for at_ns, body in hop.accepted:
                file.writelines(b"%s %s %d\n" % (device, seq, at_ns) for device, seq in points_of(body))


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--times", type=Path)
    arguments = parser.parse_args()
    asyncio.run(run(arguments.port, arguments.to, arguments.times))


if __name__ == "__main__":
    main()
