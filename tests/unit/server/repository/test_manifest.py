from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from checkout import MODEL_REPOSITORY
from pydantic import ValidationError

from wildgate_server.repository.manifest import ManifestError, load_manifest


def write(directory: Path, **changes: object) -> Path:
    content = yaml.safe_load((MODEL_REPOSITORY / "manifest.yaml").read_text())
    for path, value in changes.items():
        *parents, field = path.split("__")
        node = content
        for parent in parents:
            node = node[parent]
        node[field] = value
    file = directory / "manifest.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def test_the_shipped_manifest_loads_from_the_repository_or_the_file() -> None:
    manifest = load_manifest(MODEL_REPOSITORY)
    assert manifest == load_manifest(MODEL_REPOSITORY / "manifest.yaml")
    assert (manifest.frames_per_window, manifest.frame_side_px, manifest.detections_per_frame) == (8, 320, 16)


def test_it_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_manifest(MODEL_REPOSITORY).letterbox_value = 0


def test_instances_change_and_nothing_else() -> None:
    manifest = load_manifest(MODEL_REPOSITORY)
    more = manifest.with_instances(7)
    assert more.serving.instances == 7
    assert more.with_instances(manifest.serving.instances) == manifest


def test_instances_are_still_validated() -> None:
    with pytest.raises(ValidationError, match="instances"):
        load_manifest(MODEL_REPOSITORY).with_instances(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame_side_px": "wide"}, "frame_side_px: Input should be a valid integer (is 'wide')"),
        ({"letterbox_value": 256}, "letterbox_value: Input should be less than or equal to 255 (is 256)"),
        ({"serving__max_batch_size": 0}, "serving.max_batch_size: Input should be greater than or equal to 1 (is 0)"),
        ({"detector": {}}, "detector: Extra inputs are not permitted"),
        ({"frames": 8}, "frames: Extra inputs are not permitted (is 8)"),
    ],
)
def test_an_error_names_file_field_and_value(tmp_path: Path, change: dict[str, object], message: str) -> None:
    file = write(tmp_path, **change)
    with pytest.raises(ManifestError) as caught:
        load_manifest(file)
    assert str(caught.value).startswith(f"{file}: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("", "the document: "),
        ("- a list", "the document: "),
        ("labels: [", "is not YAML"),
        ("\tno yaml", "is not YAML"),
        ("frame_side_px: 320", "letterbox_value: Field required"),
    ],
)
def test_what_is_not_a_manifest_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "manifest.yaml").write_text(text)
    with pytest.raises(ManifestError, match=message):
        load_manifest(tmp_path)
