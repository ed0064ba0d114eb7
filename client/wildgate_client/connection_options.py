"""The options by which commands reach a server that lets nobody in unknown."""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path
from typing import Annotated

import grpc
import typer

from wildgate_client._client import tls_credentials

__all__ = ["Cert", "Key", "TlsCa", "TokenFile", "chosen_credentials", "credentials_of"]

TokenFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", envvar="WILDGATE_TOKEN_FILE", dir_okay=False, help="Your bearer token, read anew for each call."
    ),
]
TlsCa = Annotated[
    Path | None,
    typer.Option(metavar="FILE", envvar="WILDGATE_TLS_CA", help="The server's CA (PEM); with it, TLS."),
]
Cert = Annotated[
    Path | None,
    typer.Option(metavar="FILE", envvar="WILDGATE_CERT", help="Your certificate (PEM), where the server asks for one."),
]
Key = Annotated[Path | None, typer.Option(metavar="FILE", envvar="WILDGATE_KEY", help="Its private key (PEM).")]

chosen_credentials: ContextVar[grpc.ChannelCredentials | None] = ContextVar("chosen_credentials", default=None)
"""What a group of commands was given, for the command that follows it."""


def credentials_of(tls_ca: Path | None, cert: Path | None, key: Path | None) -> grpc.ChannelCredentials | None:
    """What the options stand for; None in the clear. Raises typer.BadParameter."""
    try:
        return tls_credentials(tls_ca, cert, key)
    except OSError as error:
        raise typer.BadParameter(f"{error.filename}: {error.strerror}", param_hint="--tls-ca, --cert, --key") from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
