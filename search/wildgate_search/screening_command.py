"""`wildgate screening`: serves SearchService in as many processes as asked for, on one port."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from multiprocessing.synchronize import Semaphore

import structlog
from pydantic import ValidationError
from pydantic_settings import SettingsError

from wildgate_search.errors import LexiconError, StartError
from wildgate_search.live import LiveScreener
from wildgate_search.service import running
from wildgate_search.settings import ScreeningSettings
from wildgate_server.access.tokens import token_check
from wildgate_server.log import configure_log
from wildgate_server.repository.yaml_document import faults

__all__ = ["screening_command"]

_log = structlog.get_logger()

_USAGE = 2
_AGAIN_S = 1.0  # between two starts of a process that ends
_ENDING_S = 10.0


def screening_command(args: list[str]) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status: 0 stopped, 1 could not start, 2 bad configuration."""
    try:
        settings = ScreeningSettings.of_command_line(args)
    except (ValidationError, SettingsError) as error:
        message = str(error) if isinstance(error, SettingsError) else "; ".join(faults(error))
        print(f"wildgate screening: {message}", file=sys.stderr)
        return _USAGE
    configure_log(settings.log_level, settings.log_format)
    try:
        live = LiveScreener(settings.lexicon)
    except LexiconError as error:
        print(f"wildgate screening: the lexicon is refused:\n{error}", file=sys.stderr)
        return _USAGE
    try:
        if settings.check:
            token_check(settings.access, settings.listen)
            print("wildgate screening: the configuration is good")
            return 0
        if settings.processes > 1:
            return _Family(settings, live).run()
        asyncio.run(_serve(settings, live, None))
    except StartError as error:
        print(f"wildgate screening: cannot start: {error}", file=sys.stderr)
        return _USAGE if settings.check else 1
    return 0


async def _serve(settings: ScreeningSettings, live: LiveScreener, ready: Semaphore | None) -> None:
    """Serves until it is told to stop, or, as one of several, its parent is gone."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    parent = os.getppid()
    async with running(settings, live) as address:
        if ready is None:
            print(f"wildgate screening is ready on {address}", flush=True)
            await stop.wait()
            return
        ready.release()
        while not stop.is_set() and os.getppid() == parent:
            try:
                await asyncio.wait_for(stop.wait(), _AGAIN_S)
            except TimeoutError:
                continue


class _Family:
    """Processes that answer at one address, forked from one that has the lexicon; one that ends is replaced."""

    def __init__(self, settings: ScreeningSettings, live: LiveScreener) -> None:
        self._settings = settings
        self._live = live
        self._context = multiprocessing.get_context("fork")
        self._ready = self._context.Semaphore(0)
        self._stopping = False

    def run(self) -> int:
        """Until a signal; returns the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        with _reserved(self._settings.listen) as address:
            self._settings = self._settings.model_copy(update={"listen": address})
            children = [self._child(number) for number in range(self._settings.processes)]
            waited = 0
            while waited < len(children) and not self._stopping:
                if self._ready.acquire(timeout=0.1):
                    waited += 1
                elif any(child.exitcode is not None for child in children):
                    self._stopping = True
                    return self._end(children) or 1
            if not self._stopping:
                print(f"wildgate screening is ready on {address}, in {len(children)} processes", flush=True)
            while not self._stopping:
                wait([child.sentinel for child in children], timeout=0.2)
                ended = [child for child in children if child.exitcode is not None]
                if ended and not self._stopping:
                    _log.error("process_ended", exit_codes=[child.exitcode for child in ended])
                    time.sleep(_AGAIN_S)
                    again = [self._child(int(child.name)) for child in ended]
                    children = [child for child in children if child not in ended] + again
            return self._end(children)

    def _child(self, number: int) -> ForkProcess:
        child = self._context.Process(target=self._work, args=(number,), name=str(number))
        child.start()
        return child

    def _work(self, number: int) -> None:
        settings = self._settings
        if settings.metrics:
            host, _, port = settings.metrics.rpartition(":")
            settings = settings.model_copy(update={"metrics": f"{host}:{int(port) + number}"})
        try:
            asyncio.run(_serve(settings, self._live, self._ready))
        except StartError as error:
            print(f"wildgate screening: cannot start: {error}", file=sys.stderr)
            sys.exit(1)

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _end(self, children: list[ForkProcess]) -> int:
        for child in children:
            child.terminate()
        for child in children:
            child.join(_ENDING_S)
            if child.exitcode is None:
                child.kill()
                child.join()
        return int(any(child.exitcode for child in children))


@contextmanager
def _reserved(address: str) -> Iterator[str]:
    """The address with a port of its own, that several processes can listen at. Raises StartError."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            reserved.bind((host.strip("[]"), int(port)))
        except OSError as error:
            raise StartError(f"cannot listen at {address}: {error.strerror}") from error
        yield f"{host}:{reserved.getsockname()[1]}"
