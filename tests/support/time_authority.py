"""A time-stamping authority (RFC 3161) of our own: openssl behind an HTTP server."""

from __future__ import annotations

import datetime as dt
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wildgate_enforcement.referral.sealing import Authority, asked_over_http

_CONFIG = """
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
signer_digest = sha256
ess_cert_id_alg = sha256
"""


@contextmanager
def time_authority(folder: Path) -> Iterator[Authority]:
    """An authority with keys of its own in `folder`, that answers while the context lasts.

    For other processes, its address is in `folder`/url and its root in `folder`/root.pem.
    """
    folder.mkdir(exist_ok=True)
    root_key, own_key = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    root = _certificate("root", root_key, "root", root_key, is_root=True)
    own = _certificate("authority", own_key, "root", root_key, is_root=False)
    (folder / "own.pem").write_bytes(own.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(own_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "ts.cnf").write_text(_CONFIG.format(folder=folder))
    (folder / "serial").write_text("01\n")

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query, reply = folder / "query", folder / "reply"
            query.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            command = ["openssl", "ts", "-reply", "-config", "ts.cnf", "-section", "here", "-queryfile", "query"]
            subprocess.run(
                [*command, "-signer", "own.pem", "-inkey", "key.pem", "-out", "reply"],
                cwd=folder,
                check=True,
                capture_output=True,
            )
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(reply.read_bytes())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/"
        (folder / "url").write_text(url)
        (folder / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
        yield Authority(asked_over_http(url), root.public_bytes(Encoding.PEM))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _certificate(
    name: str, key: EllipticCurvePrivateKey, issuer: str, signer: EllipticCurvePrivateKey, *, is_root: bool
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
    )
    if not is_root:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
    return builder.sign(signer, SHA256())


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
