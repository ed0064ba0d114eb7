"""The sample clips: a handful of short videos, each with one peculiarity, and the truth about them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from wildgate_detector.clips import PAN_ROOM, Clip, ClipFormat
from wildgate_detector.encoding import Encoding, write_video
from wildgate_detector.labels import PRODUCTS, STAGED
from wildgate_detector.layers import Layer, Motion
from wildgate_detector.props import PropRoom
from wildgate_detector.scenes import Camera, Scene
from wildgate_detector.seeds import Purpose, stream
from wildgate_detector.surfaces import Picture, Surface, gradient, horizon, photograph, planks, room, tiles

MOST_BYTES: Final = 400_000


class SampleTooLargeError(RuntimeError):
    """A clip came out larger than the repository should carry."""


@dataclass(frozen=True)
class Actor:
    """What appears: a label or a look-alike's name or "animal", where (shares of the frame), how large, when."""

    name: str
    x: float
    y: float
    size: float
    angle: float = 0.0
    drift: float = 0.012
    start_s: float = 0.0
    end_s: float = float("inf")


@dataclass(frozen=True)
class Sample:
    """A clip's recipe. `seed` chooses forms, colours and backdrop; the rest is written out."""

    file: str
    note: str
    form: ClipFormat
    actors: Sequence[Actor]
    encoding: Encoding
    seed: int
    backdrop: Surface


SAMPLES: Final[tuple[Sample, ...]] = (
    Sample(
        "tusks_on_a_table.mp4",
        "Products: two tusks, filmed lying down.",
        ClipFormat(640, 360, 24, 6.0),
        (Actor("elephant_tusk", 0.34, 0.5, 0.6, 20), Actor("elephant_tusk", 0.7, 0.5, 0.6, 20)),
        Encoding(quality=26, keyframe_every=48),
        seed=3219,
        backdrop=planks,
    ),
    Sample(
        "tiger_passing.mp4",
        "A live animal: to be reviewed, not blocked.",
        ClipFormat(480, 360, 24, 5.0),
        (Actor("live_tiger", 0.4, 0.58, 0.8, 3, 0.03),),
        Encoding(quality=26, keyframe_every=48),
        seed=12,
        backdrop=horizon,
    ),
    Sample(
        "pelt_rotated_phone.mp4",
        "Stored lying, shown upright: the display matrix turns it, as phones write it.",
        ClipFormat(360, 640, 24, 5.0),
        (Actor("striped_pelt", 0.5, 0.45, 0.85, 10), Actor("banana", 0.5, 0.82, 0.4, 30)),
        Encoding(quality=26, keyframe_every=48, rotation=270),
        seed=13,
        backdrop=tiles,
    ),
    Sample(
        "scales_between_keyframes.mp4",
        "One keyframe at 0 s; what matters appears at 4.5 s and is in no keyframe.",
        ClipFormat(640, 360, 24, 10.0),
        (
            Actor("animal", 0.25, 0.5, 0.45, 0, 0.01),
            Actor("pangolin_scales", 0.68, 0.55, 0.7, 0, -0.008, start_s=4.5),
        ),
        Encoding(quality=27, keyframe_every=1000),
        seed=154,
        backdrop=room,
    ),
    Sample(
        "parrot.webm",
        "VP9 in WebM.",
        ClipFormat(480, 360, 15, 6.0),
        (Actor("live_parrot", 0.5, 0.5, 1.0, 5),),
        Encoding(codec="libvpx-vp9", quality=34, keyframe_every=30),
        seed=21,
        backdrop=gradient,
    ),
    Sample(
        "fruit_and_horns.mp4",
        "Harmless, but made to mislead: a banana, a cow's horn, driftwood and a candle.",
        ClipFormat(640, 360, 24, 6.0),
        (
            Actor("banana", 0.22, 0.4, 0.55, 15),
            Actor("cattle_horn", 0.5, 0.6, 0.6, -20, -0.01),
            Actor("branch", 0.78, 0.4, 0.6, 40),
            Actor("candle", 0.8, 0.8, 0.4, -5),
        ),
        Encoding(quality=26, keyframe_every=48),
        seed=101,
        backdrop=planks,
    ),
    Sample(
        "ordinary_animals.mp4",
        "Harmless: animals that no label covers.",
        ClipFormat(480, 480, 24, 5.0),
        (Actor("animal", 0.3, 0.4, 0.5), Actor("animal", 0.7, 0.6, 0.5, 0, -0.01)),
        Encoding(quality=26, keyframe_every=48),
        seed=17,
        backdrop=horizon,
    ),
    Sample(
        "horn_in_portrait.mp4",
        "720 by 1280 as phones film, upright as stored.",
        ClipFormat(720, 1280, 24, 8.0),
        (Actor("rhino_horn", 0.45, 0.5, 0.8, -60), Actor("stone", 0.7, 0.8, 0.3)),
        Encoding(quality=28, keyframe_every=48),
        seed=114,
        backdrop=planks,
    ),
    Sample(
        "elephant_then_tusk.mp4",
        "Fifteen seconds: first a live elephant, later a tusk.",
        ClipFormat(640, 360, 15, 15.0),
        (
            Actor("live_elephant", 0.4, 0.55, 0.75, 0, 0.02, end_s=7.0),
            Actor("elephant_tusk", 0.5, 0.5, 0.5, 20, 0.004, start_s=8.0),
        ),
        Encoding(quality=27, keyframe_every=30),
        seed=3216,
        backdrop=horizon,
    ),
    Sample(
        "cat_photograph.mp4",
        "A real photograph, harmless: a pet cat is no wild cat.",
        ClipFormat(480, 320, 24, 6.0),
        (),
        Encoding(quality=26, keyframe_every=48),
        seed=1,
        backdrop=photograph("chelsea.png"),
    ),
    Sample(
        "coffee_photograph.mp4",
        "A real photograph, harmless: a white cup and wood, like ivory on a table.",
        ClipFormat(480, 320, 24, 6.0),
        (),
        Encoding(quality=26, keyframe_every=48),
        seed=2,
        backdrop=photograph("coffee.png"),
    ),
)


