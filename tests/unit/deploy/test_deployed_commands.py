"""What containers are told, read by the commands themselves; and the ports, probes and targets that follow from it."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendered_manifests import (
    DEPLOY,
    KUBERNETES,
    OVERLAYS,
    Manifest,
    containers,
    jobs,
    kinds,
    named,
    pod_specs,
    rendered,
)
from typer.testing import CliRunner

from wildgate_build.cli import app
from wildgate_enforcement.settings import EnforcementSettings
from wildgate_search.settings import ScreeningSettings
from wildgate_server.blocks_command import BlockServiceSettings
from wildgate_server.gateway import LIVE_HEALTH
from wildgate_server.repository.model_configs import VIDEO_SCORER
from wildgate_server.settings import ServerSettings
from wildgate_server.triton.launch import STOP_TIMEOUT_S
from wildgate_server.triton.runtime import find_triton_runtime

COMMANDS: dict[tuple[str, ...], Any] = {
    ("serve",): ServerSettings,
    ("blocks", "serve"): BlockServiceSettings,
    ("enforce",): EnforcementSettings,
    ("screening",): ScreeningSettings,
}
VALUES = {
    "keys": "https://tokens.example/jwks.json",
    "issuer": "https://tokens.example",
    "database-url": "postgresql+asyncpg://u@h/n",
}
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


@dataclass(frozen=True)
class Server:
    """A container of ours, and the settings that it starts with."""

    name: str
    settings: Any
    container: Manifest
    pod: Manifest

    @property
    def listens(self) -> dict[str, int]:
        endpoint = getattr(self.settings, "endpoint", None)
        at = {
            "grpc": endpoint.address if endpoint else self.settings.listen,
            "metrics": (endpoint or self.settings).metrics,
            "health": endpoint.health if endpoint else None,
        }
        return {name: int(address.rpartition(":")[2]) for name, address in at.items() if address}


def settings_of(args: list[str], environment: dict[str, str], patch: pytest.MonkeyPatch) -> Any:
    """As the command reads them. Whatever it refuses fails the test."""
    [command] = (command for command in COMMANDS if tuple(args[: len(command)]) == command)
    with patch.context() as within:
        for name, value in environment.items():
            within.setenv(name, value)
        return COMMANDS[command].of_command_line(args[len(command) :])


def servers(overlay: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Server]:
    manifests = rendered(overlay)
    [settings] = (
        each for each in kinds(manifests, "ConfigMap") if each["metadata"]["name"].startswith("wildgate-gateway")
    )
    file = folder / "gateway.yaml"
    file.write_text(settings["data"]["gateway.yaml"])
    for name, _, spec in pod_specs(manifests):
        for container in spec["containers"]:
            if name == "triton":
                continue
            environment = {}
            for variable in container.get("env", []):
                source = variable.get("valueFrom", {})
                reference = source.get("configMapKeyRef") or source.get("secretKeyRef")
                environment[variable["name"]] = VALUES[reference["key"]] if reference else variable["value"]
            if "WILDGATE_CONFIG" in environment:
                environment["WILDGATE_CONFIG"] = str(file)
            yield Server(name, settings_of(container["args"], environment, patch), container, spec)


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_servers_listen_where_pods_and_probes_say(
    overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [*servers(overlay, tmp_path, monkeypatch)]
    assert {server.name for server in seen} == {"gateway", "blocks", "enforcement", "screening"}
    for server in seen:
        assert {port["name"]: port["containerPort"] for port in server.container["ports"]} == server.listens
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            probe = server.container[kind]
            if grpc := probe.get("grpc"):
                assert grpc["port"] == server.listens["health"]
                assert grpc.get("service", "") in {"", LIVE_HEALTH}, "health answers for no other service"
            else:
                assert probe["httpGet"]["port"] == "metrics"
                assert probe["httpGet"]["path"] in {"/healthz", "/readyz"}
        assert server.container["livenessProbe"].get("grpc", {}).get("service", LIVE_HEALTH) == LIVE_HEALTH


def test_servers_want_certificates_and_tokens(overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for server in servers(overlay, tmp_path, monkeypatch):
        mounted = [Path(mount["mountPath"]) for mount in server.container["volumeMounts"]]
        tls = server.settings.tls
        assert (tls.off, server.settings.access.off, server.settings.access.keys) == (False, False, VALUES["keys"])
        for file in (tls.cert, tls.key):
            assert file.parent in mounted


def test_what_servers_call_is_there(overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = rendered(overlay)
    targets = set()
    for server in servers(overlay, tmp_path, monkeypatch):
        settings = server.settings
        if server.name == "gateway":
            targets |= {settings.blocks.target, settings.enforcement.target, settings.backend.target}
        elif server.name == "enforcement":
            targets |= {settings.gateway, settings.blocks}
    for target in targets - {None}:
        host, _, port = target.removeprefix("dns:///").partition(":")
        service = named(manifests, "Service", host)
        assert service["spec"]["clusterIP"] == "None", (
            "a name with one address has all calls of a connection go one way"
        )
        assert int(port) in {each["port"] for each in service["spec"]["ports"]}
    assert ("dns:///triton:8001" in targets) is (overlay == "gpu")


def test_there_is_time_to_drain(overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [gateway] = (each for each in servers(overlay, tmp_path, monkeypatch) if each.name == "gateway")
    endpoint = gateway.settings.endpoint
    assert gateway.pod["terminationGracePeriodSeconds"] > endpoint.drain_pause_s + endpoint.drain_s + STOP_TIMEOUT_S
    starts_within = gateway.container["startupProbe"]
    assert (
        starts_within["periodSeconds"] * starts_within["failureThreshold"] > gateway.settings.backend.startup_timeout_s
    )


def test_profiles_are_those_of_the_overlays(overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [gateway] = (each for each in servers(overlay, tmp_path, monkeypatch) if each.name == "gateway")
    assert gateway.settings.backend.profile == overlay
    assert (gateway.settings.backend.target is not None) is (overlay == "gpu")


def options_are_known(args: list[str]) -> None:
    """`wildgate-build` looks at all options before it shows its help."""
    done = CliRunner().invoke(app, [*args, "--help"])
    assert done.exit_code == 0, done.output


def test_an_unknown_option_would_be_noticed() -> None:
    assert CliRunner().invoke(app, ["promote", "--no-such-option", "--help"]).exit_code == 2


def test_jobs_run_commands_that_there_are() -> None:
    seen = 0
    for _, _, spec in pod_specs(jobs() + rendered("gpu")):
        for container in containers(spec):
            if container.get("command") == ["wildgate-build"] or container["name"] == "engines":
                options_are_known(container["args"])
                seen += 1
    options_are_known(COMPOSE["engines"]["command"])
    for line in (KUBERNETES / "rollout" / "change.yaml").read_text().splitlines():
        for told in line.split("[")[1:] if line.startswith("#") else ():
            options_are_known(yaml.safe_load(f"[{told.partition(']')[0]}]"))
            seen += 1
    assert seen == 7


def triton_options() -> Iterator[list[str]]:
    spec = named(rendered("gpu"), "Deployment", "triton")["spec"]["template"]["spec"]
    yield spec["containers"][0]["args"]
    yield COMPOSE["triton"]["command"]


@pytest.mark.triton
def test_triton_knows_its_options() -> None:
    runtime = find_triton_runtime()
    usage = subprocess.run(
        [runtime.server, "--help"], env=runtime.environment(), capture_output=True, text=True, timeout=30
    )
    known = set((usage.stdout + usage.stderr).split())
    for args in triton_options():
        assert {arg.partition("=")[0] for arg in args} <= known


def test_triton_is_ready_when_it_can_score() -> None:
    triton = named(rendered("gpu"), "Deployment", "triton")["spec"]["template"]["spec"]
    [container] = triton["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    told = dict(arg.removeprefix("--").split("=") for arg in container["args"] if "=" in arg)
    assert ports == {kind: int(told[f"{kind}-port"]) for kind in ("http", "grpc", "metrics")}
    assert container["readinessProbe"]["httpGet"] == {"path": f"/v2/models/{VIDEO_SCORER}/ready", "port": "http"}
    ends_within = int(told["exit-timeout-secs"]) + container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert triton["terminationGracePeriodSeconds"] > ends_within
    [engines] = (each for each in triton["initContainers"] if each["name"] == "engines")
    assert told["model-repository"] == f"{engines['args'][2]}/models", "where `wildgate-build prepare` puts them"
    assert f"$(cat {engines['args'][2]}/arguments)" in container["command"][-2]


@pytest.mark.parametrize("name", [name for name, service in COMPOSE.items() if "wildgate-" in service["image"]])
def test_compose_tells_servers_what_they_know(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = COMPOSE[name]
    if name in {"engines", "triton"}:
        return  # looked at above
    environment = {key: value.replace("${ISSUER:-", "").rstrip("}") for key, value in service["environment"].items()}
    settings = settings_of(service.get("command", ["serve"]), environment, monkeypatch)
    server = Server(name, settings, service, service)
    assert server.listens["metrics"] == 9100, "where the image's health check looks"
    assert settings.access.keys == "/run/secrets/keys.pem"
    called = {settings.blocks.target, settings.enforcement.target} if hasattr(settings, "endpoint") else set()
    if name == "enforcement":
        called = {settings.gateway, settings.blocks}
    for target in called:
        host, _, port = target.partition(":")
        command = " ".join(COMPOSE["gateway-cpu" if host == "gateway" else host].get("command", []))
        assert f":{port}" in command or host == "gateway"
    for secret in service["secrets"]:
        assert f"/run/secrets/{secret}" in shlex.join([*environment.values(), *service.get("command", [])])
