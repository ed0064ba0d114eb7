"""The manifests in deploy/kubernetes: valid, at one with each other, and shut as far as they can be."""

from __future__ import annotations

import re
from pathlib import Path

import kubernetes_validate
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
    rendered_beside,
    rendered_with_all,
)

NO_SCHEMA = {"ScaledObject", "ServiceMonitor", "PrometheusRule", "Certificate", "Issuer"}
"""Kinds of KEDA, the Prometheus operator and cert-manager, whose schemas kubernetes-validate has not."""


def valid(manifest: Manifest) -> None:
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_manifest_is_valid(overlay: str) -> None:
    for manifest in rendered(overlay) + jobs():
        valid(manifest)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_so_is_it_with_every_component(overlay: str, tmp_path: Path) -> None:
    manifests = rendered_with_all(overlay, tmp_path)
    for manifest in manifests:
        if manifest["kind"] not in NO_SCHEMA:
            valid(manifest)
    mounts_exist(manifests)
    assert {manifest["kind"] for manifest in manifests} > NO_SCHEMA
    claims = {claim["metadata"]["name"] for claim in kinds(manifests, "PersistentVolumeClaim")}
    assert claims == ({"engines"} if overlay == "gpu" else set()), "models come from the bucket"
    if overlay == "gpu":
        [triton] = named(manifests, "Deployment", "triton")["spec"]["template"]["spec"]["containers"]
        assert triton["resources"]["limits"].keys() == {"memory", "nvidia.com/mig-2g.20gb"}


def test_the_example_in_the_docs_renders(tmp_path: Path) -> None:
    text = (DEPLOY.parent / "docs" / "operating.md").read_text()
    [example] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    manifests = rendered_beside(example, tmp_path)
    maps = {each["metadata"]["name"].rpartition("-")[0]: each["data"] for each in kinds(manifests, "ConfigMap")}
    assert maps["wildgate-access"] == {"issuer": "https://tokens.example", "keys": "https://tokens.example/jwks.json"}
    [gateway] = named(manifests, "StatefulSet", "gateway")["spec"]["template"]["spec"]["containers"]
    assert gateway["image"] == "registry.yours/wildgate-gateway@sha256:..."


def mounts_exist(manifests: tuple[Manifest, ...]) -> None:
    claims = {
        claim["metadata"]["name"]
        for manifest in kinds(manifests, "StatefulSet")
        for claim in manifest["spec"].get("volumeClaimTemplates", [])
    }
    for name, _, spec in pod_specs(manifests):
        volumes = {volume["name"] for volume in spec["volumes"]} | claims
        for container in containers(spec):
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_shut(overlay: str) -> None:
    """As the pod security standard "restricted" asks, and with nothing to write to but named volumes."""
    for name, _, spec in pod_specs(rendered(overlay) + jobs()):
        pod = spec["securityContext"]
        assert (pod["runAsNonRoot"], pod["runAsUser"], pod["seccompProfile"]["type"]) == (
            True,
            10001,
            "RuntimeDefault",
        ), name
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["priorityClassName"] in {"wildgate-serving", "wildgate-jobs"}, name
        for container in containers(spec):
            context = container["securityContext"]
            assert (context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"]) == (True, False), name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert "memory" in container["resources"]["limits"], name
            assert "cpu" in container["resources"]["requests"], name
            assert re.search(r":\d+\.\d+(\.\d+)?$", container["image"]), (
                f"{name}: {container['image']} names no version"
            )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_serves_is_probed_and_outlives_evictions(overlay: str) -> None:
    manifests = rendered(overlay)
    kept = {
        budget["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"]
        for budget in kinds(manifests, "PodDisruptionBudget")
    }
    for manifest in kinds(manifests, "Deployment", "StatefulSet"):
        name = manifest["metadata"]["name"]
        spec = manifest["spec"]["template"]["spec"]
        assert name in kept or manifest["spec"].get("replicas") == 1, name
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= spec["containers"][0].keys(), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_policies_and_monitors_name_ports_that_there_are(overlay: str, tmp_path: Path) -> None:
    manifests = rendered_with_all(overlay, tmp_path)
    ports: dict[str, set[str]] = {}
    for _, labels, spec in pod_specs(manifests):
        ports[labels["app.kubernetes.io/name"]] = {
            port["name"] for container in spec["containers"] for port in container.get("ports", [])
        }
    for service in kinds(manifests, "Service"):
        selected = ports[service["spec"]["selector"]["app.kubernetes.io/name"]]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= selected
    for policy in kinds(manifests, "NetworkPolicy"):
        selector = policy["spec"]["podSelector"].get("matchLabels")
        for rule in policy["spec"].get("ingress", []):
            named_ports = {port["port"] for port in rule["ports"]}
            assert named_ports <= (ports[selector["app.kubernetes.io/name"]] if selector else {"metrics"})
        for rule in policy["spec"].get("egress", []):
            for peer in rule.get("to", []):
                if labels := peer.get("podSelector", {}).get("matchLabels"):
                    assert {port["port"] for port in rule["ports"]} <= ports[labels["app.kubernetes.io/name"]]
    for monitor in kinds(manifests, "ServiceMonitor"):
        assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} == {"metrics"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_autoscalers_scale_what_there_is_by_what_the_adapter_offers(overlay: str) -> None:
    manifests = rendered(overlay)
    adapter = yaml.safe_load((KUBERNETES / "components/autoscaling/adapter-rules.yaml").read_text())
    offered = {
        "Pods": {rule["name"]["as"] for rule in adapter["rules"]},
        "External": {rule["name"]["as"] for rule in adapter["externalRules"]},
    }
    scalers = [*kinds(manifests, "HorizontalPodAutoscaler")]
    assert {scaler["metadata"]["name"] for scaler in scalers} >= {"gateway", "screening"}
    for scaler in scalers:
        target = scaler["spec"]["scaleTargetRef"]
        scaled = named(manifests, target["kind"], target["name"])
        if target["name"] != "screening":
            assert "replicas" not in scaled["spec"], "each apply would undo what was scaled"
        for metric in scaler["spec"]["metrics"]:
            if metric["type"] in offered:
                assert metric[metric["type"].lower()]["metric"]["name"] in offered[metric["type"]]


def test_our_images_are_of_one_version() -> None:
    """That of the distribution, in manifests, jobs and compose.yaml alike."""
    version = re.search(r'^version = "(.+)"$', (DEPLOY.parent / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    images = {
        container["image"]
        for overlay in OVERLAYS
        for _, _, spec in pod_specs(rendered(overlay) + jobs())
        for container in containers(spec)
    }
    images |= {
        service["image"] for service in yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"].values()
    }
    ours = {image for image in images if "wildgate" in image}
    assert len(ours) > 6
    assert {image.rpartition(":")[2] for image in ours} == {version[1]}


def test_docs_name_every_secret_that_pods_want() -> None:
    """What an operator has to make before the first start."""
    told = (DEPLOY.parent / "docs" / "operating.md").read_text()
    for overlay in OVERLAYS:
        for _, _, spec in pod_specs(rendered(overlay)):
            for secret in {volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume}:
                assert f"`{secret}`" in told, secret
