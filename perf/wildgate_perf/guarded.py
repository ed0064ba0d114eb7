"""What access and boxes cost: the same videos by two servers in turns, one that lets anybody in and one that does not.

    python -m wildgate_perf.guarded [ROUNDS]

The one has neither TLS nor tokens, quotas, filters of system calls nor an end of its workers; the other has mTLS, a
token for each call, a tenant with quotas, and boxes as they are by default. Prints the ratio of processor time per
video of all their processes, by round, and by kind of process.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wildgate_client import ClientOptions, Content, ScoringClient, tls_credentials
from wildgate_perf.server_process import ServerProcess, serving

_SAMPLES = Path(__file__).resolve().parents[2] / "samples"
_ISSUER = "https://issuer.example"
_AT_ONCE, _VIDEOS_A_ROUND, _PATIENCE_S = 2, 24, 300.0
_TENANTS = "default: {requests_per_s: 1000, megabytes_per_s: 10000, in_flight: 32}"
_OPEN: dict[str, Any] = {"box__seccomp": False, "box__videos_per_worker": 10**9}


def _guarded(folder: Path) -> tuple[dict[str, Any], ClientOptions]:
    """Settings of a server that lets nobody in unknown, and how a known caller reaches it."""
    cert, key, keys, tenants, token = (folder / name for name in ("cert", "key", "keys", "tenants", "token"))
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    subject = ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert))
    subprocess.run([*command.split(), *subject], check=True, capture_output=True)
    signing = Ed25519PrivateKey.generate()
    keys.write_bytes(signing.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    claims = {"iss": _ISSUER, "aud": "wildgate", "sub": "bench", "tenant": "t", "scope": "score"}
    token.write_text(jwt.encode(claims | {"exp": int(time.time()) + 86400}, signing, "EdDSA"))
    tenants.write_text(_TENANTS)
    settings: dict[str, Any] = {
        "tls__cert": cert,
        "tls__key": key,
        "tls__client_ca": cert,
        "access__keys": keys,
        "access__issuer": _ISSUER,
        "access__tenants": tenants,
    }
    return settings, ClientOptions(credentials=tls_credentials(cert, cert, key), token_file=token)


async def _cpu_ms_a_video(server: ServerProcess, options: ClientOptions) -> dict[str, float]:
    videos = [Content(file.read_bytes()) for file in sorted(_SAMPLES.glob("*.mp4"))]
    turns = asyncio.Semaphore(_AT_ONCE)
    before = server.cpu_times()
    async with ScoringClient(server.target, options) as client:

        async def score(number: int) -> None:
            async with turns:
                await client.score(videos[number % len(videos)], deadline_s=_PATIENCE_S)

        await asyncio.gather(*(score(number) for number in range(_VIDEOS_A_ROUND)))
    used = server.cpu_times().since(before).by_kind
    return {kind: seconds * 1e3 / _VIDEOS_A_ROUND for kind, seconds in used.items()}


def main(rounds: int) -> None:
    """Measures, and prints what it measured."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        settings, options = _guarded(Path(folder))
        common: dict[str, Any] = {"cache__max_entries": 0, "sampling__workers": 1, "sampling__random_share": 0.0}
        common |= {"admission__max_deadline_s": _PATIENCE_S, "backend__instances": 1}
        sides = [
            (stack.enter_context(serving(**common, **_OPEN)), ClientOptions()),
            (stack.enter_context(serving(**common, **settings)), options),
        ]
        costs: tuple[list[dict[str, float]], ...] = ([], [])
        for number in range(rounds + 1):
            order = (0, 1) if number % 2 else (1, 0)
            for side in order:
                cost = asyncio.run(_cpu_ms_a_video(*sides[side]))
                if number:  # the first warms up
                    costs[side].append(cost)
            if number:
                anybody, guarded = (sum(cost[-1].values()) for cost in costs)
                print(f"{anybody:7.1f} ms, guarded {guarded:7.1f} ms: {guarded / anybody:.3f}", flush=True)
        for kind in sorted(costs[0][0]):
            medians = [statistics.median(cost.get(kind, 0.0) for cost in side) for side in costs]
            print(f"{kind:20} {medians[0]:7.2f} ms, guarded {medians[1]:7.2f} ms")
        ratios = [sum(guarded.values()) / sum(anybody.values()) for anybody, guarded in zip(*costs, strict=True)]
        print(f"median {statistics.median(ratios):.3f} of {rounds} rounds of {_VIDEOS_A_ROUND} videos")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
