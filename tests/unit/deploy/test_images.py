"""Image files and YAML: what linters say, and that they copy what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rendered_manifests import DEPLOY

LAYOUT = ("line-length", "document-start", "braces", "comments", "indentation")
"""What yamllint would have otherwise, and is a matter of taste."""
IMAGES = sorted((DEPLOY / "images").glob("*Dockerfile"))


def linter(name: str) -> str:
    program = shutil.which(name, path=str(Path(sys.executable).parent))
    if not program:
        pytest.skip(f"{name} is not installed")
    return program


@pytest.mark.parametrize("file", IMAGES, ids=lambda file: file.name)
def test_image_files_are_clean(file: Path) -> None:
    done = subprocess.run([linter("hadolint"), file], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", IMAGES, ids=lambda file: file.name)
def test_they_pin_run_as_a_user_and_copy_what_there_is(file: Path) -> None:
    text = file.read_text()
    stages = re.findall(r"^FROM \S+ AS (\S+)", text, re.MULTILINE)
    bases = [base for base in re.findall(r"^FROM (\S+)", text, re.MULTILINE) if base not in stages]
    given = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
    for base in bases:
        whole = re.sub(r"\$\{(\w+)\}", lambda found: given[found[1]], base)
        assert re.search(r":\d+\.\d+", whole), f"{whole} names no version"
    assert text.count("HEALTHCHECK") >= 2
    assert text.count("USER 10001:10001") >= 1
    sent = [line[1:] for line in (DEPLOY.parent / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (DEPLOY.parent / source).exists(), source
            assert any(source.startswith(kept) for kept in sent), f"{source} is in .dockerignore"


def test_yaml_is_clean() -> None:
    rules = f"{{extends: default, rules: {{{', '.join(f'{rule}: disable' for rule in LAYOUT)}}}}}"
    files = [file for pattern in ("*.yaml", "*.yml") for file in DEPLOY.rglob(pattern)]
    done = subprocess.run(
        [linter("yamllint"), "--strict", "-d", rules, *files], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout
