"""The committed sample clips: what the truth file says about them is so."""

import json

import av
import pytest
from checkout import ROOT

from wildgate_detector.labels import LABELS
from wildgate_detector.samples import MOST_BYTES, SAMPLES, expected_action

FOLDER = ROOT / "samples"
TRUTH = json.loads((FOLDER / "truth.json").read_text())["clips"]


def test_truth_and_recipe_and_folder_hold_the_same_clips() -> None:
    on_disk = {path.name for path in FOLDER.iterdir() if path.suffix in {".mp4", ".webm"}}
    assert set(TRUTH) == on_disk == {sample.file for sample in SAMPLES}
    assert 6 <= len(on_disk) <= 12


@pytest.mark.parametrize("name", sorted(TRUTH))
def test_a_clip_is_small_and_its_truth_fits_it(name: str) -> None:
    entry = TRUTH[name]
    assert (FOLDER / name).stat().st_size <= MOST_BYTES
    assert set(entry["labels"]) <= set(LABELS)
    assert entry["action"] == expected_action(list(entry["labels"]))
    with av.open(str(FOLDER / name)) as container:
        duration_s = container.duration / 1e6
    assert 4 <= duration_s <= 15.1
    for spans in entry["labels"].values():
        for start, end in spans:
            assert 0 <= start < end <= duration_s


def test_every_peculiarity_is_there() -> None:
    rotations, codecs, keyframes = {}, {}, {}
    for name in TRUTH:
        with av.open(str(FOLDER / name)) as container:
            stream = container.streams.video[0]
            codecs[name] = stream.codec_context.name
            keyframes[name] = sum(packet.is_keyframe for packet in container.demux(stream))
            container.seek(0)
            rotations[name] = next(container.decode(stream)).rotation
    assert [name for name, rotation in rotations.items() if rotation] == ["pelt_rotated_phone.mp4"]
    assert [name for name, codec in codecs.items() if codec != "h264"] == ["parrot.webm"]
    assert codecs["parrot.webm"] == "vp9"
    assert keyframes["scales_between_keyframes.mp4"] == 1
    assert TRUTH["scales_between_keyframes.mp4"]["labels"]["pangolin_scales"][0][0] > 4
    assert {entry["action"] for entry in TRUTH.values()} == {"ALLOW", "REVIEW", "BLOCK"}
