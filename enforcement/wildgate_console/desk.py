"""What every page works with, and how a page is made of a template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from google.rpc import code_pb2
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from wildgate_console.block_door import BlockDoor
from wildgate_console.door import Door
from wildgate_console.ledger import Ledger
from wildgate_console.links import EvidenceLinks
from wildgate_console.oidc import Provider
from wildgate_console.quality_chart import QualityChart
from wildgate_console.sessions import Session, Sessions
from wildgate_console.texts import LANGUAGES, language_of, words
from wildgate_enforcement.database import Database
from wildgate_enforcement.settings import EnforcementSettings
from wildgate_proto.v1 import cases_pb2
from wildgate_server.access.tokens import Caller, TokenCheck
from wildgate_server.errors import WildgateError

__all__ = ["Desk", "back_to", "caller_of", "desk_of", "failure_page", "http_status", "page", "session_of", "undoable"]

_TEMPLATES = Path(__file__).with_name("templates")
_END_MS = 253_402_300_799_000  # of the year 9999
_HTTP: Mapping[int, int] = {
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.NOT_FOUND: 404,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.FAILED_PRECONDITION: 409,
    code_pb2.UNAVAILABLE: 503,
    code_pb2.UNAUTHENTICATED: 401,
}


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts of a running console. `secure` is whether browsers reach it over TLS."""

    database: Database
    door: Door
    blocks: BlockDoor
    check: TokenCheck
    sessions: Sessions
    links: EvidenceLinks
    ledger: Ledger
    quality: QualityChart
    settings: EnforcementSettings
    labels: Mapping[str, Any]
    provider: Provider | None
    secure: bool


def desk_of(request: Request) -> Desk:
    """The console that answers."""
    desk: Desk = request.app.state.desk
    return desk


def session_of(request: Request) -> Session:
    """The login that asks; the guard lets nobody else to pages that want one."""
    session: Session = request.state.session
    return session


def caller_of(request: Request) -> Caller:
    """Who asks, with the roles that they have now."""
    return session_of(request).caller


async def page(request: Request, template: str, status: int = 200, **about: Any) -> Response:
    """A page in the reader's language."""
    desk, session = desk_of(request), request.state.session
    language = language_of(request)
    about |= {
        "request": request,
        "session": session,
        "language": language,
        "languages": LANGUAGES,
        "colour": request.cookies.get("care") == "colour",
        "provider": desk.provider is not None,
        "now_ms": desk.database.now_ms,
    }
    if session is not None:
        about |= {
            "may": lambda call: desk.door.may(session.caller, call),
            "may_block": lambda call: desk.blocks.may(session.caller, call),
            "limit": desk.settings.session.most_frames(session.caller.subject),
            "seen": await desk.ledger.seen_today(session.caller.subject),
            "wants_break": desk.sessions.wants_break(session),
            "undo": undoable(desk, session),
        }
    return HTMLResponse(_environment(language).get_template(template).render(about), status)


def back_to(path: str) -> Response:
    """Sends the browser on after a form."""
    return RedirectResponse(path, 303)


def http_status(code: int) -> int:
    """The HTTP status for a gRPC status."""
    return _HTTP.get(code, 500)


async def failure_page(request: Request, error: Exception) -> Response:
    """An expected failure, said in plain words."""
    assert isinstance(error, WildgateError)
    status = http_status(int(error.status))
    return await page(request, "failure.html", status, message=error.message, status_code=status)


def undoable(desk: Desk, session: Session) -> Mapping[str, int]:
    """The cases whose decision this session may still undo, each with its lease's token."""
    decided, until_ms = session.undo
    return decided if desk.database.now_ms < until_ms else {}


@cache
def _environment(language: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(words(language), newstyle=True)  # type: ignore[attr-defined]
    environment.filters |= {"iso": _iso, "age": _age, "state_name": _state_name, "short": lambda name: name[:8]}
    return environment


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(min(at_ms, _END_MS) / 1e3, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _age(since_ms: int, now_ms: int) -> str:
    minutes = max(now_ms - since_ms, 0) // 60_000
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} d"


def _state_name(state: int) -> str:
    return cases_pb2.CaseState.Name(state).removeprefix("CASE_STATE_").lower()
