"""The secret: where it comes from, what it makes of a video, and what is wrong with one that is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from wildgate_server.errors import SettingsConflict
from wildgate_server.sampling.secret import SamplingSecret

DIGEST = "blake3:00"


def secret(directory: Path, content: bytes) -> SamplingSecret:
    file = directory / "secret"
    file.write_bytes(content)
    return SamplingSecret.of(file, shared=True)


def test_who_shares_a_secret_draws_the_same(tmp_path: Path) -> None:
    here, there = secret(tmp_path, b"0123456789abcdef"), secret(tmp_path, b"0123456789abcdef\n")
    assert (here.seed(DIGEST), here.fingerprint) == (there.seed(DIGEST), there.fingerprint)
    # printf blake3:00 | openssl dgst -sha256 -hmac 0123456789abcdef
    assert here.seed(DIGEST).hex() == "46d3ee18bdfe7baed7b5795282f7f1b824c0e68d8ac027ded9e32db92330bdb4"


def test_another_secret_or_another_video_draws_something_else(tmp_path: Path) -> None:
    one, other = secret(tmp_path, b"0123456789abcdef"), secret(tmp_path, b"0123456789abcdeg")
    assert len({one.seed(DIGEST), other.seed(DIGEST), one.seed("blake3:01")}) == 3
    assert one.fingerprint != other.fingerprint


def test_without_a_file_every_process_has_its_own() -> None:
    here, there = (SamplingSecret.of(None, shared=False) for _ in range(2))
    assert here.fingerprint != there.fingerprint
    assert here.seed(DIGEST) != there.seed(DIGEST)


def test_without_a_file_nothing_is_drawn_where_verdicts_are_shared() -> None:
    here, there = (SamplingSecret.of(None, shared=True) for _ in range(2))
    assert here.fingerprint == there.fingerprint
    assert here.seed(DIGEST) == b""


def test_a_short_secret_is_refused_without_being_told(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsConflict, match=r"sampling\.secret_file: .*secret holds 6 bytes, at least 16"
    ) as refusal:
        secret(tmp_path, b" short1 ")
    assert "short1" not in str(refusal.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsConflict, match=r"sampling\.secret_file: .*none: No such file"):
        SamplingSecret.of(tmp_path / "none", shared=False)
