"""How fast the console's pages are with many cases in the database, over HTTP: `python -m wildgate_perf.console`."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from random import Random

import httpx2
from sqlalchemy import insert, select

from wildgate_console.serving import serving
from wildgate_enforcement.database import Database, wall_clock_ms
from wildgate_enforcement.ranking import pressing, rank_of
from wildgate_enforcement.service import denial_log
from wildgate_enforcement.settings import EnforcementSettings
from wildgate_enforcement.tables import CaseRow, EvidenceRow, SkillRow, SubjectRow
from wildgate_proto.v1 import blocks_pb2, scoring_pb2
from wildgate_server.access.tokens import Caller

_BATCH = 2000
_JPEG_BYTES = 40_000
_PAGES = {
    "queue": "/queue",
    "queue, one label": "/queue?label=live_parrot",
    "queue, one language": "/queue?language=es",
    "queue, decided": "/queue?state=harmless",
    "figures": "/figures",
}


class _Anybody:
    def revokes(self, fingerprint: str) -> bool:
        return False

    async def caller(self, token: str) -> Caller:
        return Caller(token, roles=frozenset({"moderator", "senior"}))


def _verdict(number: int) -> bytes:
    random = Random(number)
    label = ("live_parrot", "ivory")[number % 2]
    detection = scoring_pb2.Detection(label=label, score=0.5, box=scoring_pb2.Box(x2=1, y2=1))
    return scoring_pb2.Verdict(
        action="ACTION_REVIEW",
        labels=[
            scoring_pb2.LabelVerdict(label=label, score=(number % 97) / 97, cites_appendix="I", action="ACTION_REVIEW")
        ],
        detections=[detection] * 16,
        coverage=scoring_pb2.Coverage(looked_at_s=[float(second) for second in range(32)], last_frame_s=32),
        fingerprint=blocks_pb2.Fingerprint(
            frames=[
                blocks_pb2.FrameFingerprint(
                    time_s=4.0 * at, quality=90, hashes=[random.randbytes(32) for _ in range(5)]
                )
                for at in range(8)
            ]
        ),
    ).SerializeToString()


async def _fill(database: Database, cases: int) -> None:
    """Two of three wait, as after a bad week; each has a subject, a skill and a picture."""
    now_ms = database.now_ms
    for start in range(0, cases, _BATCH):
        numbers = range(start, min(start + _BATCH, cases))
        rows, skills, subjects, frames = [], [], [], []
        for number in numbers:
            case_id, verdict, decided = f"{number:032x}", _verdict(number), number % 3 == 0
            opened_ms = now_ms - number * 1000
            about = pressing(scoring_pb2.Verdict.FromString(verdict), number % 1000, False, opened_ms)
            rank = -1e12 if decided else rank_of(about, EnforcementSettings.model_fields["policy"].default.rank)
            usual = {"verdict": verdict, "sample": False, "opened_ms": opened_ms, "rank": rank}
            state = "harmless" if decided else "open"
            rows.append({"id": case_id, "content_digest": f"blake3:{number:064x}", "state": state, **usual})
            skills.append({"case_id": case_id, "skill": f"lang:{('en', 'es', 'zh')[number % 3]}"})
            subjects.append(
                {
                    "case_id": case_id, "video_id": f"v{number}", "uri": "", "account": f"a{number % 5000}",
                    "listing": "", "language": "en", "views": number % 1000, "disseminating": False,
                    "added_ms": opened_ms,
                }
            )  # fmt: skip
            if number < 1000:
                frames.append({"case_id": case_id, "number": 0, "time_s": 1.0, "jpeg": bytes(_JPEG_BYTES)})
        async with database.writing("perf") as transaction:
            for table, values in ((CaseRow, rows), (SkillRow, skills), (SubjectRow, subjects), (EvidenceRow, frames)):
                if values:
                    await transaction.session.execute(insert(table), values)


async def _measure(cases: int, rounds: int) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as directory:
        settings = EnforcementSettings(directory=Path(directory), console="127.0.0.1:0", _cli_parse_args=False)
        database = Database(settings.database_url, wall_clock_ms)
        await database.migrate()
        await _fill(database, cases)
        found: dict[str, list[float]] = {}
        async with (
            serving(settings, database, _Anybody(), denial_log(database)) as address,
            httpx2.AsyncClient(base_url=address, timeout=60) as client,
        ):
            await client.post("/login", data={"token": "perf"})
            async with database.reading() as session:
                some = (await session.scalars(select(EvidenceRow.case_id).limit(rounds))).all()
            for number in range(rounds):
                for name, path in _PAGES.items():
                    found.setdefault(name, []).append(await _timed(client, path))
                started = time.perf_counter()
                page = (await client.get(f"/cases/{some[number % len(some)]}")).text
                found.setdefault("a case's page", []).append((time.perf_counter() - started) * 1e3)
                await client.get(page.partition('<img src="')[2].partition('"')[0])
                found.setdefault("a case's page and first frame", []).append((time.perf_counter() - started) * 1e3)
        await database.close()
    return {
        name: {"median_ms": round(statistics.median(each), 1), "max_ms": round(max(each), 1)}
        for name, each in found.items()
    }


async def _timed(client: httpx2.AsyncClient, path: str) -> float:
    started = time.perf_counter()
    (await client.get(path)).raise_for_status()
    return (time.perf_counter() - started) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--output", type=Path, default=Path("perf/results/console.json"))
    arguments = parser.parse_args()
    pages = asyncio.run(_measure(arguments.cases, arguments.rounds))
    about = {"cases": arguments.cases, "rounds": arguments.rounds, "pages": pages}
    arguments.output.write_text(json.dumps(about, indent=2) + "\n")
    for name, figures in pages.items():
        print(f"{name}: {figures['median_ms']} ms at the median, {figures['max_ms']} ms at most")


if __name__ == "__main__":
    main()
