"""One JSON object per video, as `wildgate score --json` prints it.

Always: `file`, as it was given. If it was scored, the fields of `Verdict` under their own names: `action`, `labels`,
`detections`, `coverage`, `video`, `model_version`, `policy_version`, `content_digest`, `cached`, `block_matches`,
`block_check`, `case_id`, `case_handoff`, and `timings` as an object of stage to milliseconds; pictures are files, not
JSON. If not, `error` with `code`, `reason`, `message`, `metadata`, `retry_after_s` and `field`. Fields may be added,
never renamed.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from wildgate_client import ScoringError, StreamResult, Verdict

__all__ = ["json_line"]


def json_line(result: StreamResult) -> str:
    """The result as one line of JSON, without a newline."""
    fields: dict[str, Any] = {"file": result.video_id}
    if result.error is not None:
        fields["error"] = _error_fields(result.error)
    else:
        fields.update(_verdict_fields(result.unwrap()))
    return json.dumps(fields, ensure_ascii=False, allow_nan=False)


def _verdict_fields(verdict: Verdict) -> dict[str, Any]:
    fields = dataclasses.asdict(dataclasses.replace(verdict, evidence=(), fingerprint=None))
    del fields["evidence"], fields["fingerprint"]
    for match in fields["block_matches"]:
        for frame in match["frames"]:
            del frame["jpeg"], frame["original_jpeg"]
    fields["timings"] = {timing.stage: timing.duration_ms for timing in verdict.timings}
    return fields


def _error_fields(error: ScoringError) -> dict[str, Any]:
    return {
        "code": error.code.name if error.code else None,
        "reason": error.reason,
        "message": error.message,
        "metadata": error.metadata,
        "retry_after_s": error.retry_after_s,
        "field": error.field,
    }
