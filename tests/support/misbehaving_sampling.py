"""What a sampling worker may do to itself: the work itself, and what hostile media could make of it."""

from __future__ import annotations

import os
import pickle
import signal
import time
from contextlib import suppress
from pathlib import Path

from wildgate_server.media.sampled_video import ClipWindow, Display, SampledTrack, SampledVideo, VideoLimits
from wildgate_server.sampling.look import Look
from wildgate_server.sampling.offline import sample_content
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.source.local_file import VideoFile
from wildgate_server.source.remote_object import RemoteObject
from wildgate_server.source.remote_uri import HttpUrl
from wildgate_server.source.shared_content import SharedContent

OF_SOMEBODY_ELSE = "https://media.example/of-somebody-else"
"""What lies there is told under a digest of content."""


class PeculiarError(Exception):
    """Can be pickled, but not be made anew of what was pickled."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__(f"{left} and {right}")


def sample_or_misbehave(
    source: SharedContent | VideoFile | RemoteObject, config: SamplingConfig, limits: VideoLimits, look: Look
) -> SampledVideo:
    """Samples a video; does what bytes of these few names say instead, or with a file what lies in it."""
    if isinstance(source, SharedContent):
        with source.opened(limits.max_bytes) as shared:
            content = bytes(shared.content)
    elif source.key == OF_SOMEBODY_ELSE:
        return nothing_sampled(f"blake3:{'f' * 64}")
    else:
        assert isinstance(source, VideoFile) or isinstance(source.place, HttpUrl)
        told = source.path if isinstance(source, VideoFile) else Path(source.place.target)
        started, go_on = told.read_text().splitlines()
        Path(started).write_text(str(os.getpid()))
        while not Path(go_on).exists():
            time.sleep(0.01)
        content = b"video"
    match content:
        case b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case b"babble":
            print("babble", flush=True)
            os.write(2, b"babble")
            return nothing_sampled()
        case b"exit":
            os._exit(3)
        case b"killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case b"toil":
            while True:
                pass
        case b"hang":
            while True:
                time.sleep(60)
        case b"environment":
            return nothing_sampled(codec=",".join(os.environ)[:1000])
        case b"another digest":
            return nothing_sampled(f"blake3:{'f' * 64}")
        case b"pickle":
            _write_to_all(pickle.dumps(_Evil()))
        case b"shrink":
            if isinstance(source, SharedContent):
                with suppress(OSError):
                    os.truncate(source.path, 0)
            return nothing_sampled()
        case b"balloon":
            return bytearray(1 << 36)  # at once: filling memory takes processor time, of which there is a limit too
        case b"grow":
            grown = bytearray()
            while True:
                grown += b"x" * (1 << 24)
        case b"surprise":
            raise ZeroDivisionError("a bug")
        case b"peculiar surprise":
            raise PeculiarError(1, 2)
        case b"silence":
            for channel in _channels():
                with suppress(OSError):
                    os.close(channel)
            time.sleep(3600)
        case b"garbage" | b"overlong":
            _write_to_all(bytes(1000), 1 << 62 if content == b"overlong" else 1000)
        case b"large":
            return nothing_sampled(windows=(_window(bytes(range(256)) * 40_000),))
        case b"too large":
            return nothing_sampled(windows=tuple(_window(bytes(1 << 22)) for _ in range(17)))
        case b"video":
            return nothing_sampled()
    return sample_content(content, config, limits)


class _Evil:
    """Leaves a variable in the environment of whoever unpickles it."""

    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("import os; os.environ['UNPICKLED'] = 'yes'",)


def _channels() -> list[int]:
    """Whatever is open but the standard streams; a test run's processes may have many descriptors."""
    return [int(name) for name in os.listdir("/proc/self/fd") if int(name) > 2]


def _write_to_all(content: bytes, length: int | None = None) -> None:
    """Says to the gateway, by whatever descriptor it is, what no worker would."""
    told = (len(content) if length is None else length).to_bytes(8, "little") + content
    for channel in _channels():
        with suppress(OSError):
            os.write(channel, told)
    time.sleep(3600)


def _window(clip: bytes = b"clip") -> ClipWindow:
    return ClipWindow(clip, (0,) * 8, (0.0,), 1)


def nothing_sampled(
    digest: str | None = None, *, codec: str = "", windows: tuple[ClipWindow, ...] | None = None
) -> SampledVideo:
    return SampledVideo(
        format=f"worker {os.getpid()}",
        tracks=(SampledTrack(0, codec, "", 0, 0, Display(), 0.0, 0.0, windows or (_window(),)),),
        content_digest=digest or f"blake3-sampled:{0:064}",
    )
