"""What a Triton has of /dev/shm, through which its Python backend hands on clips and frames, and what it needs.

Each instance of a model keeps what its largest batch took. Where there is no more, requests fail one by one, with the
server and its models ready all the while.
"""

from __future__ import annotations

import os

from wildgate_server.repository.manifest import ModelManifest
from wildgate_server.triton.runtime import TritonStartError

__all__ = ["SHARED_MEMORY", "free_shared_memory", "has_own_shared_memory", "is_roomy"]

SHARED_MEMORY = "/dev/shm"
_PARTS = 3  # have FRAMES: the decoder, the detector, the fingerprint
_CLIPS = 1.25  # besides the frames


def has_own_shared_memory(guard: int) -> bool:
    """Whether a server's /dev/shm is not everybody's; elsewhere its guard, process `guard`, closes its regions."""
    try:
        return os.stat(f"/proc/{guard}/root{SHARED_MEMORY}").st_dev != os.stat(SHARED_MEMORY).st_dev
    except OSError:
        return False


def free_shared_memory(guard: int) -> int:
    """Bytes of /dev/shm that the server of a guard can still have. Raises OSError when that has ended."""
    memory = os.statvfs(f"/proc/{guard}/root{SHARED_MEMORY}")
    return memory.f_bavail * memory.f_frsize


def is_roomy(free: int, manifest: ModelManifest) -> tuple[bool, int]:
    """Whether `free` bytes are enough for full batches of FRAMES, UINT8 [rows, F, S, S, 3], and how many would be.

    Raises TritonStartError where not even one row would fit.
    """
    row = manifest.frames_per_window * manifest.frame_side_px**2 * 3
    least = int(_CLIPS * _PARTS * manifest.serving.instances * row)
    if free < least:
        raise TritonStartError(
            f"{SHARED_MEMORY} has {free >> 20} MiB left, one video needs {least >> 20} MiB in "
            f"{manifest.serving.instances} instances: give the container more (--shm-size), or take fewer instances"
        )
    full = least * manifest.serving.max_batch_size
    return free >= full, full
