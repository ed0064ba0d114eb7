"""The console from start to stop: its routes, and the HTTP server in the case service's own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from wildgate_console import block_pages, case_pages, login_pages, queue_pages, record_pages, referral_pages
from wildgate_console.block_door import BlockDoor
from wildgate_console.desk import Desk, failure_page
from wildgate_console.door import Door
from wildgate_console.guard import Guard
from wildgate_console.ledger import Ledger
from wildgate_console.links import EvidenceLinks
from wildgate_console.oidc import CALLBACK, Provider
from wildgate_console.quality_chart import QualityChart
from wildgate_console.sessions import Sessions
from wildgate_enforcement.database import Database
from wildgate_enforcement.errors import StartError, WildgateError
from wildgate_enforcement.service import Denied
from wildgate_enforcement.settings import EnforcementSettings
from wildgate_server.access.tokens import TokenCheck
from wildgate_server.owned_task import own_task
from wildgate_server.policy import load_policy
from wildgate_server.transport import check_reach, listening_socket

__all__ = ["console_app", "serving"]

_STATIC = Path(__file__).with_name("static")
_DRAIN_S = 5


@asynccontextmanager
async def serving(
    settings: EnforcementSettings, database: Database, check: TokenCheck, denied: Denied
) -> AsyncIterator[str]:
    """The console while the context lasts: the address at which browsers find it. Raises StartError."""
    assert settings.console is not None  # nobody asks for it otherwise
    check_reach(settings.console, settings.tls)
    listening = listening_socket(settings.console)
    secure = settings.tls.cert is not None or settings.tls.off
    blocks = BlockDoor(settings, database, denied)
    app = console_app(settings, database, check, denied, blocks, secure)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        ws="none",
        http="h11",
        limit_concurrency=200,
        timeout_graceful_shutdown=_DRAIN_S,
        ssl_certfile=settings.tls.cert,
        ssl_keyfile=settings.tls.key,
    )
    server = _Server(config)
    async with AsyncExitStack() as stack:
        stack.callback(listening.close)
        stack.push_async_callback(blocks.close)
        task = own_task(stack, "console", server.serve([listening]))
        while not server.started:
            if task.done():
                raise StartError(f"the console cannot be served: {task.exception()}")
            await asyncio.sleep(0.01)
        host, port = listening.getsockname()[:2]
        address = f"{'https' if settings.tls.cert else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
        print(f"wildgate console is ready on {address}", flush=True)
        yield address
        server.should_exit = True
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(task), _DRAIN_S + 1)


def console_app(
    settings: EnforcementSettings,
    database: Database,
    check: TokenCheck,
    denied: Denied,
    blocks: BlockDoor,
    secure: bool,
) -> ASGIApp:
    """All pages behind the guard."""
    sessions = Sessions(settings.session)
    door = Door(database, settings.policy, settings.referral.recipients, denied)
    labels = load_policy(settings.labels).labels
    provider = Provider(settings.oidc) if settings.oidc.issuer else None
    app = Starlette(
        routes=[
            Route("/", queue_pages.first),
            Route("/login", login_pages.login_page),
            Route("/login", login_pages.login, methods=["POST"]),
            Route("/oidc/login", login_pages.provider_login),
            Route(CALLBACK, login_pages.provider_callback),
            Route("/logout", login_pages.logout, methods=["POST"]),
            Route("/choose", login_pages.choose, methods=["POST"]),
            Route("/queue", queue_pages.queue),
            Route("/claim", queue_pages.claim_next, methods=["POST"]),
            Route("/bulk", queue_pages.bulk, methods=["POST"]),
            Route("/undo", queue_pages.undo, methods=["POST"]),
            Route("/cases/{case_id}", case_pages.show),
            Route("/cases/{case_id}/decide", case_pages.decide, methods=["POST"]),
            *(
                Route(f"/cases/{{case_id}}/{action}", case_pages.act, methods=["POST"], name=action)
                for action in case_pages.ACTIONS
            ),
            Route("/referrals", record_pages.referral_list),
            *(
                Route(f"/referrals/{{referral_id}}/{action}", case_pages.referral, methods=["POST"], name=action)
                for action in ("approve", "cancel", "receipt")
            ),
            Route("/referrals/{referral_id}/document", referral_pages.document),
            Route("/referrals/{referral_id}/package", referral_pages.package),
            Route("/evidence/{signed}", case_pages.evidence),
            Route("/blocks", block_pages.block_list),
            Route("/blocks", block_pages.add, methods=["POST"]),
            Route("/blocks/switch", block_pages.switch, methods=["POST"]),
            Route("/audit", record_pages.audit),
            Route("/audit", record_pages.verify, methods=["POST"]),
            Route("/deliveries", record_pages.deliveries),
            Route("/deliveries", record_pages.replay, methods=["POST"]),
            Route("/figures", record_pages.figures),
            Route("/figures/quality.svg", record_pages.quality),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        exception_handlers={WildgateError: failure_page},
    )
    app.state.desk = Desk(
        database,
        door,
        blocks,
        check,
        sessions,
        EvidenceLinks(),
        Ledger(database),
        QualityChart(database),
        settings,
        labels,
        provider,
        secure,
    )
    return Guard(app, sessions, check, secure)


class _Server(uvicorn.Server):
    """Leaves signals to the process that it is a part of."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
