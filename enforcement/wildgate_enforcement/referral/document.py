"""The referral for people to read: the same bytes each time for the same referral."""

from __future__ import annotations

import io
import json
from xml.sax.saxutils import escape

from PIL import Image as Pictures
from PIL import ImageDraw
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Image, Paragraph, SimpleDocTemplate

from wildgate_enforcement.referral.referral import Frame, Referral, ReferralError

__all__ = ["document_of"]

_MOST_PIXELS = 34_000_000  # 8K
_WIDTH_PT = 400
_SHOWN_CHARACTERS = 4000


def document_of(referral: Referral) -> bytes:
    """The referral as PDF. Letters that its fonts lack are escaped; `referral.json` has them as they are.

    Raises ReferralError for a frame that is no JPEG.
    """
    styles = getSampleStyleSheet()
    story: list[Flowable] = []

    def text(words: str, style: str = "BodyText") -> None:
        shown = words if len(words) <= _SHOWN_CHARACTERS else f"{words[:_SHOWN_CHARACTERS]} ... (see referral.json)"
        # Paragraphs are markup, and this may be anybody's text.
        story.append(Paragraph(escape(shown.encode("cp1252", "backslashreplace").decode("cp1252")), styles[style]))

    kind = "TEST REFERRAL: do not act on this" if referral.is_test else "Referral"
    text(kind, "Title")
    text(f"Case {referral.case_id}, for {referral.recipient.name}, made {referral.made_at}", "Heading2")
    text(referral.reason)
    text(f"Intelligence value {referral.value.score} of 100", "Heading2")
    for reason in referral.value.reasons:
        text(f"- {reason}")
    text(f"Approved by {', '.join(referral.approvals)}")
    for title, content in (
        ("Subject", referral.subject),
        ("Digests", list(referral.digests)),
        ("Verdict and coverage", referral.verdict),
        ("Preservation", referral.preservation),
    ):
        text(title, "Heading2")
        text(json.dumps(content, sort_keys=True, ensure_ascii=False))
    text("History", "Heading2")
    for event in referral.history:
        text(json.dumps(event, sort_keys=True, ensure_ascii=False))
    for n, frame in enumerate(referral.frames, 1):
        text(f"Frame {n}, at {frame.time_s:.2f} s", "Heading2")
        for box in frame.boxes:
            text(f"{box.label} {box.score:.2f}")
        story.append(_picture(frame))
    written = io.BytesIO()
    mark = "TEST" if referral.is_test else ""

    def on_page(canvas: Canvas, _: object) -> None:
        canvas.drawString(40, 25, f"{mark} case {referral.case_id}, page {canvas.getPageNumber()}".strip())

    document = SimpleDocTemplate(written, pagesize=A4, invariant=1, title=f"{mark} case {referral.case_id}".strip())
    document.build(story, onFirstPage=on_page, onLaterPages=on_page)
    return written.getvalue()


def _picture(frame: Frame) -> Flowable:
    try:
        with Pictures.open(io.BytesIO(frame.jpeg), formats=["JPEG"]) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                raise ReferralError("a frame has too many pixels")
            picture = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise ReferralError("a frame is no JPEG that can be read") from error
    drawn = ImageDraw.Draw(picture)
    for box in frame.boxes:
        (left, right), (top, bottom) = sorted((box.left, box.right)), sorted((box.top, box.bottom))
        drawn.rectangle((left, top, right, bottom), outline=(255, 0, 0), width=max(2, picture.width // 300))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    file.seek(0)
    return Image(file, _WIDTH_PT, min(_WIDTH_PT * picture.height / picture.width, 600), kind="proportional")
