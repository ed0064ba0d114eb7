"""Files of other content with the same pictures, and the catalogue's popularity."""

from __future__ import annotations

import io
import random
from collections import Counter
from pathlib import Path

import av
import pytest

from wildgate_perf.load_test.options import LoadOptions
from wildgate_perf.load_test.videos import FreshFile, Video, VideoSource, relabelled

MARK = bytes(range(16))


def packets(content: bytes) -> list[bytes]:
    with av.open(io.BytesIO(content)) as container:
        return [bytes(packet) for packet in container.demux(video=0)]


def composed(folder: Path, name: str) -> Path:
    """A tiny video of five frames."""
    path = folder / name
    with av.open(path, "w") as container:
        stream = container.add_stream("libvpx" if path.suffix in (".webm", ".mkv") else "mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.webm", "a.mkv"])
def test_a_relabelled_file_is_another_with_the_same_pictures(tmp_path: Path, name: str) -> None:
    video = Video(name, composed(tmp_path, name).read_bytes())
    other = relabelled(video, MARK)
    assert other != video.content
    assert other != relabelled(video, MARK[::-1])
    assert packets(other) == packets(video.content)


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_a_fresh_file_has_another_length_each_time(tmp_path: Path, name: str) -> None:
    video, chance = Video(name, composed(tmp_path, name).read_bytes()), random.Random(3)
    file, sizes = FreshFile(tmp_path / "by_uri", video, "user-1"), set()
    assert file.path == tmp_path / "by_uri" / f"user-1{Path(name).suffix}"
    for _ in range(5):
        file.renew(chance)
        sizes.add(file.path.stat().st_size)
        assert packets(file.path.read_bytes()) == packets(video.content)
    assert len(sizes) == 5
    file.remove()
    file.remove()
    assert not file.path.exists()


def source(repeated_share: float, salt: bytes = MARK, catalogue: int = 5, zipf_exponent: float = 0.5) -> VideoSource:
    videos = [Video(f"{number}.mp4", b"....ftyp" + bytes([number])) for number in range(2)]
    options = LoadOptions(
        salt=salt.hex(), repeated_share=repeated_share, catalogue=catalogue, zipf_exponent=zipf_exponent
    )
    return VideoSource(options, videos)


@pytest.mark.parametrize("exponent", [1.0, 0.0])
def test_popularity_follows_zipf(exponent: float) -> None:
    chance, videos = random.Random(7), source(1.0, catalogue=100, zipf_exponent=exponent)
    drawn = sorted(Counter(videos.mixed(chance) for _ in range(20_000)).values(), reverse=True)
    assert len(drawn) == 100
    whole = sum(rank**-exponent for rank in range(1, 101))
    if exponent:
        for number in (0, 1, 3):
            assert drawn[number] / 20_000 == pytest.approx(1 / ((number + 1) * whole), rel=0.1)
    else:
        assert drawn[0] < 1.5 * drawn[-1]


def test_fresh_files_never_come_twice() -> None:
    chance, videos = random.Random(1), source(0.5)
    assert len({videos.fresh(chance) for _ in range(500)}) == 500


def test_a_share_of_the_mix_is_repeated() -> None:
    chance, videos = random.Random(1), source(0.8)
    drawn = Counter(videos.mixed(chance) for _ in range(2000))
    often = [count for count in drawn.values() if count > 1]
    assert len(often) == 5  # the catalogue
    assert sum(often) / 2000 == pytest.approx(0.8, rel=0.05)


def test_processes_that_share_a_salt_share_the_catalogue() -> None:
    one, other = random.Random(1), random.Random(2)
    drawn = [{videos.mixed(chance) for _ in range(300)} for chance, videos in ((one, source(1)), (other, source(1)))]
    assert drawn[0] == drawn[1]
    assert not drawn[0] & {source(1, salt=b"another process!").mixed(one) for _ in range(300)}
