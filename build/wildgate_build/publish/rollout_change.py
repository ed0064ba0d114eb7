"""Writes a changed rollout, and the configs that follow from it.

Everything is written out of sight first and then moved into place, step by step: `rollout.yaml`, which is the step that
counts, then the configs, the detector's with old and new versions side by side before those of the ensembles. After
each step the repository loads in a Triton. What an interruption leaves undone (see `unsettled`) is repaired by the
next change, by `make configs`, and by a server for its own copy when it starts.
"""

from collections.abc import Callable
from pathlib import Path

import yaml

from wildgate_build.publish.repository import Repository, check_labels
from wildgate_server.policy import Policy
from wildgate_server.repository.model_configs import VIDEO_SCORER, check_configs, ensembles, render_configs
from wildgate_server.repository.releases import ROLLOUT_NAME, ChangingRollout, Rollout

__all__ = ["change_rollout", "unsettled"]

_HEADER = "# Which versions of the detector answer; written by `wildgate-build`, shown by `wildgate-build releases`.\n"
_KEPT = ".gitkeep"  # Triton wants an ensemble's version directory, git drops empty ones


def change_rollout(repository: Repository, step: Callable[[Rollout], Rollout], policy: Policy) -> Rollout:
    """Takes `step` from the rollout in force and returns the new one.

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
            change = _Change(repository, directory)
            change.put(Path(ROLLOUT_NAME), text)
            for stage in (ChangingRollout.to(after, before), after):
                change.follow(stage)
            change.move()
    return after


def unsettled(repository: Repository) -> list[str]:
    """Where configs and rollout disagree, as after an interruption."""
    return check_configs(repository.manifest, repository.rollout, repository.path)


class _Change:
    """Files and directories written in `directory`, and where each of them goes, in order.

    `_scorers` are the ensembles and their versions, `_texts` what files say, as the moves so far leave them.
    """

    def __init__(self, repository: Repository, directory: Path) -> None:
        self._path, self._files, self._manifest = repository.path, repository.files, repository.manifest
        self._directory = directory
        self._moves: list[tuple[Path, Path]] = []
        self._texts: dict[Path, str] = {}
        self._scorers = {
            model.name: {path.name for path in model.iterdir() if path.name.isdecimal()}
            for model in sorted(self._path.glob(f"{VIDEO_SCORER}*"))
        }

    def put(self, relative: Path, text: str) -> None:
        """Writes what is to become the file `relative`; nothing, if it says so already."""
        file = self._path / relative
        if relative not in self._texts and file.is_file():
            self._texts[relative] = file.read_text(encoding="utf-8")
        if self._texts.get(relative) != text:
            if (self._path / relative.parts[0]).is_dir():
                self._files.make_directory(file.parent)
            self._add(relative, {Path(): text})
            self._texts[relative] = text

    def follow(self, rollout: Rollout) -> None:
        """Writes what the configs of `rollout` need: nothing is asked before it is there, or goes before it is not.

        So ensembles that it does not have go first, and versions of others when their configs have changed.
        """
        wanted = ensembles(rollout)
        configs = render_configs(self._manifest, rollout)
        for name in [name for name in self._scorers if name not in wanted]:
            self._remove(Path(name))
            del self._scorers[name]
        for relative, text in configs.items():
            if relative.parts[0] not in wanted:
                self.put(relative, text)
        for name, version in wanted.items():
            its = {relative: text for relative, text in configs.items() if relative.parts[0] == name}
            self._follow_scorer(name, str(version), its)

    def move(self) -> None:
        """Moves everything to its place."""
        for source, target in self._moves:
            self._files.replace(source, target)

    def _follow_scorer(self, name: str, version: str, configs: dict[Path, str]) -> None:
        versions = self._scorers.get(name)
        if versions is None:  # It appears as a whole: without its config, Triton would stumble over it.
            inside = {relative.relative_to(name): text for relative, text in configs.items()}
            self._add(Path(name), {Path(version, _KEPT): "", **inside})
            self._texts |= configs
        elif version not in versions:
            self._add(Path(name, version), {Path(_KEPT): ""})
        for relative, text in configs.items():
            self.put(relative, text)
        for old in sorted((versions or set()) - {version}):
            self._remove(Path(name, old))
        self._scorers[name] = {version}

    def _add(self, target: Path, contents: dict[Path, str]) -> None:
        """Writes `contents`, by their path below `target` (the empty one: a file itself), to be moved there."""
        place = self._place(target)
        for relative, text in contents.items():
            self._files.make_directory((place / relative).parent)
            self._files.write(place / relative, text.encode())
        self._moves.append((place, self._path / target))

    def _remove(self, target: Path) -> None:
        place = self._place(target)
        self._files.make_directory(place.parent)
        self._moves.append((self._path / target, place))

    def _place(self, target: Path) -> Path:
        """A path of its own below the directory."""
        return self._directory / str(len(self._moves)) / target.name
