"""The INT8 benchmark: what cannot be used is named, without a traceback and before anything is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

import int8_against_fp32


@pytest.mark.parametrize("missing", ["--detector", "--int8"])
def test_a_missing_file_is_named(missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {name: str(int8_against_fp32.GRAPH) for name in ("--detector", "--int8")}
    files[missing] = str(tmp_path / "away.onnx")
    output = tmp_path / "figures.json"
    arguments = [word for pair in files.items() for word in pair]
    with pytest.raises(SystemExit) as ended:
        int8_against_fp32.main([*arguments, "--output", str(output)])
    assert ended.value.code == 2
    assert f"{tmp_path / 'away.onnx'}: there is no such file" in capsys.readouterr().err
    assert not output.exists()
