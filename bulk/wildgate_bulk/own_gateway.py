"""A `wildgate serve` beside a worker, with a Triton of its own, for as long as the worker lives."""

from __future__ import annotations

import re
import subprocess
import sys

from wildgate_bulk.errors import RunStopped

__all__ = ["start_gateway"]

_READY = re.compile(r"wildgate is ready on (\S+)")
# It ends the server when its own input ends, which is when the worker does, however that happens.
_UNTIL_WE_END = """
exec 3<&0
"$@" </dev/null 3<&- & server=$!
exec >/dev/null
(cat <&3; kill $server) & wait $server
"""


def start_gateway(
    command: tuple[str, ...] = (sys.executable, "-m", "wildgate_server"),
) -> tuple[str, subprocess.Popen[str]]:
    """Starts one, set by the environment; returns its address, and the process, which ends with it.

    Raises RunStopped when it ends before it is ready; why is in the worker's log.
    """
    shell = subprocess.Popen(
        ("sh", "-c", _UNTIL_WE_END, "sh", *command, "--listen", "127.0.0.1:0"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert shell.stdout is not None
    for line in shell.stdout:
        if ready := _READY.match(line):
            return ready[1], shell
    shell.communicate()
    raise RunStopped("`wildgate serve` ended before it was ready; its words are in the worker's log")
