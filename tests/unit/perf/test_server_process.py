"""How settings reach the server."""

from __future__ import annotations

from pathlib import Path

from wildgate_perf.server_process import settings_environment
from wildgate_server.settings import ServerSettings


def test_settings_are_read_as_they_were_given(monkeypatch, tmp_path: Path) -> None:
    given = {
        "sampling__workers": 3,
        "sampling__max_gap_s": 1.5,
        "source__file_roots": [tmp_path],
        "backend__target": "127.0.0.1:9",
        "backend__log_dir": tmp_path / "logs",
        "policy": None,
    }
    for name, value in settings_environment(given).items():
        monkeypatch.setenv(name, value)
    settings = ServerSettings()
    assert (settings.sampling.workers, settings.sampling.max_gap_s) == (3, 1.5)
    assert settings.source.file_roots == (tmp_path,)
    assert settings.backend.target == "127.0.0.1:9"
    assert settings.backend.log_dir == tmp_path / "logs"
    assert settings.policy is None
