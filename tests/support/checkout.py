"""Where the checkout lies that is tested."""

from __future__ import annotations

import os
from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
ROOT = SUPPORT.parents[1]
MODEL_REPOSITORY = ROOT / "model_repository"
SAMPLES = ROOT / "samples"
MEDIA = ROOT / os.environ.get("MEDIA", "media")
"""Real media files, kept outside of the project; tests that want them skip where there are none."""
