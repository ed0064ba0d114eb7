"""Real photographs, filmed by a moving camera: what the live animals' curve is fitted to and judged by.

They come from Debian's packages `tuxpaint-stamps-default` (cut-outs of animals, put before photographs of nature),
`mate-backgrounds` (those photographs) and `gcompris-qt-data` (whole photographs of farm animals, fish, buildings and
things, none of them listed but an owl). Of the latter's archives only those named in ARCHIVES are ever opened: others
are kept for whoever judges the detector.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from wildgate_detector.encoding import Encoding, write_video
from wildgate_detector.layers import Layer, paint_layers
from wildgate_detector.scenes import letterboxed
from wildgate_detector.stamps import Cutout, Stamps, StampsMissingError
from wildgate_detector.surfaces import Picture, cut_to_fit

ARCHIVES_FOLDER: Final = Path("/usr/share/gcompris-qt/rcc")
"""Where the Debian package puts its archives."""
ARCHIVES: Final[dict[str, tuple[str, ...]]] = {
    "explore_farm_animals": ("/resource/animals/",),
    "categorization": ("/images/fishes/", "/images/monuments/", "/images/others/", "/images/tools/"),
    "explore_monuments": ("/",),
}
"""Archive to the folders in it that hold photographs."""
NATURE: Final = Path("/usr/share/backgrounds/mate/nature")
"""Where `mate-backgrounds` puts its photographs of nature."""
FILLED: Final = (0.7, 0.9, 1.05)
"""The shares of a frame that cut-outs fill, along its tighter direction."""
FRAME: Final = (360, 480)
LARGEST: Final = 900
"""Photographs are shrunk to so many pixels, as short videos have them."""
LISTED: Final = {"owl.webp": "live_owl"}
MOST_CLIPS: Final = 200
CLIP_SIDE: Final = 480
LOOKS: Final = 4
"""So many looked-at frames has a short clip."""

# Qt's binary resources (qtbase, src/corelib/io/qresource.cpp): a tree of entries, names in UTF-16, data with lengths.
_DIRECTORY: Final = 2
_ENTRY_BYTES: Final = {1: 14, 2: 22, 3: 22}


@dataclass(frozen=True)
class Photograph:
    """A picture, the label that it shows, if any, and the name of what it shows."""

    picture: Picture
    label: str | None
    name: str


@dataclass(frozen=True)
class Folders:
    """Where the Debian packages lie."""

    archives: Path = ARCHIVES_FOLDER
    nature: Path = NATURE


def photographs(stamps: Stamps, folders: Folders) -> Iterator[Photograph]:
    """All photographs: cut-outs of listed animals, whole pictures, cut-outs of other animals.

    Raises:
        StampsMissingError: a package is not installed; the message names the command.
    """
    rng = np.random.default_rng(11)
    nature = natural(folders.nature)

    def placed(cutout: Cutout, label: str | None, name: str) -> Iterator[Photograph]:
        for filled in FILLED:
            backdrop = cut_to_fit(rng, nature[rng.integers(0, len(nature))], *FRAME)
            yield Photograph(before(rng, cutout, backdrop, filled), label, name)

    for label, cutouts in stamps.labelled.items():
        for at, cutout in enumerate(cutouts):
            yield from placed(cutout, label, f"{label} {at}")
    for name, picture in _archived(folders.archives):
        yield Photograph(picture, LISTED.get(name), name)
    for at, picture in enumerate(nature):
        yield Photograph(picture, None, f"nature {at}")
    for at, cutout in enumerate(stamps.animals):
        yield from placed(cutout, None, f"animal {at}")


def harmless(folders: Folders) -> list[Picture]:
    """The whole photographs that show no label; raises as `photographs`."""
    return [*(picture for name, picture in _archived(folders.archives) if name not in LISTED), *natural(folders.nature)]


def natural(folder: Path) -> list[Picture]:
    """Photographs of nature; raises as `photographs`."""
    pictures = [
        cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB).astype(np.uint8)
        for path in sorted(folder.glob("*.jpg"))
    ]
    if not pictures:
        raise StampsMissingError(f"no photographs in {folder}; install them with: apt-get install mate-backgrounds")
    return [_at_most(picture, LARGEST) for picture in pictures]


def before(rng: np.random.Generator, cutout: Cutout, backdrop: Picture, filled: float) -> Picture:
    """A cut-out before a backdrop that is a little out of focus, somewhere, as large as it says in FILLED."""
    canvas = cv2.GaussianBlur(backdrop, (0, 0), rng.uniform(0.5, 3)).astype(np.uint8)
    height, width = canvas.shape[:2]
    share = filled * min(width / cutout.shape[1], height / cutout.shape[0])
    reaches = share * cutout.shape[1] / width / 2, share * cutout.shape[0] / height / 2
    x, y = (float(rng.uniform(reach, 1 - reach)) if reach < 0.5 else 0.5 for reach in reaches)
    size = max(cutout.shape[:2]) * share / min(height, width)
    paint_layers(canvas, [Layer(cutout, None, x, y, size)], 0.0)
    return canvas


def film(pictures: Iterable[Picture], folder: Path) -> int:
    """Write a short clip of each of the pictures, at most MOST_CLIPS, to quantise with; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, count = np.random.default_rng(0), 0
    for picture in islice(pictures, MOST_CLIPS):
        frames = [letterboxed(frame, CLIP_SIDE)[0] for frame in looks(rng, picture)]
        write_video(folder / f"photograph_{count:04d}.mp4", frames, 1, Encoding(keyframe_every=1))
        count += 1
    return count


def _archived(folder: Path) -> Iterator[tuple[str, Picture]]:
    for archive_name, places in ARCHIVES.items():
        archive = folder / f"{archive_name}.rcc"
        if not archive.is_file():
            raise StampsMissingError(f"no {archive}; install it with: apt-get install gcompris-qt-data")
        for path, content in _resources(archive.read_bytes()):
            if path.endswith((".webp", ".jpg")) and any(place in path for place in places):
                picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
                yield Path(path).name, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8)


def _at_most(picture: Picture, side: int) -> Picture:
    share = side / max(picture.shape[:2])
    if share >= 1:
        return picture
    return cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA).astype(np.uint8)


def looks(rng: np.random.Generator, picture: Picture) -> list[Picture]:
    """What a hand-held camera shows of a photograph at LOOKS moments: other cuts, light and sharpness."""
    height, width = picture.shape[:2]
    gain, frames = rng.uniform(0.75, 1.2), []
    for _ in range(LOOKS):
        share = rng.uniform(0.8, 1.0)
        h, w = max(8, int(height * share)), max(8, int(width * share))
        top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
        cut = picture[top : top + h, left : left + w]
        lit = np.clip(cut * gain + rng.normal(0, 3, cut.shape), 0, 255).astype(np.uint8)
        _, coded = cv2.imencode(".jpg", lit, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 85))])
        frames.append(cv2.imdecode(coded, cv2.IMREAD_COLOR).astype(np.uint8))
    return frames


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
