"""What each wheel brings: the client stands alone, and no wheel has another's code."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from checkout import ROOT


def built(tmp_path: Path, project: str) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT / project, check=True, capture_output=True, timeout=60)
    [wheel] = tmp_path.glob("*.whl")
    return wheel


@pytest.mark.parametrize(
    ("project", "packages"),
    [
        ("client", {"wildgate_client", "wildgate_proto"}),
        (".", {"wildgate_server", "wildgate_build"}),
        ("perf", {"wildgate_perf"}),
    ],
)
def test_a_wheel_brings_its_own_packages_alone(tmp_path: Path, project: str, packages: set[str]) -> None:
    names = zipfile.ZipFile(built(tmp_path, project)).namelist()
    assert {top for name in names if not (top := name.partition("/")[0]).endswith(".dist-info")} == packages
    assert not [name for name in names if "__pycache__" in name]


def test_the_client_s_wheel_is_enough_to_import_it(tmp_path: Path) -> None:
    """From its unpacked wheel, with what it depends on and nothing else of ours in reach."""
    zipfile.ZipFile(built(tmp_path, "client")).extractall(tmp_path / "wheel")
    program = (
        f"import sys; sys.path[:] = [path for path in sys.path if not path.startswith({str(ROOT)!r} + '/') "
        f"or 'site-packages' in path]; sys.path.insert(0, {str(tmp_path / 'wheel')!r})\n"
        "import wildgate_client, wildgate_client.cli\n"
        "print(wildgate_client.__file__)\n"
        "print(*{name.partition('.')[0] for name in sys.modules if name.startswith('wildgate')})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    where, packages = done.stdout.splitlines()
    assert where.startswith(str(tmp_path)), done.stderr
    assert set(packages.split()) == {"wildgate_client", "wildgate_proto"}
