"""Logging in with a signed token, out, and choosing a language."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from wildgate_console.desk import back_to, desk_of, page
from wildgate_console.guard import cookie_name
from wildgate_console.oidc import CALLBACK
from wildgate_console.texts import LANGUAGES
from wildgate_enforcement.errors import WildgateError
from wildgate_enforcement.roles import Role
from wildgate_server.access.tokens import Caller

__all__ = ["choose", "logged_in", "login", "login_page", "logout", "provider_callback", "provider_login"]

_PEOPLE = frozenset({Role.MODERATOR, Role.SENIOR, Role.LIAISON, Role.AUDITOR, Role.ADMINISTRATOR})
_PENDING = "wildgate-oidc"
_YEAR_S = 31_536_000


async def login_page(request: Request) -> Response:
    """Asks for a token."""
    return await page(request, "login.html", alert="")


async def login(request: Request) -> Response:
    """Takes a token that `access.keys` signed, as callers of the service show it."""
    desk = desk_of(request)
    token = "".join(request.state.form.get("token", "").split())
    try:
        caller = await desk.check.caller(token)
    except WildgateError as error:
        return await page(request, "login.html", 401, alert=error.message)
    return await logged_in(request, caller, token)


async def provider_login(request: Request) -> Response:
    """Sends the browser to the identity provider."""
    desk = desk_of(request)
    if desk.provider is None:
        return await page(request, "login.html", 404, alert="no identity provider is configured")
    url, key = await desk.provider.begin()
    answer = RedirectResponse(url, 303)
    # Lax, since the provider sends the browser back by a link of its own site.
    answer.set_cookie(_PENDING, key, 600, path=CALLBACK, httponly=True, samesite="lax", secure=desk.secure)
    return answer


async def provider_callback(request: Request) -> Response:
    """Takes what the identity provider answers."""
    desk, asked = desk_of(request), request.query_params
    if desk.provider is None:
        return await page(request, "login.html", 404, alert="no identity provider is configured")
    try:
        key = request.cookies.get(_PENDING, "")
        caller = await desk.provider.finish(key, asked.get("state", ""), asked.get("code", ""))
    except WildgateError as error:
        return await page(request, "login.html", 401, alert=error.message)
    answer = await logged_in(request, caller)
    answer.delete_cookie(_PENDING, path=CALLBACK, secure=desk.secure, httponly=True, samesite="lax")
    return answer


async def logged_in(request: Request, caller: Caller, token: str = "") -> Response:
    """Opens a session for somebody who has proved who they are; the one before ends."""
    desk = desk_of(request)
    if not caller.roles & _PEOPLE:
        return await page(request, "login.html", 403, alert="the login has no role of this console")
    if (before := request.state.session) is not None:
        desk.sessions.close(before)
    session = desk.sessions.open(caller, token)
    answer = back_to("/")
    answer.set_cookie(cookie_name(desk.secure), session.id, path="/", httponly=True, samesite="lax", secure=desk.secure)
    return answer


async def logout(request: Request) -> Response:
    """Ends the session."""
    desk = desk_of(request)
    desk.sessions.close(request.state.session)
    answer = back_to("/login")
    answer.delete_cookie(cookie_name(desk.secure), path="/", secure=desk.secure, httponly=True, samesite="lax")
    return answer


async def choose(request: Request) -> Response:
    """Keeps the reader's language, and whether pictures are grey, in their browser."""
    answer = back_to("/")
    form = request.state.form
    if form.get("language") in LANGUAGES:
        answer.set_cookie("language", form["language"], _YEAR_S, httponly=True, samesite="lax")
    if form.get("care") in ("grey", "colour"):
        answer.set_cookie("care", form["care"], _YEAR_S, httponly=True, samesite="lax")
    return answer
