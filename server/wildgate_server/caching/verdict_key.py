"""What a verdict rests on, as a key: two requests with the same key have the same verdict.

Names and versions are labels that people choose; a key is made of what lies behind them: the digests of the detector's
and the decoders' files, the rules of the policy, the settings by which a video is sampled. So a policy that was edited
without a new version, or two repositories that both have a `reference/1`, share nothing.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from glob import glob
from importlib import metadata
from pathlib import Path
from typing import Any

from blake3 import blake3
from pydantic import BaseModel

from wildgate_server.policy import Policy
from wildgate_server.repository.manifest import ModelManifest
from wildgate_server.repository.model_configs import CLIP_DECODER
from wildgate_server.repository.releases import Release, file_digest
from wildgate_server.sampling.sampling_settings import SamplingSettings
from wildgate_server.source.source_settings import SourceSettings

__all__ = ["WITHOUT_EFFECT", "VerdictBasis", "decoder_digests"]

WITHOUT_EFFECT = frozenset({"workers", "fetch_workers", "timeout_s", "worker_memory_mb", "secret_file"})
"""Sampling settings that no verdict depends on."""
_LIMITS = {"max_bytes", "max_seconds"}
_REMEMBERED = 8  # releases and policies in force and just left
_COMPILED = "__pycache__"


def decoder_digests(model_repository: Path) -> dict[str, str]:
    """The digests of the clip decoders' files, code and configs, by their paths in the repository. Raises OSError.

    Links to directories are followed, as Triton follows them; hidden ones, such as those that a Kubernetes volume is
    made of, are not.
    """
    names = glob(f"{CLIP_DECODER}*/**", root_dir=model_repository, recursive=True)
    files = {name: model_repository / name for name in names if _COMPILED not in name.split("/")}
    return {name: file_digest(file) for name, file in files.items() if file.is_file()}


class VerdictBasis:
    """What all verdicts of one gateway rest on, besides the video, the release and the policy.

    `decoders` are the digests of what decodes clips, as `decoder_digests` returns them; `secret` is the fingerprint of
    what frames are drawn with.
    """

    def __init__(
        self,
        *,
        manifest: ModelManifest,
        decoders: Mapping[str, str],
        profile: str,
        sampling: SamplingSettings,
        source: SourceSettings,
        secret: str,
    ) -> None:
        self._gateway = _fingerprint(
            {
                "wildgate": _version(),
                "manifest": manifest.model_dump(mode="json", exclude={"serving"}),
                "decoders": dict(decoders),
                "profile": profile,  # decoders and precision differ
                "sampling": sampling.model_dump(mode="json", exclude=set(WITHOUT_EFFECT)),
                "limits": source.model_dump(mode="json", include=_LIMITS),
                "secret": secret,
            }
        )
        self._known: deque[tuple[BaseModel, str]] = deque(maxlen=_REMEMBERED)

    def key(self, subject: str, release: Release, policy: Policy) -> str:
        """The key, hexadecimal, of what `release` and `policy` say of `subject`, a video by its content digest."""
        parts = (subject, self._gateway, self._of(release), self._of(policy))
        return blake3("\0".join(parts).encode()).hexdigest()

    def _of(self, model: BaseModel) -> str:
        """The model's fingerprint; a frozen model in force is asked for with every video and computed once."""
        for known, fingerprint in self._known:
            if known is model:
                return fingerprint
        fingerprint = _fingerprint(model.model_dump(mode="json"))
        self._known.append((model, fingerprint))
        return fingerprint


def _fingerprint(fields: dict[str, Any]) -> str:
    return blake3(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _version() -> str:
    """The code's own version: another one may sample or judge in another way."""
    try:
        return metadata.version("wildgate")
    except metadata.PackageNotFoundError:  # run from a source tree
        return ""
