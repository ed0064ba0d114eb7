"""Writes a changed rollout, and the configs that follow from it.

Everything is written out of sight first and then moved into place, step by step: `rollout.yaml`, which is the step that
counts, then the configs, the detector's with old and new versions side by side before those of the ensembles. After
each step the repository loads in a Triton. What an interruption leaves undone (`unsettled` tells) is mended by the next
change, by `make configs`, and by a server for itself as it starts.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from wildgate_build.publish.repository import Repository, check_labels
from wildgate_server.policy import Policy
from wildgate_server.repository.manifest import ModelManifest
from wildgate_server.repository.model_configs import VIDEO_SCORER, check_configs, ensembles, render_configs
from wildgate_server.repository.releases import ROLLOUT_NAME, ChangingRollout, Rollout

__all__ = ["change_rollout", "unsettled"]

_HEADER = "# Which versions of the detector answer; written by `wildgate-build`, shown by `wildgate-build releases`.\n"
_KEPT = ".gitkeep"  # Triton wants an ensemble's version directory, git drops empty ones


def change_rollout(repository: Repository, step: Callable[[Rollout], Rollout], policy: Policy) -> Rollout:
    """Takes `step` from the rollout in force; the new one.

    Raises PublishError (a file that is not what was published among the reasons) and OutputError. Nothing is moved into
    place before everything is written.
    """
    with repository.locked():
        before = repository.rollout
        after = step(before)
        for version in after.versions:
            release = repository.verified_release(version)
            check_labels(release.labels, policy, f"version {version} ({release.model_version})")
        text = _HEADER + yaml.safe_dump(after.model_dump(exclude_none=True), sort_keys=False)
        with repository.unfinished() as directory:
            change = _Change(repository, repository.manifest, directory)
            change.put(Path(ROLLOUT_NAME), text)
            for stage in (ChangingRollout.to(after, before), after):
                change.follow(stage)
            change.move()
    return after


def unsettled(repository: Repository) -> list[str]:
    """Where the configs do not follow from the rollout, as an interruption leaves them."""
    return check_configs(repository.manifest, repository.rollout, repository.path)


@dataclass
class _Change:
    """Files and directories written in `directory`, and where each of them goes, in order."""

    repository: Repository
    manifest: ModelManifest
    directory: Path
    moves: list[tuple[Path, Path]] = field(default_factory=list)
    there: dict[Path, str] = field(default_factory=dict)
    new: set[Path] = field(default_factory=set)
    gone: set[Path] = field(default_factory=set)

    def put(self, relative: Path, text: str) -> None:
        """Writes what is to become the file `relative`; nothing, if it says so already."""
        file = self.repository.path / relative
        found = self.there.get(relative) or (file.read_text(encoding="utf-8") if file.is_file() else None)
        self.there[relative] = text
        if found != text:
            if self.repository.path / relative.parts[0] not in self.new:
                self.repository.files.make_directory(file.parent)
            part = self._place(relative.name)
            self.repository.files.write(part, text.encode())
            self.moves.append((part, file))

    def follow(self, rollout: Rollout) -> None:
        """Writes what the configs of `rollout` need: nothing is asked before it is there, or goes before it is not.

        So ensembles that it does not have go first, and versions of others when their configs have changed.
        """
        scorers = ensembles(rollout)
        configs = render_configs(self.manifest, rollout)
        models = {*self.repository.path.glob(f"{VIDEO_SCORER}*"), *self.new}
        self._take_away(model for model in models if model.name not in scorers)
        for relative, text in configs.items():
            if relative.parts[0] not in scorers:
                self.put(relative, text)
        for name, version in scorers.items():
            its = {relative: text for relative, text in configs.items() if relative.parts[0] == name}
            model = self.repository.path / name
            if model in self.new:
                pass
            elif model.exists():
                self._add_version(model / str(version))
            else:
                self._add_ensemble(model, version, its)
            for relative, text in its.items():
                self.put(relative, text)
            versions = (path for path in model.glob("*") if path.name.isdecimal() and path.name != str(version))
            self._take_away(versions)

    def move(self) -> None:
        """Moves everything to its place."""
        for source, target in self.moves:
            self.repository.files.replace(source, target)

    def _add_ensemble(self, model: Path, version: int, configs: dict[Path, str]) -> None:
        """It appears as a whole: without its config, Triton would stumble over it."""
        files, whole = self.repository.files, self._place(model.name)
        files.make_directory(whole / str(version))
        files.write(whole / str(version) / _KEPT, b"")
        for relative, text in configs.items():
            file = whole / relative.relative_to(model.name)
            files.make_directory(file.parent)
            files.write(file, text.encode())
            self.there[relative] = text
        self.moves.append((whole, model))
        self.new.add(model)

    def _add_version(self, version: Path) -> None:
        if version.exists() or any(target == version for _, target in self.moves):
            return
        empty = self._place(version.name)
        self.repository.files.make_directory(empty)
        self.repository.files.write(empty / _KEPT, b"")
        self.moves.append((empty, version))

    def _take_away(self, directories: Iterable[Path]) -> None:
        for directory in sorted(directories):
            if directory not in self.gone:
                self.moves.append((directory, self._place(directory.name)))
                self.gone.add(directory)

    def _place(self, name: str) -> Path:
        """A path of its own below the directory."""
        place = self.directory / str(len(list(self.directory.iterdir())))
        self.repository.files.make_directory(place)
        return place / name
