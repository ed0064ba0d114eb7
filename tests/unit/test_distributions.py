"""What each wheel brings: the client stands alone, and no wheel has another's code."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from checkout import ROOT

PACKAGES = {
    "client": {"wildgate_client", "wildgate_proto"},
    ".": {
        *("wildgate_server", "wildgate_build", "wildgate_bulk", "wildgate_search"),
        *("wildgate_enforcement", "wildgate_console"),
    },
    "perf": {"wildgate_perf"},
}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {project: build(project, tmp_path_factory.mktemp("wheel")) for project in PACKAGES}


def build(project: str, directory: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(command, cwd=ROOT / project, check=True, capture_output=True, timeout=60)
    [wheel] = directory.glob("*.whl")
    return wheel


def distribution(wheel: Path) -> metadata.Distribution:
    return next(iter(metadata.distributions(path=[str(wheel)])))


def requirements(wheel: Path) -> list[str]:
    return [needed for needed in distribution(wheel).requires or [] if "extra ==" not in needed]


@pytest.mark.parametrize("project", PACKAGES)
def test_a_wheel_brings_its_own_packages_alone(wheels: dict[str, Path], project: str) -> None:
    names = zipfile.ZipFile(wheels[project]).namelist()
    assert {top for name in names if not (top := name.partition("/")[0]).endswith(".dist-info")} == PACKAGES[project]
    assert not [name for name in names if "__pycache__" in name]


def test_the_client_needs_grpc_and_protobuf_alone(wheels: dict[str, Path]) -> None:
    assert sorted(requirements(wheels["client"])) == [
        "googleapis-common-protos>=1.70",
        "grpcio>=1.81.1",
        "protobuf<8,>=6.33.5",
    ]


def test_the_distributions_are_of_one_version(wheels: dict[str, Path]) -> None:
    [version] = {distribution(wheel).version for wheel in wheels.values()}
    ours = {needed for wheel in wheels.values() for needed in requirements(wheel) if needed.startswith("wildgate")}
    assert ours == {f"wildgate-client[cli]=={version}", f"wildgate=={version}"}


def test_the_client_s_wheel_is_enough_to_import_it(wheels: dict[str, Path], tmp_path: Path) -> None:
    """From its unpacked wheel, with what it depends on and nothing else of ours in reach."""
    zipfile.ZipFile(wheels["client"]).extractall(tmp_path)
    program = (
        f"import sys; sys.path[:] = [path for path in sys.path if not path.startswith({str(ROOT)!r} + '/') "
        f"or 'site-packages' in path]; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import wildgate_client, wildgate_client.cli\n"
        "print(wildgate_client.__file__)\n"
        "print(*{name.partition('.')[0] for name in sys.modules if name.startswith('wildgate')})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    where, packages = done.stdout.splitlines()
    assert where.startswith(str(tmp_path)), done.stderr
    assert set(packages.split()) == PACKAGES["client"]
