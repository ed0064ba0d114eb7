"""Lists of blocks as files that platforms exchange. PDQ hashes are of full pictures, hexadecimal as PDQ writes them.

csv             a line for each hash: `id,pdq,quality,time_s,digest,label,reason,source`; lines of one id are one entry
jsonl           a line for each entry: the fields of `Block`, and `frames` with `pdq`, `quality` and `time_s`
hma             a line for each hash, as Hasher-Matcher-Actioner has content of a bank: `bank`, `enabled`, `signals`
threatexchange  a line for each hash, as ThreatExchange's threat_updates has it: `type`, `indicator`, `descriptors`

https://github.com/facebook/ThreatExchange (hasher-matcher-actioner) and
https://developers.facebook.com/docs/threat-exchange/reference/apis/threat-updates.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any, TextIO

from wildgate_client._blocks import Block
from wildgate_client._verdict import Fingerprint, FrameFingerprint

__all__ = ["BLOCK_FORMATS", "BadLine", "BlockWriter", "read_blocks"]

_COLUMNS = ("id", "pdq", "quality", "time_s", "digest", "label", "reason", "source")
_HASH_BYTES = 32
_FULL_QUALITY = 100  # of a hash that came without its quality: others exchange none that are worth nothing
_PLAIN = ("id", "label", "reason", "source", "added_by", "added_ms", "expires_ms", "disabled")
_NOTHING = Block()
Line = Mapping[str, Any]


class BadLine(ValueError):
    """A line that cannot be read: names its number and what is wrong."""


def read_blocks(file: TextIO, form: str, source: str = "") -> Iterator[Block]:
    """The entries in a file; those without a source of their own get `source`. Raises BadLine."""
    read = 0
    try:
        if form == "csv":
            lines: Iterator[Line] = csv.DictReader(file, strict=True)
        else:
            lines = _json_lines(file)
        for block in _READ[form](lines):
            read += 1
            if block.digests or block.fingerprint:
                yield block if block.source else replace(block, source=source)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, csv.Error) as error:
        missing = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise BadLine(f"after entry {read}: {missing}") from error


class BlockWriter:
    """Writes entries to a file, one at a time; csv has a line with the names first."""

    def __init__(self, file: TextIO, form: str) -> None:
        self._lines = _WRITTEN[form]
        self._file = file
        self._csv = csv.DictWriter(file, _COLUMNS) if form == "csv" else None
        if self._csv:
            self._csv.writeheader()

    def write(self, block: Block) -> None:
        """Writes one; nothing, if it has none of what this format can tell."""
        for line in self._lines(block):
            if self._csv:
                self._csv.writerow(line)
            else:
                self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")


def _json_lines(file: TextIO) -> Iterator[Line]:
    """JSON by the line, or one document that is a list, or has one in `data`, as answers of these services have."""
    first = file.readline()
    try:
        document = json.loads(first or "[]")
    except ValueError:  # it goes on in the lines that follow
        try:
            document = json.loads(first + file.read())
        except ValueError as error:
            raise ValueError(f"it is not JSON: {error}") from error
    yield from _objects(document)
    for number, line in enumerate(file, 2):
        if line.strip():
            try:
                document = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
            yield from _objects(document)


def _objects(document: Any) -> Iterator[Line]:
    if isinstance(document, dict):
        document = document["data"] if isinstance(document.get("data"), list) else [document]
    for each in document if isinstance(document, list) else [document]:
        if not isinstance(each, dict):
            raise ValueError(f"{str(each)[:40]!r} is no object")
        yield each


def _frame(line: Line, pdq: Any = None) -> FrameFingerprint:
    code = bytes.fromhex(pdq if pdq is not None else line["pdq"])
    if len(code) != _HASH_BYTES:
        raise ValueError(f"a PDQ hash has {2 * _HASH_BYTES} hexadecimal digits, not {2 * len(code)}")
    quality = line.get("quality")
    worth = _FULL_QUALITY if quality in (None, "") else int(quality)
    if not 0 <= worth <= _FULL_QUALITY:
        raise ValueError(f"a quality is 0 to {_FULL_QUALITY}, not {worth}")
    return FrameFingerprint(float(line.get("time_s") or 0.0), worth, (code,))


def _from_csv(lines: Iterable[Line]) -> Iterator[Block]:
    before = set[str]()
    for at, (block_id, same) in enumerate(groupby(lines, key=lambda line: line.get("id") or object())):
        group = list(same)
        if block_id in before:
            raise ValueError(f"lines of entry {block_id!r} are not together")
        before.update([block_id] if isinstance(block_id, str) else ())
        frames = tuple(_frame(line) for line in group if line.get("pdq"))
        first = group[0]
        if not frames and not first.get("digest"):
            raise ValueError(f"entry {at + 1} has neither pdq nor digest")
        yield Block(
            id=block_id if isinstance(block_id, str) else "",
            digests=tuple(dict.fromkeys(line["digest"] for line in group if line.get("digest"))),
            fingerprint=Fingerprint(frames) if frames else None,
            label=first.get("label") or "",
            reason=first.get("reason") or "",
            source=first.get("source") or "",
        )


def _from_jsonl(lines: Iterable[Line]) -> Iterator[Block]:
    for line in lines:
        frames = [_frame(frame) for frame in line.get("frames", ())]
        if "pdq" in line:
            frames.append(_frame(line))
        about = {name: line[name] for name in _PLAIN if name in line}
        for name, value in about.items():
            if type(value) is not type(getattr(_NOTHING, name)) or (type(value) is int and not 0 <= value < 1 << 63):
                raise ValueError(f"{name} is {str(value)[:40]!r}")
        digests = line.get("digests", [])
        if not isinstance(digests, list) or not all(isinstance(digest, str) for digest in digests):
            raise ValueError("digests are no list of texts")
        yield Block(
            digests=tuple(digests),
            fingerprint=Fingerprint(tuple(frames), float(line.get("duration_s", 0.0))) if frames else None,
            **about,
        )


def _from_hma(lines: Iterable[Line]) -> Iterator[Block]:
    for line in lines:
        pdq = (line.get("signals") or {}).get("pdq")
        yield Block(
            id=f"{line['bank']}/{line['id']}",
            fingerprint=Fingerprint((_frame(line, pdq),)) if pdq else None,
            source=f"hma:{line['bank']}",
            disabled=not line.get("enabled", True),
        )


def _from_threatexchange(lines: Iterable[Line]) -> Iterator[Block]:
    for line in lines:
        opinions = line.get("descriptors", {}).get("data", [])
        if line.get("should_delete") or not any(opinion.get("status") == "MALICIOUS" for opinion in opinions):
            continue
        kind, indicator = line["type"], line["indicator"]
        tags = sorted({str(tag) for opinion in opinions for tag in _tags(opinion)})
        yield Block(
            id=f"threatexchange/{line['id']}",
            digests=(f"sha256:{indicator.lower()}",) if kind == "HASH_SHA256" else (),
            fingerprint=Fingerprint((_frame(line, indicator),)) if kind == "HASH_PDQ" else None,
            label=",".join(tags)[:1024],
            source="threatexchange",
        )


def _tags(opinion: Line) -> list[str]:
    tags = opinion.get("tags", [])
    return [tag["text"] for tag in tags["data"]] if isinstance(tags, dict) else tags


def _hashes(block: Block) -> Iterator[tuple[FrameFingerprint, str]]:
    for frame in block.fingerprint.frames if block.fingerprint else ():
        yield frame, frame.hashes[0].hex()


def _to_csv(block: Block) -> Iterator[Line]:
    about = {name: getattr(block, name) for name in ("id", "label", "reason", "source")}
    for digest in block.digests:
        yield {**about, "digest": digest}
    for frame, pdq in _hashes(block):
        yield {**about, "pdq": pdq, "quality": frame.quality, "time_s": frame.time_s}


def _to_jsonl(block: Block) -> Iterator[Line]:
    yield {
        **{name: getattr(block, name) for name in _PLAIN},
        "digests": block.digests,
        "duration_s": block.fingerprint.duration_s if block.fingerprint else 0.0,
        "frames": [{"pdq": pdq, "quality": frame.quality, "time_s": frame.time_s} for frame, pdq in _hashes(block)],
    }


def _to_hma(block: Block) -> Iterator[Line]:
    for at, (_, pdq) in enumerate(_hashes(block)):
        name = f"{block.id}.{at}"
        yield {"id": name, "bank": "WILDGATE", "enabled": not block.disabled, "signals": {"pdq": pdq}}


def _to_threatexchange(block: Block) -> Iterator[Line]:
    digests = [
        (kind.upper(), value) for kind, _, value in (each.partition(":") for each in block.digests) if kind == "sha256"
    ]
    for at, (kind, indicator) in enumerate([*digests, *(("PDQ", pdq) for _, pdq in _hashes(block))]):
        opinion = {"status": "MALICIOUS", "tags": [block.label] if block.label else [], "description": block.reason}
        yield {
            "id": f"{block.id}.{at}",
            "type": f"HASH_{kind}",
            "indicator": indicator,
            "last_updated": block.added_ms // 1000,
            "should_delete": block.disabled,
            "descriptors": {"data": [opinion]},
        }


_READ: Mapping[str, Callable[[Iterable[Line]], Iterator[Block]]] = {
    "csv": _from_csv,
    "jsonl": _from_jsonl,
    "hma": _from_hma,
    "threatexchange": _from_threatexchange,
}
_WRITTEN: Mapping[str, Callable[[Block], Iterator[Line]]] = {
    "csv": _to_csv,
    "jsonl": _to_jsonl,
    "hma": _to_hma,
    "threatexchange": _to_threatexchange,
}
BLOCK_FORMATS = tuple(_READ)
"""By name."""
