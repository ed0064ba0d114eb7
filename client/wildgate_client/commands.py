"""The command line of `wildgate`: options and exit statuses, nothing more.

Exit status of `score`: 0 every video was scored, 1 some were not, 2 usage error.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from wildgate_client import ClientOptions, ScoringClient, Scrutiny, StreamResult
from wildgate_client.annotate import Annotator, without_evidence
from wildgate_client.block_commands import blocks_app
from wildgate_client.connection_options import Cert, Key, TlsCa, TokenFile, credentials_of
from wildgate_client.json_lines import json_line
from wildgate_client.other_commands import GROUP, add_other_commands
from wildgate_client.result_table import print_table, result_table
from wildgate_client.score_files import ScoreOptions, score_files

__all__ = ["app"]

DEFAULT_SERVER = "127.0.0.1:8100"  # where `wildgate serve` listens by default
# Asked for with `--annotate`, per video: the best frames, few enough to look through.
EVIDENCE_FRAMES = 4

app = typer.Typer(
    help="Scores short videos for wildlife-trafficking content.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wildgate {metadata.version('wildgate-client')}")
        raise typer.Exit


@app.callback()
def wildgate(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Scores short videos for wildlife-trafficking content."""


@app.command()
def score(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Paths, sent as content, or URIs (file:, http:, https:, s3:, gs:), read by the server.",
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per video and line instead of a table.")
    ] = False,
    server: Annotated[
        str, typer.Option(metavar="HOST:PORT", envvar="WILDGATE_SERVER", help="Any gRPC target.")
    ] = DEFAULT_SERVER,
    annotate: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Write frames with boxes and labels drawn there; every file is sent for that.",
        ),
    ] = None,
    tls_ca: TlsCa = None,
    cert: Cert = None,
    key: Key = None,
    token_file: TokenFile = None,
    deadline_s: Annotated[float, typer.Option(min=0.001, help="Seconds for one video, all attempts together.")] = 60.0,
    concurrency: Annotated[int, typer.Option(min=1, help="Videos under way at a time.")] = 4,
    digest_first: Annotated[
        bool,
        typer.Option(
            "--digest-first",
            help="Ask by digest, and send a file only where that has no verdict yet. --annotate switches it off.",
        ),
    ] = False,
    scrutiny: Annotated[
        Scrutiny,
        typer.Option(case_sensitive=False, help="How closely to look; HIGH costs several times as much."),
    ] = Scrutiny.NORMAL,
) -> None:
    """Score videos. Exits 0 when all were scored, 1 when some were not."""
    options = ScoreOptions(
        concurrency=concurrency,
        deadline_s=deadline_s,
        max_evidence_frames=EVIDENCE_FRAMES if annotate else 0,
        digest_first=digest_first,
        scrutiny=scrutiny,
    )
    try:
        annotator = Annotator(annotate) if annotate else None
    except OSError as error:
        raise typer.BadParameter(f"{annotate}: {error.strerror}", param_hint="--annotate") from error
    credentials = credentials_of(tls_ca, cert, key)
    connection = ClientOptions(deadline_s=deadline_s, credentials=credentials, token_file=token_file)
    results = asyncio.run(_score(server, connection, files, options, annotator, as_json=as_json))
    if not as_json:
        print_table(result_table(results), sys.stdout)
    if annotator:
        print(f"{len(annotator.paths)} annotated frames in {annotate}", file=sys.stderr)
    if any(result.error for result in results):
        raise typer.Exit(1)


app.add_typer(blocks_app, name="blocks")
add_other_commands(app, metadata.entry_points(group=GROUP))


async def _score(
    server: str,
    connection: ClientOptions,
    names: list[str],
    options: ScoreOptions,
    annotator: Annotator | None,
    *,
    as_json: bool,
) -> list[StreamResult]:
    """All results in the order given, without their evidence frames, which are written to files as they come."""
    results: list[StreamResult] = []
    stderr = Console(stderr=True)
    progress = Progress(
        TextColumn("scoring"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
        # JSON lines and progress on one terminal would garble each other.
        disable=len(names) < 2 or not stderr.is_terminal or (as_json and sys.stdout.isatty()),
        redirect_stdout=False,  # rich would send the JSON lines to stderr
        redirect_stderr=False,
    )
    with progress:
        done = progress.add_task("scoring", total=len(names))
        async with (
            ScoringClient(server, connection) as client,
            contextlib.aclosing(score_files(client, names, options)) as scored,
        ):
            async for result in scored:
                if annotator:
                    annotator.write(result)
                results.append(without_evidence(result))
                progress.advance(done)
                if as_json:
                    print(json_line(result), flush=True)
    return results
