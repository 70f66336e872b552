"""A child process that decompresses frames: `python worker.py`, jobs on stdin, samples on stdout.

A codec that crashes on a damaged frame, or does not end, takes only this process with it. The file
imports nothing of rhoa, which keeps its start short. A message is two lengths (uint64), a JSON head
and raw bytes.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import warnings
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SECONDS, SECONDS_A_PIXEL = 2.0, 1e-6
"""Processor time of one frame; a slow machine takes a hundredth of it."""
DECODERS = {
    **{f"1.2.840.10008.1.2.4.{n}": ("pyjpegls",) for n in ("80", "81")},
    **{f"1.2.840.10008.1.2.4.{n}": ("pylibjpeg",) for n in ("201", "202", "203")},
    **{f"1.2.840.10008.1.2.4.{n}": ("pylibjpeg", "gdcm", "pillow") for n in ("50", "51")},
}
"""Decoders of each transfer syntax, the preferred first, by pydicom's names: whatever else is
installed has no say in what a file means."""
_LENGTHS = struct.Struct("<QQ")


def decompress(value: bytes, syntax: str, options: dict[str, Any]) -> NDArray[np.generic]:
    """The samples (rows, columns) of one encapsulated Pixel Data value, as pydicom decodes them."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # codestream and header disagree: rhoa masks the bits itself
        samples, _ = get_decoder(UID(syntax)).as_array(
            value, raw=True, decoding_plugin=decoder_of(syntax) or "none", **options
        )
    return samples


def decoder_of(syntax: str) -> str | None:
    """The decoder that is used for a transfer syntax; None where none of them is installed."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    installed = get_decoder(UID(syntax)).available_plugins
    return next((name for name in DECODERS.get(syntax, ()) if name in installed), None)


def send(stream: IO[bytes], head: dict[str, Any], body: bytes | memoryview = b"") -> None:
    """Write one message."""
    text = json.dumps(head).encode()
    stream.write(_LENGTHS.pack(len(text), len(body)) + text)
    stream.write(body)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Read one message; None where the other side has gone."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    text, body = _LENGTHS.unpack(lengths)
    head, content = stream.read(text), stream.read(body)
    if len(head) < text or len(content) < body:
        return None
    return json.loads(head), content


def _limit_time(seconds: float) -> None:
    """End this process after so much processor time of its own, however busy the machine is."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)


def main() -> None:
    """Decompress frames until stdin ends."""
    jobs = sys.stdin.buffer
    results = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # codecs may print
    import numpy as np
    import pydicom.pixels  # noqa: F401  # loaded before the worker says that it is ready

    send(results, {"ready": True})
    while (message := receive(jobs)) is not None:
        job, value = message
        _limit_time(SECONDS + SECONDS_A_PIXEL * job["options"]["rows"] * job["options"]["columns"])
        try:
            samples = np.ascontiguousarray(decompress(value, job["syntax"], job["options"]))
        except Exception as error:  # noqa: BLE001  # codecs raise anything; the parent names the file
            send(results, {"error": str(error)})
            continue
        head = {"dtype": samples.dtype.str, "shape": samples.shape}
        send(results, head, samples.reshape(-1).view(np.uint8).data)


if __name__ == "__main__":
    main()
