"""The caller's token goes with each call, read anew from its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from wildgate_client import ClientOptions
from wildgate_client.errors import SourceUnreadable


def test_a_token_is_read_anew_for_each_call(tmp_path: Path) -> None:
    file = tmp_path / "token"
    options = ClientOptions(metadata=(("x-trace", "1"),), token_file=file)
    for token in ("first", "second"):
        file.write_text(f"{token}\n")
        assert options.call_metadata() == (("x-trace", "1"), ("authorization", f"Bearer {token}"))


def test_without_a_file_no_token_is_sent() -> None:
    assert ClientOptions().call_metadata() == ()


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"two\nlines", b""])
def test_a_file_that_holds_no_token_is_said_before_anything_is_sent(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SourceUnreadable, match="token"):
        ClientOptions(token_file=file).call_metadata()
