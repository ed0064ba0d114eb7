"""A page of paragraphs, tables and pictures, written once and shown as Markdown and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TypeAlias

__all__ = ["Heading", "Page", "Paragraph", "Part", "Picture", "Table", "as_html", "as_markdown", "write_page"]

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:1rem 0;display:block;overflow-x:auto}"
    "th,td{padding:.25rem .7rem;border-bottom:1px solid #ddd;text-align:right}"
    "th:first-child,td:first-child{text-align:left}img{max-width:100%}"
)


@dataclass(frozen=True)
class Heading:
    """The title of what follows."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table; every row has as many cells as `header`."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A picture that lies beside the page, and what it shows."""

    file: str
    shows: str


Part: TypeAlias = Heading | Paragraph | Table | Picture


@dataclass(frozen=True)
class Page:
    """A page with its title."""

    title: str
    parts: Sequence[Part]


def as_markdown(page: Page) -> str:
    """The page in GitHub's Markdown."""
    blocks = [f"# {page.title}"]
    for part in page.parts:
        match part:
            case Heading(text):
                blocks.append(f"## {text}")
            case Paragraph(text):
                blocks.append(text)
            case Table(header, rows):
                lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
                blocks.append("\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines))
            case Picture(file, shows):
                blocks.append(f"![{shows}]({file})")
    return "\n\n".join(blocks) + "\n"


def as_html(page: Page) -> str:
    """The page in HTML that needs nothing from elsewhere but its pictures."""
    blocks = []
    for part in page.parts:
        match part:
            case Heading(text):
                blocks.append(f"<h2>{escape(text)}</h2>")
            case Paragraph(text):
                blocks.append(f"<p>{escape(text)}</p>")
            case Table(header, rows):
                head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
                body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
                blocks.append(f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>")
            case Picture(file, shows):
                blocks.append(f'<p><img src="{escape(file)}" alt="{escape(shows)}"></p>')
    title, content = escape(page.title), "\n".join(blocks)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n{content}\n</body>\n</html>\n"
    )


def write_page(folder: Path, name: str, page: Page) -> list[Path]:
    """Writes `folder/name.md` and `.html`; returns both."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.md", folder / f"{name}.html"]
    for file, text in zip(files, (as_markdown(page), as_html(page)), strict=True):
        file.write_text(text, encoding="utf-8")
    return files


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
