"""Real photographs, filmed by a moving camera: what the live animals' curve is fitted to.

They come from Debian's packages `tuxpaint-stamps-default` (cut-outs of animals, before a plain backdrop) and
`gcompris-qt-data` (whole photographs of farm animals, fish and things, none of them listed but an owl). Of the latter's
archives only those named in ARCHIVES are ever opened: others are kept for whoever judges the detector.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from wildgate_detector.stamps import Stamps, StampsMissingError
from wildgate_detector.surfaces import Picture

FOLDER: Final = Path("/usr/share/gcompris-qt/rcc")
"""Where the Debian package puts its archives."""
ARCHIVES: Final[dict[str, tuple[str, ...]]] = {
    "explore_farm_animals": ("/resource/animals/",),
    "categorization": ("/images/fishes/", "/images/monuments/", "/images/others/", "/images/tools/"),
    "explore_monuments": ("/",),
}
"""Archive to the folders in it that hold photographs."""
BACKDROP: Final = 150
"""The grey behind cut-outs."""
LISTED: Final = {"owl.webp": "live_owl"}
LOOKS: Final = 4
"""So many looked-at frames has a short clip."""

# Qt's binary resources (qtbase, src/corelib/io/qresource.cpp): a tree of entries, names in UTF-16, data with lengths.
_DIRECTORY: Final = 2
_ENTRY_BYTES: Final = {1: 14, 2: 22, 3: 22}


@dataclass(frozen=True)
class Photograph:
    """A picture, and the label that it shows, if any."""

    picture: Picture
    label: str | None


def photographs(stamps: Stamps, folder: Path = FOLDER) -> Iterator[Photograph]:
    """All photographs, cut-outs of listed animals first, those of others last.

    Raises:
        StampsMissingError: `gcompris-qt-data` is not installed; the message names the command.
    """
    for label, cutouts in stamps.labelled.items():
        yield from (Photograph(_before_grey(cutout), label) for cutout in cutouts)
    yield from (Photograph(picture, LISTED.get(name)) for name, picture in _archived(folder))
    yield from (Photograph(_before_grey(cutout), None) for cutout in stamps.animals)


def harmless(folder: Path = FOLDER) -> list[Picture]:
    """The whole photographs that show no label; raises as `photographs`."""
    return [picture for name, picture in _archived(folder) if name not in LISTED]


def _archived(folder: Path) -> Iterator[tuple[str, Picture]]:
    for archive_name, places in ARCHIVES.items():
        archive = folder / f"{archive_name}.rcc"
        if not archive.is_file():
            raise StampsMissingError(f"no {archive}; install it with: apt-get install gcompris-qt-data")
        for path, content in _resources(archive.read_bytes()):
            if path.endswith((".webp", ".jpg")) and any(place in path for place in places):
                picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
                yield Path(path).name, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8)


def looks(rng: np.random.Generator, photograph: Photograph) -> list[Picture]:
    """What a hand-held camera shows of a photograph at LOOKS moments: other cuts, light and sharpness."""
    height, width = photograph.picture.shape[:2]
    gain, frames = rng.uniform(0.75, 1.2), []
    for _ in range(LOOKS):
        share = rng.uniform(0.8, 1.0)
        h, w = max(8, int(height * share)), max(8, int(width * share))
        top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
        cut = photograph.picture[top : top + h, left : left + w]
        lit = np.clip(cut * gain + rng.normal(0, 3, cut.shape), 0, 255).astype(np.uint8)
        _, coded = cv2.imencode(".jpg", lit, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 85))])
        frames.append(cv2.imdecode(coded, cv2.IMREAD_COLOR).astype(np.uint8))
    return frames


def _before_grey(cutout: NDArray[np.uint8]) -> Picture:
    height, width = cutout.shape[:2]
    canvas = np.full((round(height * 1.2), round(width * 1.2), 3), BACKDROP, np.float32)
    top, left = (canvas.shape[0] - height) // 2, (canvas.shape[1] - width) // 2
    cover = cutout[..., 3:] / np.float32(255)
    canvas[top : top + height, left : left + width] *= 1 - cover
    canvas[top : top + height, left : left + width] += cover * cutout[..., :3]
    return canvas.astype(np.uint8)


def _resources(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Each stored file's path and content; compressed ones are left out, for pictures are not."""
    magic, version, tree, payload, names = struct.unpack_from(">4sIIII", data)
    if magic != b"qres" or version not in _ENTRY_BYTES:
        raise ValueError("not an archive of Qt resources")

    def name(offset: int) -> str:
        (length,) = struct.unpack_from(">H", data, names + offset)
        return data[names + offset + 6 : names + offset + 6 + 2 * length].decode("utf-16-be")

    pending = [(0, "")]
    while pending:
        index, path = pending.pop()
        at = tree + _ENTRY_BYTES[version] * index
        name_offset, flags = struct.unpack_from(">IH", data, at)
        here = f"{path}/{name(name_offset)}" if index else ""
        if flags & _DIRECTORY:
            count, first = struct.unpack_from(">II", data, at + 6)
            pending += [(first + step, here) for step in range(count)]
        elif not flags:
            (offset,) = struct.unpack_from(">I", data, at + 10)
            (length,) = struct.unpack_from(">I", data, payload + offset)
            yield here, data[payload + offset + 4 : payload + offset + 4 + length]
