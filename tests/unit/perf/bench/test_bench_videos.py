"""Composed videos: tiny ones, as the large ones are made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from wildgate_perf.videos import CONTAINERS, Composition, compose, containers

TINY = Composition(seed=1, bit_rate=200_000, width=96, height=64, fps=10, seconds=3)


def composed(folder: Path, composition: Composition = TINY) -> Path:
    file = folder / f"{composition.name}.mp4"
    compose(composition, file)
    return file


def keyframe_times(file: Path) -> list[float]:
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        return [
            round(float(packet.pts * packet.time_base), 3)
            for packet in container.demux(stream)
            if packet.size and packet.is_keyframe
        ]


def test_a_video_is_as_long_and_has_the_keyframes_that_it_should(tmp_path: Path) -> None:
    file = composed(tmp_path)
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.codec_context.name) == (96, 64, "h264")
        assert sum(1 for _ in container.decode(stream)) == 30
    first = keyframe_times(file)
    assert [time - first[0] for time in first] == [0, 2]
    assert file.read_bytes()[:64].find(b"moov") > 0  # the index comes first


def test_seeds_make_different_pictures_and_the_same_seed_the_same(tmp_path: Path) -> None:
    def pictures(composition: Composition) -> np.ndarray:
        with av.open(str(composed(tmp_path, composition))) as container:
            return np.stack([frame.to_ndarray() for frame in container.decode(video=0)])

    first = pictures(TINY)
    assert np.array_equal(first, pictures(TINY))
    assert not np.array_equal(first, pictures(replace(TINY, seed=2)))
    assert first.std() > 10  # no blank pictures
    assert np.abs(first[5].astype(int) - first[0]).mean() > 2  # they move


@pytest.fixture
def tiny_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """All kinds of container, of a video that was composed tiny under the bench video's name."""
    for encoder, options in (("libx264", TINY.options), ("libvpx-vp9", (("deadline", "realtime"), ("cpu-used", "8")))):
        tiny = replace(TINY, encoder=encoder, options=options)
        compose(tiny, tmp_path / f"{Composition(0, 2_800_000, encoder=encoder).name}.mp4")
    return containers(tmp_path)


def test_every_container_holds_the_same_moments(tiny_kinds: dict[str, Path]) -> None:
    assert tiny_kinds.keys() == CONTAINERS.keys()
    for kind, file in tiny_kinds.items():
        with av.open(str(file)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 30, kind
        times = keyframe_times(file)
        assert [round(time - times[0], 2) for time in times] == [0, 2], kind


def test_containers_are_what_they_are_called(tiny_kinds: dict[str, Path]) -> None:
    content = {kind: file.read_bytes() for kind, file in tiny_kinds.items()}
    assert 0 < content["mp4_index_first"].find(b"moov") < content["mp4_index_first"].find(b"mdat")
    assert 0 < content["mp4_index_last"].find(b"mdat") < content["mp4_index_last"].find(b"moov")
    assert content["fragmented"].count(b"moof") >= 2
    assert b"moof" not in content["mp4_index_last"]
    assert content["webm"][:4] == bytes.fromhex("1a45dfa3")
    assert {content["ts"][place] for place in (0, 188, 376)} == {0x47}
