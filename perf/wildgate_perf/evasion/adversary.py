"""Moves the contraband about until the rule sees as little of it as can be: encode, plan, move, and again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

from blake3 import blake3

from wildgate_perf.evasion import attacks, drafts, encoding, pictures, tampering
from wildgate_perf.evasion.attacks import Attempt
from wildgate_perf.evasion.drafts import Draft, Shot
from wildgate_perf.evasion.pictures import Scene
from wildgate_perf.evasion.rule import Rule
from wildgate_perf.server_parts import Scrutiny, WildgateError, available_cores

__all__ = ["draft_of", "played", "video_of"]

_MOVES = 4
_EDGE_S = 1.0  # at either end, where the contraband is not put


def played(attempts: Sequence[Attempt], folder: Path, repository: Path) -> list[Path]:
    """A video for each attempt. Kept in `folder`: what was encoded once is not again, wherever the contraband lay."""
    kept = folder / _making()
    kept.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(available_cores(), get_context("spawn")) as pool:
        return list(pool.map(partial(_played, folder=kept, repository=repository), attempts, chunksize=4))


def _played(attempt: Attempt, folder: Path, repository: Path) -> Path:
    return video_of(attempt, folder, _rule(repository))


def video_of(attempt: Attempt, folder: Path, rule: Rule) -> Path:
    """The attempt's video, with the contraband where `rule`, which is to have no secret, looks at least of it."""
    draw = random.Random(attempt.name)
    starts = _starts(attempt)
    draw.shuffle(starts)  # of several that are as good, the first is taken
    start = starts[0]
    tried: dict[int, tuple[float, float, Path]] = {}
    while True:
        file = _kept(attempt, start, folder)
        content = file.read_bytes()
        try:
            looks, closer_s = rule.looks(content), rule.times_s(content, Scrutiny.HIGH)
        except WildgateError:  # a server refuses it, too
            return file
        tried[start] = sum(look.contraband for look in looks), _exposed(attempt, start, closer_s), file
        best, looked_at_s = min(tried.values()), [look.time_s for look in looks]
        left = [
            (_exposed(attempt, each, looked_at_s), _exposed(attempt, each, closer_s), number)
            for number, each in enumerate(starts)
            if each not in tried
        ]
        if not left or len(tried) == _MOVES or min(left)[:2] >= best[:2]:
            return best[2]
        start = starts[min(left)[2]]


def draft_of(attempt: Attempt, start: int) -> Draft:
    """The attempt's draft with the contraband from frame `start` on."""
    attack, shot = attempt.attack, Shot(start, attempt.frames_shown)
    return Draft.of(attack.form, attempt.encoder, Scene.drawn(attempt.seed), attack.shape, shot)


def _starts(attempt: Attempt) -> list[int]:
    """Where the contraband may begin so that all of it is shown."""
    form = attempt.attack.form
    shown = draft_of(attempt, 0).shown
    if not shown or len(shown) == form.frames:
        return [0]
    edge = round(_EDGE_S * form.fps)
    return list(range(edge, form.frames - edge - shown[-1]))


def _exposed(attempt: Attempt, start: int, looked_at_s: Sequence[float]) -> float:
    """How much of the contraband, put at `start`, would be seen at these times: a frame of full opacity counts 1."""
    attack, shot = attempt.attack, Shot(start, attempt.frames_shown)
    return sum(attack.shape(round(time_s * attack.form.fps), shot, attack.form) for time_s in looked_at_s)


def _kept(attempt: Attempt, start: int, folder: Path) -> Path:
    file = folder / f"{attempt.name}-at-{start}"
    if not file.exists():
        part = file.with_suffix(".part")
        part.write_bytes(attempt.attack.make(draft_of(attempt, start)))
        part.replace(file)
    return file


def _making() -> str:
    """Names the code that makes videos: what other code made is not taken for its own."""
    sources = (attacks, drafts, encoding, pictures, tampering)
    return blake3(b"".join(Path(str(module.__file__)).read_bytes() for module in sources)).hexdigest()[:12]


_rule = cache(Rule)  # for all videos of a process
