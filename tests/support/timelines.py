"""Random videos as lists of samples, with what is true of them known from how they were made."""

from __future__ import annotations

import random
from dataclasses import dataclass

from wildgate_server.media.sample import Sample


@dataclass(frozen=True)
class Timeline:
    """`shown_s` are the times, ascending, of the frames that can be decoded and are displayed.

    `first_s` and `last_s` are the times of the first and last frame that is displayed, if a decoder can have it or not.
    """

    samples: list[Sample]
    shown_s: list[float]

    @property
    def first_s(self) -> float:
        return min(sample.time_s for sample in self.samples if sample.displayed)

    @property
    def last_s(self) -> float:
        return max(sample.time_s for sample in self.samples if sample.displayed)


def random_timeline(seed: int) -> Timeline:
    """Groups of pictures of random length: some open, some reordered, with jitter, holes and an edit list."""
    rng = random.Random(seed)
    frame_s = rng.choice([1 / 60, 1 / 30, 0.04, 0.1, 0.5])
    hole_chance = rng.choice([0.0, 0.02, 0.2])
    open_gops = rng.random() < 0.4
    reordered = rng.random() < 0.6
    first_s = rng.choice([0.0, -1.3, 7.25])
    hidden_until_s = first_s + rng.choice([0.0, 0.0, rng.uniform(0, 3)])

    samples: list[Sample] = []
    shown_s: list[float] = []
    time_s = first_s
    for gop in range(rng.randint(1, 12)):
        times = []
        for _ in range(rng.choice([1, 2, rng.randint(1, 30), rng.randint(1, 120)])):
            times.append(time_s)
            time_s += frame_s * rng.uniform(0.5, 1.5) + (rng.uniform(1, 9) if rng.random() < hole_chance else 0.0)
        leading = rng.randint(0, min(3, len(times) - 1)) if open_gops else 0
        decode_order = [leading, *range(leading), *_reordered(range(leading + 1, len(times)), rng, reordered)]
        for place in decode_order:
            displayed = times[place] >= hidden_until_s
            samples.append(Sample(times[place], place == leading, displayed))
            if displayed and (gop or place >= leading):  # nothing precedes the first keyframe's leading pictures
                shown_s.append(times[place])
    return Timeline(samples, sorted(shown_s))


def _reordered(places: range, rng: random.Random, reordered: bool) -> list[int]:
    """Decode order of a run of frames: of each group, the last comes first and the B-frames before it follow."""
    order: list[int] = []
    at = 0
    while at < len(places):
        group = list(places[at : at + (rng.randint(1, 4) if reordered else 1)])
        order += [group[-1], *group[:-1]]
        at += len(group)
    return order


def regular(count: int, frame_s: float, keyframe_every: int) -> list[Sample]:
    """A video without reordering, a keyframe at each multiple of `keyframe_every`."""
    return [Sample(at * frame_s, at % keyframe_every == 0) for at in range(count)]
