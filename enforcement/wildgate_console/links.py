"""Links to evidence: signed, for one session, and soon of no use."""

from __future__ import annotations

import secrets

from itsdangerous import BadData, URLSafeTimedSerializer

from wildgate_console.sessions import Session
from wildgate_enforcement.errors import AccessDenied

__all__ = ["EvidenceLinks"]

LIFETIME_S = 120


class EvidenceLinks:
    """Signs with a key that this process alone knows."""

    def __init__(self, lifetime_s: int = LIFETIME_S) -> None:
        self._lifetime_s = lifetime_s
        self._signer = URLSafeTimedSerializer(secrets.token_bytes(32), salt="evidence")

    def link(self, session: Session, case_id: str, index: int) -> str:
        """The path of a frame, for this session."""
        return f"/evidence/{self._signer.dumps([session.name, case_id, index])}"

    def read(self, session: Session, signed: str) -> tuple[str, int]:
        """The case and the frame. Raises AccessDenied for a link that is forged, too old, or another session's."""
        try:
            owner, case_id, index = self._signer.loads(signed, max_age=self._lifetime_s)
        except BadData:
            raise AccessDenied("the link to the picture has expired: load the page again") from None
        if owner != session.name:
            raise AccessDenied("the link is another session's")
        return case_id, index
