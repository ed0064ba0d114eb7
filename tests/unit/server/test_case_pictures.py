"""Which pictures a case gets."""

from __future__ import annotations

from time import monotonic
from types import SimpleNamespace

from wildgate_server.case_pictures import case_pictures
from wildgate_server.inference.detections import Detection
from wildgate_server.policy import Action

BOX = (0.0, 0.0, 1.0, 1.0)


async def test_each_label_that_called_for_it_is_shown_before_more_of_one() -> None:
    elephants = [Detection("live_elephant", 0.99, time_s, BOX) for time_s in (0.0, 1.0, 2.0)]
    tusks = [Detection("elephant_tusk", 0.8, 9.0, BOX), Detection("elephant_tusk", 0.7, 8.0, BOX)]
    unsure = [Detection("live_bear", 0.9, 5.0, BOX)]  # of this label nothing came
    judged = [SimpleNamespace(label="elephant_tusk"), SimpleNamespace(label="live_elephant")]
    scored = SimpleNamespace(
        judgement=SimpleNamespace(action=Action.BLOCK, labels=judged),
        tracks=[SimpleNamespace(detections=[*elephants, *tusks, *unsure])],
        evidence=("the highest score", "and the next"),  # what the caller asked for
    )
    asked = []

    class Scorer:
        async def pictures(self, _: object, wanted: set[tuple[int, float]], *, deadline: float) -> dict:
            asked.append(wanted)
            return {}

    for count in (2, 3, 6):
        await case_pictures(Scorer(), scored, None, count, monotonic() + 60)
    assert asked == [
        {(0, 9.0), (0, 0.0)},
        {(0, 9.0), (0, 0.0), (0, 8.0)},
        {(0, 9.0), (0, 0.0), (0, 8.0), (0, 1.0), (0, 2.0), (0, 5.0)},
    ]
