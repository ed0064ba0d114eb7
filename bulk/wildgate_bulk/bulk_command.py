"""`wildgate bulk`: scores an archive by its manifest.

Exit status: 0 every video has a verdict, 1 some have none, 2 usage error or a manifest of no use, 3 stopped before the
end: run the same command again.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from wildgate_bulk.errors import ManifestUnusable, RunStopped
from wildgate_bulk.run import RunOptions, run_bulk
from wildgate_bulk.scorer import GatewayOptions
from wildgate_client import Scrutiny
from wildgate_client.connection_options import Cert, Key, TlsCa, TokenFile, credentials_of

__all__ = ["bulk_command"]

_FAILURES, _USAGE, _STOPPED = 1, 2, 3

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def bulk_command(args: list[str]) -> int:
    """Runs the command; returns the exit status."""
    try:
        app(args, prog_name="wildgate bulk")
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 1
    return 0


@app.command()
def bulk(
    manifest: Annotated[
        str, typer.Argument(metavar="INPUT", help="Parquet (a file or a folder), CSV or JSON lines; a path or a URI.")
    ],
    output: Annotated[str, typer.Argument(help="Folder that all nodes see; a path or a URI such as s3://bucket/run.")],
    server: Annotated[
        str, typer.Option(metavar="HOST:PORT", envvar="WILDGATE_SERVER", help="Any gRPC target.")
    ] = "127.0.0.1:8100",
    local: Annotated[
        bool,
        typer.Option("--local", help="Each worker starts a gateway with a Triton, by this shell's WILDGATE_..."),
    ] = False,
    form: Annotated[
        str | None, typer.Option("--format", metavar="FORMAT", help="parquet, csv or jsonl; else by the suffix.")
    ] = None,
    id_column: Annotated[str | None, typer.Option(help="What rows are known by; by default the URI.")] = None,
    uri_column: Annotated[str, typer.Option(help="Where the video is.")] = "uri",
    rows_per_file: Annotated[
        int, typer.Option(min=1, help="Rows of a file of the output; as many are scored again where a worker is lost.")
    ] = 1000,
    min_workers: Annotated[int, typer.Option(min=1, help="Workers at the least.")] = 1,
    max_workers: Annotated[
        int | None, typer.Option(min=1, help="Workers at the most; by default as many as there is room for.")
    ] = None,
    worker_cpus: Annotated[
        float | None, typer.Option(min=0.1, help="Cores of a worker [1; with --local those of a node but one]")
    ] = None,
    in_flight: Annotated[
        int, typer.Option(min=1, help="Videos that one worker has under way at the most; fewer where some are refused.")
    ] = 64,
    deadline_s: Annotated[float, typer.Option(min=0.001, help="Seconds for one video.")] = 60.0,
    patience_s: Annotated[float, typer.Option(min=0, help="How long to wait for a gateway that is away.")] = 600.0,
    fingerprints: Annotated[
        bool, typer.Option(help="Have what the list of blocks recognises videos by; keeps the verdict cache out.")
    ] = True,
    scrutiny: Annotated[
        Scrutiny, typer.Option(case_sensitive=False, help="How closely to look; HIGH costs several times as much.")
    ] = Scrutiny.NORMAL,
    tls_ca: TlsCa = None,
    cert: Cert = None,
    key: Key = None,
    token_file: TokenFile = None,
    ray_address: Annotated[
        str | None, typer.Option(envvar="RAY_ADDRESS", help="Cluster; without it, Ray on this machine.")
    ] = None,
) -> None:
    """Score all videos of INPUT, a URI a row, into Parquet. The same command again goes on with what is left."""
    credentials_of(tls_ca, cert, key)  # says here what is wrong with them
    if form not in (None, "parquet", "csv", "jsonl"):
        raise typer.BadParameter(f"{form!r} is not parquet, csv or jsonl", param_hint="--format")
    if max_workers is not None and max_workers < min_workers:
        raise typer.BadParameter(f"{max_workers} is less than --min-workers {min_workers}", param_hint="--max-workers")
    gateway = GatewayOptions(
        server=None if local else server,
        tls_ca=tls_ca,
        cert=cert,
        key=key,
        token_file=token_file,
        deadline_s=deadline_s,
        in_flight=in_flight,
        patience_s=patience_s,
        scrutiny=scrutiny,
        fingerprints=fingerprints,
    )
    options = RunOptions(
        manifest=manifest,
        output=output,
        form=form,
        id_column=id_column,
        uri_column=uri_column,
        rows_per_file=rows_per_file,
        min_workers=min_workers,
        max_workers=max_workers,
        worker_cpus=worker_cpus,
        ray_address=ray_address,
    )
    try:
        outcome = run_bulk(options, gateway)
    except ManifestUnusable as error:
        print(f"wildgate bulk: {error}", file=sys.stderr)
        raise typer.Exit(_USAGE) from None
    except RunStopped as error:
        print(f"wildgate bulk: stopped: {error}\nThe same command goes on with what is left.", file=sys.stderr)
        raise typer.Exit(_STOPPED) from None
    print(f"{outcome.verdicts} verdicts, {outcome.failures} failures in {output}/videos")
    if outcome.failures:
        raise typer.Exit(_FAILURES)
