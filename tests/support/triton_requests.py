"""Requests to a real Triton, and what is left of one that should be gone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

import numpy as np
import psutil
from tritonclient.grpc import InferInput


def clip_inputs(clips: Sequence[bytes], index: Sequence[int] = range(8)) -> list[InferInput]:
    """The inputs of one request with a row for each clip; shorter clips are filled up with zeros."""
    length = max(len(clip) for clip in clips)
    rows = np.stack([np.frombuffer(clip.ljust(length, b"\0"), np.uint8) for clip in clips])
    tensors = {
        "CLIP": rows,
        "FRAME_INDEX": np.tile(np.array(index, np.int32), (len(clips), 1)),
        "DISPLAY": np.tile(np.array([0, 0, 1, 1], np.int32), (len(clips), 1)),
    }
    inputs = []
    for name, array in tensors.items():
        tensor = InferInput(name, array.shape, "UINT8" if array.dtype == np.uint8 else "INT32")
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    return inputs


def processes_with(text: str) -> list[int]:
    """The processes, this one excepted, whose command line holds `text`."""
    others = (process for process in psutil.process_iter(["cmdline"]) if process.pid != os.getpid())
    return [process.pid for process in others if any(text in part for part in process.info["cmdline"] or ())]


def shared_memory_of(server_id: str) -> list[str]:
    """The shared memory regions that the server `server_id` has, or has left; it may have a /dev/shm of its own."""
    places = ["/dev/shm", *(f"/proc/{process}/root/dev/shm" for process in processes_with(server_id))]
    found: set[str] = set()
    for place in places:
        with contextlib.suppress(OSError):  # the process is gone
            found.update(name for name in os.listdir(place) if name.startswith(server_id))
    return sorted(found)