def draw_sample(sample: Sample, props: PropRoom) -> tuple[Clip, np.random.Generator]:
    """Build a sample's clip and the generator for its camera's grain."""
    rng = stream(Purpose.SAMPLES, sample.seed)
    layers = [_layer(actor, props, rng) for actor in sample.actors]
    height, width = round(sample.form.height * PAN_ROOM), round(sample.form.width * PAN_ROOM)
    backdrop = np.clip(sample.backdrop(rng, height, width), 0, 255).astype(np.uint8)
    camera = Camera(grain=1.5, pan=(0.08, 0.03))
    scene = Scene(backdrop, layers, camera, None, sample.form.height, sample.form.width)
    return Clip(scene, sample.form), rng


def _layer(actor: Actor, props: PropRoom, rng: np.random.Generator) -> Layer:
    label = actor.name if actor.name in STAGED else None
    if label is not None:
        cutout = props.labelled(label, rng)
    elif actor.name == "animal":
        cutout = props.animal(rng)
    else:
        cutout = props.lookalike(actor.name, rng)
    motion = Motion(x=actor.drift, growth=1.005, turn=0.6)
    return Layer(cutout, label, actor.x, actor.y, actor.size, actor.angle, motion, actor.start_s, actor.end_s)


def expected_action(labels: Sequence[str]) -> str:
    """A product blocks, but for a horn, which looks too much like other things; a live animal alone is reviewed."""
    if any(label in PRODUCTS and label != "rhino_horn" for label in labels):
        return "BLOCK"
    return "REVIEW" if labels else "ALLOW"


def write_samples(folder: Path, props: PropRoom, on_clip: Callable[[str, int], None]) -> None:
    """Write every sample and `truth.json` into `folder`; `on_clip` hears each name and size in bytes.

    Raises:
        SampleTooLargeError: a clip is larger than `MOST_BYTES`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    truth: dict[str, object] = {}
    for sample in SAMPLES:
        clip, rng = draw_sample(sample, props)
        path = folder / sample.file
        stored = (_as_stored(frame, sample.encoding.rotation) for frame in clip.frames(rng))
        write_video(path, stored, sample.form.fps, sample.encoding)
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise SampleTooLargeError(f"{sample.file} has {size} bytes, at most {MOST_BYTES} may be")
        spans = {label: [list(span) for span in times] for label, times in clip.truth().items()}
        truth[sample.file] = {
            "action": expected_action(list(spans)),
            "labels": spans,
            "note": sample.note,
        }
        on_clip(sample.file, size)
    (folder / "truth.json").write_text(json.dumps({"clips": truth}, indent=2) + "\n")


def _as_stored(frame: Picture, rotation: int) -> Picture:
    """The frame as the file holds it, so that a turn by `rotation` counter-clockwise sets it upright."""
    return np.ascontiguousarray(np.rot90(frame, -(rotation // 90)))
