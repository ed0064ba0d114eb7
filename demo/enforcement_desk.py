"""`wildgate enforce` beside the demo's gateway, with people who hold tokens, and the commands that they type."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wildgate_perf.local_server import LocalServer, LocalServerOptions

__all__ = ["PEOPLE", "EnforcementDesk", "wildgate"]

_ISSUER = "https://demo.example"
_SERVICES = {"gateway": "gateway", "platform": "reporter"}
PEOPLE = {"ann": "moderator", "ben": "moderator", "sue": "senior", "otto": "auditor"}
_TOKENS_HOLD_S = 3600
_COMMAND_S = 60
_WILDGATE = (sys.executable, "-m", "wildgate_client.cli")


class EnforcementDesk:
    """Keys and tokens in `directory`, made anew, and the service (SQLite) that takes them at `address`."""

    def __init__(self, directory: Path, address: str) -> None:
        self.address = address
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True)
        key = Ed25519PrivateKey.generate()
        (directory / "keys.pem").write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        usual = {"iss": _ISSUER, "aud": "wildgate", "exp": int(time.time()) + _TOKENS_HOLD_S}
        for who, role in (_SERVICES | PEOPLE).items():
            self.token_file(who).write_text(jwt.encode(usual | {"sub": who, "roles": [role]}, key, "EdDSA"))

    def token_file(self, who: str) -> Path:
        """Where the token of a person or process lies."""
        return (self._directory / f"{who}.token").absolute()

    @property
    def gateway_environment(self) -> dict[str, str]:
        """What has a gateway hand its cases over here."""
        return {
            "WILDGATE_ENFORCEMENT__TARGET": self.address,
            "WILDGATE_ENFORCEMENT__SPOOL_DIRECTORY": str((self._directory / "spool").absolute()),
            "WILDGATE_ENFORCEMENT__TOKEN_FILE": str(self.token_file("gateway")),
        }

    def service(self, blocks: str, log_path: Path, console: str = "") -> LocalServer:
        """The service, not started yet; it asks for two persons, and its blocks go to the gateway at `blocks`.

        `console` is where people's browsers find it, "" where they do not.
        """
        options = (
            *("--directory", str(self._directory), "--listen", self.address, "--blocks", blocks),
            *("--access.keys", str(self._directory / "keys.pem"), "--access.issuer", _ISSUER),
            *("--policy.second-share", "1", "--sign-every-s", "0.5"),
            *(("--console", console) if console else ()),
        )
        return LocalServer(LocalServerOptions(log_path=log_path, command=(*_WILDGATE, "enforce", *options)))

    def cases(self, who: str, *arguments: str) -> str:
        """What `wildgate cases` prints to that person. Raises CalledProcessError where it fails."""
        about = ("--server", self.address, "--token-file", str(self.token_file(who)))
        return wildgate("cases", *arguments, *about)

    def verified_log(self) -> str:
        """What `wildgate cases verify-log` says, with the key that the service made. Raises CalledProcessError."""
        return self.cases("otto", "verify-log", "--key", str(self._directory / "log-key.pem.pub"))


def wildgate(*command: str) -> str:
    """What `wildgate` prints. Raises CalledProcessError where it fails, having said why to stderr."""
    done = subprocess.run([*_WILDGATE, *command], stdout=subprocess.PIPE, text=True, timeout=_COMMAND_S, check=True)
    return done.stdout.strip()
