"""Which video is asked about next: one the server has not seen, or one of a catalogue of which a few are popular.

A file becomes another, with the same pictures, by a container element at its end that players skip: a `free` box
(ISO/IEC 14496-12, 8.1.2) in MP4 and MOV, a Void element (RFC 8794, 11.3.2) in WebM and Matroska. What is in it makes
another content; how long it is makes a file that differs for those who read only parts of it, too.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from wildgate_perf.load_test.options import LoadOptions

_MARK_BYTES = 16
_LONGEST_PADDING = 1 << 22
_EBML = b"\x1a\x45\xdf\xa3"
_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv"})


class NoVideos(Exception):
    """The folder has no video to ask about; the text names it."""


@dataclass(frozen=True)
class Video:
    """A media file in memory; `name` is its file name."""

    name: str
    content: bytes


def load_videos(folder: Path) -> list[Video]:
    """All MP4, MOV, WebM and Matroska files right in `folder`, by name. Raises `NoVideos`."""
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)
        videos = [Video(file.name, file.read_bytes()) for file in files]
    except OSError as error:
        raise NoVideos(f"{folder}: {error.strerror or error}") from error
    if not videos:
        raise NoVideos(f"{folder}: no file there ends in {', '.join(sorted(_SUFFIXES))}")
    for video in videos:
        relabelled(video, b"\0" * _MARK_BYTES)
    return videos


def relabelled(video: Video, mark: bytes) -> bytes:
    """The same pictures in a file of other content: `mark` hangs at its end. Raises `NoVideos`."""
    return b"".join((video.content, _padding_header(video, len(mark)), mark))


def _padding_header(video: Video, size: int) -> bytes:
    """What comes before `size` bytes that players skip."""
    if video.content[:4] == _EBML:
        return b"\xec" + (1 << 56 | size).to_bytes(8, "big")
    if video.content[4:8] in (b"ftyp", b"styp", b"moov"):
        return (8 + size).to_bytes(4, "big") + b"free"
    raise NoVideos(f"{video.name}: neither MP4, MOV, WebM nor Matroska by its first bytes")


class FreshFile:
    """A file of a user's own, to be asked about by URI: the same pictures in another file each time."""

    def __init__(self, folder: Path, video: Video, name: str) -> None:
        self.path = folder / f"{name}{Path(video.name).suffix}"
        self._video = video
        folder.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(video.content)

    def renew(self, chance: random.Random) -> None:
        """Makes another file of it, by padding of another length; a hole, so that it takes neither time nor space."""
        size = chance.randrange(1, _LONGEST_PADDING)
        header = _padding_header(self._video, size)
        with self.path.open("r+b") as file:
            file.seek(len(self._video.content))
            file.write(header)
            file.truncate(len(self._video.content) + len(header) + size)

    def remove(self) -> None:
        """Deletes the file, if it is still there."""
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class VideoSource:
    """What users draw from, as the options say. All processes of a run share its salt, and so the catalogue's files.

    File `n` of the catalogue comes in proportion to 1 / (n + 1) ** `zipf_exponent` (Zipf's law).
    """

    options: LoadOptions
    videos: Sequence[Video]

    @cached_property
    def _popularity(self) -> list[float]:
        return list(accumulate((n + 1) ** -self.options.zipf_exponent for n in range(self.options.catalogue)))

    def fresh(self, chance: random.Random) -> bytes:
        """A file that nobody has sent before."""
        return relabelled(chance.choice(self.videos), chance.randbytes(_MARK_BYTES))

    def mixed(self, chance: random.Random) -> bytes:
        """A `repeated_share` of files from the catalogue, the others fresh."""
        if chance.random() >= self.options.repeated_share:
            return self.fresh(chance)
        [number] = chance.choices(range(self.options.catalogue), cum_weights=self._popularity)
        mark = (int(self.options.salt, 16) ^ number).to_bytes(_MARK_BYTES, "big")
        return relabelled(self.videos[number % len(self.videos)], mark)
