"""Messages between a process and its workers: pickles (protocol 5) in frames, with arrays out of band.

The one rule: both ends are this program, joined by anonymous pipes; nothing from outside is ever unpickled.
"""

from __future__ import annotations

import pickle
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import BinaryIO

_COUNT = struct.Struct(">I")


def send(stream: BinaryIO, message: object) -> None:
    """Write one message.

    Raises:
        OSError: the other end is gone.
    """
    aside: list[pickle.PickleBuffer] = []
    body = pickle.dumps(message, protocol=5, buffer_callback=aside.append)
    pieces = [memoryview(body), *(buffer.raw() for buffer in aside)]
    stream.write(_COUNT.pack(len(pieces)) + struct.pack(f">{len(pieces)}Q", *(piece.nbytes for piece in pieces)))
    stream.writelines(pieces)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Read one message.

    Raises:
        EOFError: the other end is gone.
    """
    (count,) = _COUNT.unpack(_exactly(stream, _COUNT.size))
    sizes = struct.unpack(f">{count}Q", _exactly(stream, 8 * count))
    body, *aside = (_exactly(stream, size) for size in sizes)
    return pickle.loads(body, buffers=aside)  # noqa: S301 - our own process wrote it


def _exactly(stream: BinaryIO, size: int) -> bytearray:
    data = bytearray(size)
    view, at = memoryview(data), 0
    while at < size:
        read = stream.readinto(view[at:])  # type: ignore[attr-defined]  # pipes and files have it, `BinaryIO` does not say so
        if not read:
            raise EOFError("the other process is gone")
        at += read
    return data
