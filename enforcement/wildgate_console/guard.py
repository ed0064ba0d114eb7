"""What stands before every page: who asks, whether the request is their own, and headers that hold for all answers."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wildgate_console.sessions import Session, Sessions
from wildgate_enforcement.errors import WildgateError
from wildgate_server.access.tokens import TokenCheck
from wildgate_server.errors import Unauthenticated

__all__ = ["Guard", "cookie_name"]

_LONGEST_FORM = 128 << 10
_MOST_FIELDS = 500
_OPEN = ("/login", "/static/", "/oidc/")
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Mapping[str, str] = {
    "content-security-policy": _CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), autoplay=()",
}


def cookie_name(secure: bool) -> str:
    """The session's cookie; over TLS a name that browsers take from this host alone."""
    return "__Host-wildgate" if secure else "wildgate"


class Guard:
    """Wraps the pages: `request.state` has `session` and `form` (the first value of each field, lists in `fields`)."""

    def __init__(self, app: ASGIApp, sessions: Sessions, check: TokenCheck, secure: bool) -> None:
        self._app = app
        self._sessions = sessions
        self._check = check
        self._secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                if not scope["path"].startswith("/static/"):
                    headers["cache-control"] = "no-store"
                if self._secure:
                    headers["strict-transport-security"] = "max-age=31536000"
            await send(message)

        request = Request(scope, receive)
        session = await self._session(request)
        refusal = None
        if session is None and not scope["path"].startswith(_OPEN):
            refusal = _to_login(request)
        else:
            scope.setdefault("state", {}).update(session=session, form={}, fields={})
            if scope["method"] not in ("GET", "HEAD"):
                refusal = await _own_request(request, session)
        await (refusal or self._app)(scope, receive, sending)

    async def _session(self, request: Request) -> Session | None:
        session = self._sessions.find(request.cookies.get(cookie_name(self._secure), ""))
        if session is not None and session.token:
            try:  # a token that expired or was revoked ends what it opened
                session.caller = await self._check.caller(session.token)
            except Unauthenticated:
                self._sessions.close(session)
                return None
            except WildgateError:
                return None
        return session


def _to_login(request: Request) -> Response:
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"hx-redirect": "/login"})
    if request.method in ("GET", "HEAD"):
        return RedirectResponse("/login", 303)
    return PlainTextResponse("You are not logged in.", 401)


async def _own_request(request: Request, session: Session | None) -> Response | None:
    """Reads the form, and refuses what no page of this console has sent."""
    if not _same_origin(request.headers):
        return PlainTextResponse("The request comes from another site.", 403)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_FORM:
            return PlainTextResponse("The form is too large.", 413)
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        return PlainTextResponse("The form cannot be read.", 400)
    form = {name: values[0].replace("\r\n", "\n") for name, values in fields.items()}
    if session is not None and not hmac.compare_digest(form.get("csrf", "").encode(), session.csrf.encode()):
        return PlainTextResponse("The form is not of this session: load the page again.", 403)
    request.scope["state"].update(form=form, fields=fields)
    return None


def _same_origin(headers: Headers) -> bool:
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host", "")
