"""Configuration: command line over environment over defaults; what is wrong is named."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from wildgate_server.config_section import ConfigSection, host_and_port
from wildgate_server.main import serve_command
from wildgate_server.settings import ServerSettings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("WILDGATE_"):
            monkeypatch.delenv(name)


def parsed(*args: str) -> ServerSettings:
    return ServerSettings.of_command_line(list(args))


def fault(*args: str) -> tuple[str, object]:
    """Field and value of the only fault."""
    with pytest.raises(ValidationError) as refusal:
        parsed(*args)
    (found,) = refusal.value.errors()
    return ".".join(map(str, found["loc"])), found["input"]


def test_defaults_are_safe() -> None:
    settings = parsed()
    assert settings.endpoint.address.startswith("127.0.0.1:")
    assert settings.endpoint.metrics is None
    assert settings.source.file_roots == ()
    assert settings.backend.target is None
    assert settings.sampling.workers >= 1


def test_the_environment_over_defaults_and_the_command_line_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WILDGATE_SAMPLING__MAX_FRAMES", "10")
    monkeypatch.setenv("WILDGATE_SAMPLING__MAX_GAP_S", "3.5")
    monkeypatch.setenv("WILDGATE_POLICY", "/a.yaml")
    monkeypatch.setenv("WILDGATE_SOURCE__FILE_ROOTS", '["/a", "/b"]')
    settings = parsed("--sampling.max-frames", "20")
    assert settings.sampling.max_frames == 20
    assert settings.sampling.max_gap_s == 3.5, "the rest of the section is the environment's"
    assert settings.sampling.timeout_s == 10.0
    assert settings.policy == Path("/a.yaml")
    assert settings.source.file_roots == (Path("/a"), Path("/b"))
    assert parsed().sampling.max_frames == 10


@pytest.mark.parametrize(
    ("args", "section", "field", "value"),
    [
        (("--listen", "0.0.0.0:1"), "endpoint", "address", "0.0.0.0:1"),
        (("--metrics", "127.0.0.1:9"), "endpoint", "metrics", "127.0.0.1:9"),
        (("--triton", "dns:///t:8001"), "backend", "target", "dns:///t:8001"),
        (("--block-list", "/b", "--blocks.target", "h:1"), "blocks", "directory", Path("/b")),
        (("--model-repository", "/m"), "backend", "model_repository", Path("/m")),
        (("--file-root", "/a", "--file-root", "/b"), "source", "file_roots", (Path("/a"), Path("/b"))),
    ],
)
def test_short_names_on_the_command_line(args: tuple[str, ...], section: str, field: str, value: object) -> None:
    assert getattr(getattr(parsed(*args), section), field) == value


def test_a_file_lies_between_environment_and_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "wildgate.yaml"
    file.write_text("sampling: {max_frames: 10, max_gap_s: 3.5}\nbatch: {max_rows: 3}\n")
    monkeypatch.setenv("WILDGATE_CONFIG", str(file))
    monkeypatch.setenv("WILDGATE_SAMPLING__MAX_GAP_S", "1.5")
    settings = parsed("--batch.max-rows", "2")
    assert (settings.sampling.max_frames, settings.sampling.max_gap_s, settings.batch.max_rows) == (10, 1.5, 2)
    file.write_text("sampling: {max_frames: 0}\n")
    assert fault() == ("sampling.max_frames", 0)
    file.write_text("sampler: {max_frames: 1}\n")
    assert fault()[0] == "sampler"


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WILDGATE_CONFIG", "/nowhere/wildgate.yaml")
    assert serve_command([]) == 2
    assert "WILDGATE_CONFIG: there is no file /nowhere/wildgate.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "named"),
    [("endpoint: {address: 1", "is not YAML: while parsing a flow mapping"), ("[1, 2]", "holds no settings by name")],
)
def test_a_broken_file_is_named(
    text: str, named: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file := tmp_path / "wildgate.yaml").write_text(text)
    monkeypatch.setenv("WILDGATE_CONFIG", str(file))
    assert serve_command([]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"{file} {named}" in line


def test_secrets_are_read_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cache__redis_url").write_text("redis://:hidden@host\n")
    (tmp_path / "..data").mkdir()
    monkeypatch.setenv("WILDGATE_SECRETS", str(tmp_path))
    monkeypatch.setenv("WILDGATE_CACHE__MAX_ENTRIES", "7")
    cache = parsed().cache
    assert cache.redis_url is not None
    assert (cache.redis_url.get_secret_value(), cache.max_entries) == ("redis://:hidden@host", 7)
    (tmp_path / "cache__redis_ulr").write_text("redis://:hidden@host\n")
    with pytest.raises(SettingsError, match="cache__redis_ulr: there is no setting of this name") as refusal:
        parsed()
    assert "hidden" not in str(refusal.value)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("WILDGATE_SAMPLNG__MAX_FRAMES", "WILDGATE_SAMPLING__MAX_FRAMES"),
        ("WILDGATE_LOGLEVEL", "WILDGATE_LOG_LEVEL"),
        ("WILDGATE_MODELS__DIRECTORY", ""),
    ],
)
def test_a_variable_that_looks_like_a_setting_and_is_none_is_refused(
    variable: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "hidden")
    with pytest.raises(SettingsError, match=f"{variable}: there is no such setting") as refusal:
        parsed()
    assert meant in str(refusal.value)


@pytest.mark.parametrize(
    "variable",
    ["WILDGATE_GATEWAY_PORT_8100_TCP_ADDR", "WILDGATE_GATEWAY_SERVICE_HOST", "WILDGATE_SERVER", "WILDGATE_ENFORCE__X"],
)
def test_variables_of_kubernetes_and_of_other_programs_are_left_alone(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "10.0.0.1")
    assert parsed().check is False


@pytest.mark.parametrize(
    ("args", "status", "told"),
    [
        ([], 0, "the configuration is good"),
        (["--listen", "0.0.0.0:8100"], 2, "is not loopback"),
        (["--policy", "/nowhere/policy.yaml"], 2, "/nowhere/policy.yaml"),
        (["--drift.reference", "/nowhere/drift.yaml"], 2, "/nowhere/drift.yaml"),
        (["--sampling.secret-file", "/nowhere/secret"], 2, "sampling.secret_file: /nowhere/secret"),
        (["--tls.cert", "/nowhere/cert.pem", "--tls.key", "/nowhere/key.pem"], 2, "/nowhere/cert.pem"),
    ],
)
def test_a_configuration_is_checked_without_being_used(
    args: list[str], status: int, told: str, capsys: pytest.CaptureFixture[str], model_repository: Path
) -> None:
    assert serve_command(["--check", "--model-repository", str(model_repository), *args]) == status
    printed = capsys.readouterr()
    assert told in printed.out + printed.err


@pytest.mark.parametrize(
    ("args", "field", "value"),
    [
        (("--sampling.max-gap-s", "0"), "sampling.max_gap_s", "0"),
        (("--sampling.max-frames", "many"), "sampling.max_frames", "many"),
        (("--sampling.worker-memory-mb", "10"), "sampling.worker_memory_mb", "10"),
        (("--admission.max-in-flight", "0"), "admission.max_in_flight", "0"),
        (("--batch.max-wait-ms", "-1"), "batch.max_wait_ms", "-1"),
        (("--listen", "8100"), "endpoint.address", "8100"),
        (("--log-level", "loud"), "log_level", "loud"),
        (("--source.ports", "0"), "source.ports.0", 0),
        (("--source.ports", "65536"), "source.ports.0", 65536),
        (("--source.ports", "ssh"), "source.ports.0", "ssh"),
        (("--sampling.containers", "mov", "--sampling.containers", "hls"), "sampling.containers.1", "hls"),
        (("--sampling.containers", "movie"), "sampling.containers.0", "movie"),
        (("--sampling.max-tracks", "0"), "sampling.max_tracks", "0"),
        # A fault in one section is told alone, not with what it makes of another.
        (("--source.fetch-timeout-s", "0", "--sampling.timeout-s", "8"), "source.fetch_timeout_s", "0"),
    ],
)
def test_what_is_wrong_is_named_with_its_value(args: tuple[str, ...], field: str, value: object) -> None:
    assert fault(*args) == (field, value)


@pytest.mark.parametrize("args", [("--sampling.timeout-s", "8"), ("--source.fetch-timeout-s", "10")])
def test_fetching_has_to_end_before_sampling_does(args: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert serve_command(list(args)) == 2
    printed = capsys.readouterr().err
    assert re.search(r"source\.fetch_timeout_s \(\d+\) must be less than sampling\.timeout_s \(\d+\)", printed)
    assert args[1] in printed
    assert parsed("--sampling.timeout-s", "8", "--source.fetch-timeout-s", "7.9").sampling.timeout_s == 8


def test_cases_have_to_be_kept_somewhere() -> None:
    with pytest.raises(ValidationError, match="target wants a spool_directory"):
        parsed("--enforcement.target", "cases:8102")
    assert parsed().enforcement.target is None


def test_a_misspelled_name_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WILDGATE_SAMPLING__MAX_FRAME", "10")
    assert fault() == ("sampling.max_frame", "10")


@pytest.mark.parametrize("text", ["localhost:0", "127.0.0.1:65535", "[::1]:80", "host:8100"])
def test_host_and_port(text: str) -> None:
    assert host_and_port(text) == text


@pytest.mark.parametrize("text", ["", "host", ":80", "host:", "host:x", "host:65536", "host:-1"])
def test_no_host_and_port(text: str) -> None:
    with pytest.raises(ValueError, match="not HOST:PORT"):
        host_and_port(text)


def test_settings_cannot_be_changed() -> None:
    settings = parsed()
    with pytest.raises(ValidationError, match="frozen"):
        settings.log_level = "debug"
    with pytest.raises(ValidationError, match="frozen"):
        settings.sampling.max_frames = 3


def test_the_redis_s_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WILDGATE_CACHE__REDIS_URL", "redis://user:hidden@host")
    settings = parsed()
    assert settings.cache.redis_url is not None
    assert settings.cache.redis_url.get_secret_value() == "redis://user:hidden@host"
    assert "hidden" not in repr(settings) + settings.model_dump_json()


DEFAULTS = [field.default for field in ServerSettings.model_fields.values()]
SECTIONS = [ServerSettings, *(type(default) for default in DEFAULTS if isinstance(default, ConfigSection))]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_field_is_explained_in_the_help(section: type) -> None:
    for name, field in section.model_fields.items():
        is_section = field.annotation in SECTIONS  # explains itself by its docstring
        assert is_section or field.description, name


def test_the_help_names_values_by_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--help")
    shown = capsys.readouterr().out
    assert shown.startswith("usage: wildgate serve [OPTION VALUE] ...\n\n")
    assert "--source.ports int,..." in shown
    assert not re.search(r"tuple|SecretStr|Path\b|IPv4Network|default: (None|\(\))", shown)


def test_serve_names_what_is_wrong_and_exits_with_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert serve_command(["--listen", "nowhere", "--batch.max-rows", "0"]) == 2
    printed = capsys.readouterr().err
    for part in ("endpoint.address", "'nowhere'", "batch.max_rows"):
        assert part in printed
