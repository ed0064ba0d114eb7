"""What grows is told from what comes and goes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wildgate_perf.soak.holdings import Moment, growths


def leaking(what: str, held: Callable[[int], float], moments: int = 60) -> bool:
    [growth] = growths([Moment(float(at), {what: held(at)}) for at in range(moments)])
    return growth.leaks


@pytest.mark.parametrize(
    ("held", "leaks"),
    [
        pytest.param(lambda at: 200.0 + at, True, id="grows all the time"),
        pytest.param(lambda at: 200.0 + at + 30 * (at % 4 == 0), True, id="grows, and comes and goes"),
        pytest.param(lambda at: 200.0, False, id="stays"),
        pytest.param(lambda at: 200.0 + 40 * (at % 2), False, id="comes and goes"),
        pytest.param(lambda at: 200.0 + min(at, 8), False, id="grows a little, and no more"),
        pytest.param(lambda at: 200.0 + 0.2 * at, False, id="grows by less than comes and goes"),
        pytest.param(lambda at: 300.0 - at, False, id="shrinks"),
    ],
)
def test_memory(held: Callable[[int], float], leaks: bool) -> None:
    assert leaking("memory of gateway, MiB", held) is leaks


@pytest.mark.parametrize("what", ["descriptors", "threads", "processes", "files", "shared memory, MiB"])
def test_each_kind_is_found_out(what: str) -> None:
    assert leaking(what, lambda at: 20.0 + at)


def test_too_few_moments_say_nothing() -> None:
    with pytest.raises(ValueError, match="5 moments"):
        leaking("files", lambda at: 1.0, moments=5)
