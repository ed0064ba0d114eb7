"""What is made of two readings of a server's metrics."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from wildgate_perf.load_test.server_side import COMPUTE, CORE, QUEUE, ServerSide


class Pages(BaseHTTPRequestHandler):
    told: dict[str, str]

    def do_GET(self) -> None:
        page = self.told.get(self.path)
        self.send_response(200 if page is not None else 404)
        self.end_headers()
        self.wfile.write((page or "").encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def triton(requests: int, waited_us: int, worked_us: int) -> str:
    """Of the ensemble and of a model of it."""
    values = {"request_success": requests, "queue_duration_us": waited_us, "compute_infer_duration_us": worked_us}
    of_model = (f'nv_inference_{name}{{model="clip_decoder",version="1"}} {value}' for name, value in values.items())
    return "\n".join(
        ["# HELP x", *of_model, f'nv_inference_request_success{{model="video_scorer",version="1"}} {requests}']
    )


def test_rows_are_what_changed_between_two_readings(address: str) -> None:
    rows: dict[tuple[str, str], float] = {}
    now = 0.0
    server = ServerSide(address, lambda name, kind, value: rows.update({(name, kind): value}), lambda: now)
    for now, cpu_s, counts in ((10.0, 5.0, (100, 7, 7)), (12.0, 8.0, (110, 20_007, 300_007))):  # noqa: B007
        Pages.told = {
            "/metrics": f'wildgate_process_cpu_seconds_total{{process="gateway"}} {cpu_s}\n',
            "/metrics/triton": triton(*counts),
        }
        server.read()
    assert rows == {
        ("gateway", CORE): 150,
        ("clip_decoder", QUEUE): 2,
        ("clip_decoder", COMPUTE): 30,
        ("video_scorer", QUEUE): 0,
        ("video_scorer", COMPUTE): 0,
    }


def test_without_a_triton_of_its_own_there_are_processes_alone(address: str) -> None:
    rows: list[str] = []
    now = 0.0
    server = ServerSide(address, lambda name, kind, value: rows.append(kind), lambda: now)
    Pages.told = {"/metrics": 'wildgate_process_cpu_seconds_total{process="gateway"} 1\n'}
    server.read()
    now = 1.0
    server.read()
    assert rows == [CORE]
