"""`wildgate screen`: screens queries here, without a server; also tries a lexicon and suggests terms for it.

Exit status: 0 done, 1 a file could not be read, 2 usage error or the lexicon was refused.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from wildgate_search.answer import Action, Answer
from wildgate_search.errors import LexiconError
from wildgate_search.lexicon import SHIPPED_LEXICON, load_lexicon
from wildgate_search.screener import Screener
from wildgate_search.suggestions import suggested

__all__ = ["screen_command"]

_USAGE = 2

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def screen_command(args: list[str]) -> int:
    """Runs the command; returns the exit status."""
    try:
        app(args, prog_name="wildgate screen")
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 1
    return 0


@app.command()
def screen(
    queries: Annotated[list[str] | None, typer.Argument(metavar="QUERY...", help="As they were typed.")] = None,
    file: Annotated[Path | None, typer.Option(dir_okay=False, help="Queries, one a line; - for stdin.")] = None,
    lexicon: Annotated[Path, typer.Option(file_okay=False, help="Directory of YAML files.")] = SHIPPED_LEXICON,
    locale: Annotated[str, typer.Option(help="Language of the messages.")] = "en",
    explain: Annotated[
        bool, typer.Option("--explain", help="Say which terms were found and what each rule lacks.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per query and line.")] = False,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Print new terms that the queries suggest instead.")
    ] = False,
    least: Annotated[int, typer.Option(min=2, help="Of how many restricted queries a suggestion must be.")] = 5,
) -> None:
    """Screen queries. Without one, only check the lexicon."""
    if suggest and not (queries or file):
        raise typer.BadParameter("give queries, or --file", param_hint="--suggest")
    try:
        screener = Screener(load_lexicon(lexicon))
    except LexiconError as error:
        print(f"wildgate screen: the lexicon is refused:\n{error}", file=sys.stderr)
        raise typer.Exit(_USAGE) from None
    try:
        lines = [*(queries or ()), *(_lines(file) if file else ())]
    except (OSError, UnicodeDecodeError) as error:
        print(f"wildgate screen: {file}: cannot be read: {getattr(error, 'strerror', error)}", file=sys.stderr)
        raise typer.Exit(1) from None
    if not (queries or file):
        terms = sum(len(list(entry.terms())) for entry in screener.lexicon.entries)
        print(f"lexicon {screener.version}: {terms} terms, {len(screener.lexicon.rules)} rules, sound")
    elif suggest:
        for each in suggested(screener, lines, least):
            print(f"{each.word}\t{each.restricted} restricted, {each.others} other queries, {each.bits:.1f} bits")
    else:
        for query in lines:
            answer = screener.screen(query, locale, explain=explain)
            print(_json(query, answer) if as_json else _text(query, answer), flush=True)


def _lines(file: Path) -> Iterable[str]:
    text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    return text.splitlines()


def _json(query: str, answer: Answer) -> str:
    fields = dataclasses.asdict(answer) | {"action": answer.action.name}
    return json.dumps({"query": query, **fields}, ensure_ascii=False)


def _text(query: str, answer: Answer) -> str:
    shown = "".join(each if each.isprintable() else "?" for each in query)
    rows = [f"{answer.action.name:8}  {shown}"]
    if answer.action is not Action.NONE:
        terms = ", ".join(
            f"{match.term} [{match.start}:{match.end}]" for match in answer.matches if not match.excused_by
        )
        rows += [
            f"          {answer.rule}: {answer.reason} ({terms})",
            f"          {answer.message_id}: {answer.message}",
        ]
    return "\n".join([*rows, *(f"          {note}" for note in answer.notes)])
