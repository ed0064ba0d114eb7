"""deploy/kubernetes as kubectl renders it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkout import ROOT

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = ("cpu", "gpu", "rtx")
COMPONENTS = ("keda", "certificates", "redis", "rules", "models-from-bucket", "../../prometheus", "../../grafana")
GPU_COMPONENTS = ("keda-gpu", "mig")
RULES = (ROOT / "server/wildgate_server/policy.yaml", *(ROOT / "search/wildgate_search/lexicon").glob("*.yaml"))

Manifest = dict[str, Any]


@cache
def rendered(overlay: str) -> tuple[Manifest, ...]:
    """What `kubectl kustomize` makes of an overlay."""
    return _rendered(KUBERNETES / "overlays" / overlay)


def rendered_with_all(overlay: str, folder: Path) -> tuple[Manifest, ...]:
    """The same with every component that it can have."""
    chosen = COMPONENTS + (GPU_COMPONENTS if overlay == "gpu" else ())
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "wildgate",
        "resources": [f"../overlays/{overlay}"],
        "components": [f"../components/{name}" for name in chosen],
    }
    return rendered_beside(yaml.safe_dump(kustomization), folder)


def rendered_beside(kustomization: str, folder: Path) -> tuple[Manifest, ...]:
    """What is made of a kustomization beside the overlays, in a copy below `folder` that has operators' own files."""
    shutil.copytree(DEPLOY, folder / "deploy")
    home = folder / "deploy" / "kubernetes"
    for file in RULES:
        shutil.copy(file, home / "components" / "rules")
    (home / "ours").mkdir()
    (home / "ours" / "kustomization.yaml").write_text(kustomization)
    return _rendered(home / "ours")


def jobs() -> tuple[Manifest, ...]:
    """What is created by hand: jobs and pods of rollout/."""
    files = sorted((KUBERNETES / "rollout").glob("*.yaml"))
    return tuple(manifest for file in files for manifest in yaml.safe_load_all(file.read_text()))


def _rendered(directory: Path) -> tuple[Manifest, ...]:
    if not (kubectl := shutil.which("kubectl")):
        pytest.skip("kubectl is not installed: nothing renders the manifests")
    done = subprocess.run([kubectl, "kustomize", str(directory)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def kinds(manifests: tuple[Manifest, ...], *wanted: str) -> Iterator[Manifest]:
    return (manifest for manifest in manifests if manifest["kind"] in wanted)


def named(manifests: tuple[Manifest, ...], kind: str, name: str) -> Manifest:
    [found] = (manifest for manifest in kinds(manifests, kind) if manifest["metadata"]["name"] == name)
    return found


def pod_specs(manifests: tuple[Manifest, ...]) -> Iterator[tuple[str, Manifest, Manifest]]:
    """Name, labels and pod spec of everything that runs pods."""
    for manifest in manifests:
        if manifest["kind"] == "Pod":
            yield manifest["metadata"]["name"], manifest["metadata"]["labels"], manifest["spec"]
        elif manifest["kind"] in ("Deployment", "StatefulSet", "Job"):
            template = manifest["spec"]["template"]
            name = manifest["metadata"].get("name", manifest["metadata"].get("generateName"))
            yield name, template["metadata"]["labels"], template["spec"]


def containers(spec: Manifest) -> list[Manifest]:
    return [*spec.get("initContainers", []), *spec["containers"]]
