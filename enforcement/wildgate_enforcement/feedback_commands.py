"""`wildgate cases report` and `data-set`: what decided cases say of the verdicts, and give back to the detector."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from wildgate_client.connection_options import TokenFile
from wildgate_client.result_table import print_table
from wildgate_enforcement.calling import SERVER, Call, Server, calling
from wildgate_enforcement.data_set import DataSet
from wildgate_enforcement.event_chain import ChainCheck
from wildgate_enforcement.log_commands import checked_events
from wildgate_enforcement.quality import Quality, quality
from wildgate_enforcement.quality_picture import quality_picture
from wildgate_proto.v1 import cases_pb2 as pb

__all__ = ["data_set", "report"]

_DECIDED = ("CASE_STATE_CONFIRMED", "CASE_STATE_HARMLESS")


def report(
    picture: Annotated[Path | None, typer.Option(metavar="SVG", dir_okay=False, help="Draw it there, too.")] = None,
    server: Server = SERVER,
    token_file: TokenFile = None,
) -> None:
    """Print how good verdicts and decisions are, by week and label, from the log."""

    async def work(call: Call) -> None:
        events = [json.loads(link.canonical) async for link in checked_events(call, ChainCheck())]
        found = quality(events)
        table = Table("week", "label", *_COLUMNS)
        for (week, label), row in found.items():
            table.add_row(week, Text(label), *(show(row) for show in _COLUMNS.values()))
        print_table(table, sys.stdout)
        if picture:
            picture.write_text(quality_picture(found))

    calling(server, token_file, work)


def data_set(
    folder: Annotated[Path, typer.Argument(file_okay=False, help="For coco.json and its pictures.")],
    label: Annotated[list[str] | None, typer.Option(help="Only cases confirmed as these; all by default.")] = None,
    server: Server = SERVER,
    token_file: TokenFile = None,
) -> None:
    """Write the pictures of decided cases as a COCO data set, for `make detector DATA=FOLDER/coco.json`."""

    async def work(call: Call) -> None:
        data, page_token = DataSet(folder, label or ()), ""
        while True:
            page = await call("ListCases", pb.ListCasesRequest(states=_DECIDED, page_token=page_token))
            for listed in page.cases:
                case = await call("GetCase", pb.GetCaseRequest(case_id=listed.id))
                if data.shows(case) is None:
                    data.left_out += case.evidence_frames
                    continue
                for index in range(case.evidence_frames):
                    frame = await call("GetEvidence", pb.GetEvidenceRequest(case_id=case.id, index=index))
                    data.add(case, index, frame)
            if not (page_token := page.next_page_token):
                break
        print(f"{data.pictures} pictures in {data.write()}; {data.left_out} left out")

    calling(server, token_file, work)


_COLUMNS: dict[str, Callable[[Quality], str]] = {
    "decided": lambda row: str(row.confirmed + row.harmless),
    "precision": lambda row: _percent(row.precision),
    "ALLOWs sampled": lambda row: str(row.samples),
    "wrong": lambda row: _percent(row.wrong_allows),
    "second agrees": lambda row: _percent(row.agreement),
    "appeals upheld": lambda row: f"{row.upheld} of {row.upheld + row.reversed}",
    "median hours": lambda row: "" if row.median_hours is None else f"{row.median_hours:.1f}",
}


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"
