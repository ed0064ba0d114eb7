"""What the sections of the configuration have in common; each stands beside what it configures."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

__all__ = ["ConfigSection", "HostPort", "host_and_port"]


class ConfigSection(BaseModel):
    """A section of the gateway's settings: frozen, checked, and described by its attributes' docstrings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def host_and_port(text: str) -> str:
    """Checks `HOST:PORT`; port 0 lets the system choose one. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdigit() and int(port) < 65536):
        raise ValueError("not HOST:PORT")
    return text


HostPort = Annotated[str, AfterValidator(host_and_port)]
