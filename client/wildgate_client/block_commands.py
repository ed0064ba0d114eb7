"""`wildgate blocks`: the list of blocked videos, on the command line.

Exit status: 0 done (`check`: nothing was found), 1 not (`check`: a match was found), 2 usage error, 3 `check` failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import io
import json
import sys
from collections.abc import Coroutine
from contextvars import ContextVar
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from time import time
from typing import Annotated, Any, Final

import typer
from PIL import Image, ImageOps

from wildgate_client._blocks import Block, BlocksClient
from wildgate_client._client import ClientOptions, ScoringClient
from wildgate_client._retry import RetryPolicy
from wildgate_client._verdict import MatchedFrame, Verdict
from wildgate_client.block_files import BLOCK_FORMATS, BadLine, BlockWriter, read_blocks
from wildgate_client.connection_options import Cert, Key, TlsCa, TokenFile, chosen_credentials, credentials_of
from wildgate_client.errors import ScoringError
from wildgate_client.other_commands import BLOCKS_GROUP, add_other_commands

__all__ = ["blocks_app"]

_DAY_MS = 86_400_000
_MOST_DAYS = 36_500
_WIDTH_PX, _HEIGHT_PX = 480, 240
# What `wildgate blocks` was given, for the command that follows it.
_token_file: ContextVar[Path | None] = ContextVar("token_file", default=None)

blocks_app = typer.Typer(help="The list of blocked videos.", no_args_is_help=True, pretty_exceptions_enable=False)
Server = Annotated[str, typer.Option(help="Gateway or block service, HOST:PORT.")]
Form = Annotated[str, typer.Option("--format", help=f"One of {', '.join(BLOCK_FORMATS)}.")]
_SERVER: Final = "127.0.0.1:8100"
_CHECK_FAILED: Final = 3


@blocks_app.callback()
def blocks(tls_ca: TlsCa = None, cert: Cert = None, key: Key = None, token_file: TokenFile = None) -> None:
    """The list of blocked videos."""
    chosen_credentials.set(credentials_of(tls_ca, cert, key))
    _token_file.set(token_file)


def _options() -> ClientOptions:
    retry = RetryPolicy(attempts=2)
    return ClientOptions(retry=retry, credentials=chosen_credentials.get(), token_file=_token_file.get())


@blocks_app.command()
def add(
    videos: Annotated[list[Path] | None, typer.Argument(help="Videos to block, and their disguises.")] = None,
    digest: Annotated[list[str] | None, typer.Option(help="blake3:HEX or sha256:HEX of a file to block.")] = None,
    label: Annotated[str, typer.Option(help="What is shown.")] = "",
    reason: Annotated[str, typer.Option(help="Why it is blocked.")] = "",
    source: Annotated[str, typer.Option(help="Where the entry comes from.")] = "",
    days: Annotated[float, typer.Option(help="For how long; 0 for ever.")] = 0.0,
    server: Server = _SERVER,
) -> None:
    """Block videos, or files by their digests."""
    if not videos and not digest:
        raise typer.BadParameter("give videos, or --digest")
    if not 0 <= days <= _MOST_DAYS:
        raise typer.BadParameter(f"{days} is not 0 to {_MOST_DAYS}", param_hint="--days")
    expires_ms = int(time() * 1e3 + days * _DAY_MS) if days else 0
    about: dict[str, Any] = {"label": label, "reason": reason, "source": source, "expires_ms": expires_ms}

    async def run() -> None:
        async with BlocksClient(server, _options()) as client:
            for video in videos or ():
                added = await client.add_video(video, Block(added_by=_user(), **about))
                known = (
                    f"by {added.frames} frames" if added.frames else "by exact copies alone: nothing is decoded there"
                )
                print(f"{added.ids[0]}  {video}  {known}")
            if digest:
                print((await client.add([Block(tuple(digest), added_by=_user(), **about)])).ids[0])

    _run(run())


@blocks_app.command()
def remove(ids: list[str], server: Server = _SERVER) -> None:
    """Take entries off the list."""

    async def run() -> None:
        async with BlocksClient(server, _options()) as client:
            removed = (await client.remove(ids, _user())).ids
        missing = [each for each in ids if each not in removed]
        if missing:
            raise _Failed(f"not on the list: {', '.join(missing)}")

    _run(run())


@blocks_app.command()
def enable(block_id: str, server: Server = _SERVER) -> None:
    """Put an entry in force again."""
    _run(_set_enabled(server, block_id, enabled=True))


@blocks_app.command()
def disable(block_id: str, server: Server = _SERVER) -> None:
    """Keep an entry on the list, out of force."""
    _run(_set_enabled(server, block_id, enabled=False))


@blocks_app.command("list")
def list_entries(server: Server = _SERVER) -> None:
    """Print all entries as JSON lines, without their fingerprints."""

    async def run() -> None:
        async with BlocksClient(server, _options()) as client:
            async for block in client.list():
                fields = asdict(block)
                del fields["fingerprint"]
                print(json.dumps(fields, ensure_ascii=False))

    _run(run())


@blocks_app.command("import")
def import_file(
    file: Path, form: Form = "jsonl", source: Annotated[str, typer.Option()] = "", server: Server = _SERVER
) -> None:
    """Add all entries of a file."""
    _checked(form)

    async def run() -> None:
        count = 0
        try:
            with file.open(encoding="utf-8-sig", newline="") as opened:
                async with BlocksClient(server, _options()) as client:
                    async for added in client.import_blocks(read_blocks(opened, form, source or file.name)):
                        count += len(added.ids)
        except (OSError, UnicodeError, BadLine, ScoringError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise _Failed(f"{file}: {reason}; {_entries(count)} added") from error
        print(_entries(count))

    _run(run())


@blocks_app.command("export")
def export_file(file: Path, form: Form = "jsonl", server: Server = _SERVER) -> None:
    """Write all entries to a file."""
    _checked(form)

    # What is there stays until there is all of the new one.
    beside = file if file.exists() and not file.is_file() else file.with_name(f"{file.name}.part")

    async def run() -> None:
        count = 0
        with beside.open("w", encoding="utf-8", newline="") as opened:
            writer = BlockWriter(opened, form)
            async with BlocksClient(server, _options()) as client:
                async for block in client.export_blocks():
                    writer.write(block)
                    count += 1
        print(_entries(count), file=sys.stderr if beside == file else sys.stdout)

    _run(run())
    if beside != file:
        beside.replace(file)


@blocks_app.command()
def check(
    video: Path,
    picture: Annotated[Path | None, typer.Option(help="Write matching frames side by side, as JPEG.")] = None,
    server: Server = _SERVER,
) -> None:
    """Tell whether a video is blocked, and by what."""

    async def run() -> None:
        async with ScoringClient(server, _options()) as client:
            verdict = await client.score(video, explain_blocks=True)
        _print_matches(verdict)
        frames = [
            frame for match in verdict.block_matches for frame in match.frames if frame.jpeg or frame.original_jpeg
        ]
        if picture and frames:
            _side_by_side(frames).save(picture, "JPEG")
            print(f"the video's frames on the left, the blocked one's on the right: {picture}")
        elif picture:
            exact = "an exact copy is not looked at: " if verdict.block_matches else ""
            print(f"{exact}there are no pictures to show")
        if verdict.block_matches:
            raise typer.Exit(1)

    _run(run(), _CHECK_FAILED)


add_other_commands(blocks_app, metadata.entry_points(group=BLOCKS_GROUP), BLOCKS_GROUP)


class _Failed(Exception):
    pass


def _run(work: Coroutine[Any, Any, None], failed: int = 1) -> None:
    try:
        asyncio.run(work)
    except (ScoringError, _Failed, OSError, UnicodeError) as error:
        print(f"wildgate blocks: {error}", file=sys.stderr)
        raise typer.Exit(failed) from None


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


async def _set_enabled(server: str, block_id: str, *, enabled: bool) -> None:
    async with BlocksClient(server, _options()) as client:
        await client.update(block_id, enabled=enabled)


def _checked(form: str) -> None:
    if form not in BLOCK_FORMATS:
        raise typer.BadParameter(f"{form!r} is none of {', '.join(BLOCK_FORMATS)}", param_hint="--format")


def _user() -> str:
    with contextlib.suppress(KeyError, OSError, ImportError):  # this user id has no name, or the system has none
        return getpass.getuser()
    return ""


def _print_matches(verdict: Verdict) -> None:
    check = verdict.block_check
    asked = "frames and exact copies" if check.frames_compared else "exact copies alone"
    print(f"{verdict.action}; the list is {check.state}, up to change {check.position}; looked for {asked}")
    for match in verdict.block_matches:
        about = ", ".join(filter(None, (match.label, match.reason, match.source)))
        # Others' texts; what controls a terminal is not for it.
        about = "".join(each if each.isprintable() else "?" for each in about)
        print(f"{match.action} {match.kind} {match.block_id} ({about or 'no particulars'})")
        if match.frames:
            print(f"  {len(match.frames)} frames, {match.share:.0%} of those that can match", end="")
            print(f", {match.inliers} points in common" if match.inliers else "")
        for frame in match.frames:
            how = "regions" if frame.regional else "picture"
            print(
                f"  {frame.time_s:8.2f} s is {frame.original_s:8.2f} s of it: {how}, {frame.distance} of 256 bits apart"
            )


def _side_by_side(frames: list[MatchedFrame]) -> Image.Image:
    rows = [[_scaled(jpeg) for jpeg in (frame.jpeg, frame.original_jpeg)] for frame in frames]
    widths = [max(row[side].width for row in rows) for side in (0, 1)]
    sheet = Image.new("RGB", (sum(widths), _HEIGHT_PX * len(rows)))
    for at, (left, right) in enumerate(rows):
        sheet.paste(left, (0, at * _HEIGHT_PX))
        sheet.paste(right, (widths[0], at * _HEIGHT_PX))
    return sheet


def _scaled(jpeg: bytes) -> Image.Image:
    if not jpeg:
        return Image.new("RGB", (_HEIGHT_PX, _HEIGHT_PX))
    return ImageOps.contain(Image.open(io.BytesIO(jpeg)).convert("RGB"), (_WIDTH_PX, _HEIGHT_PX))
