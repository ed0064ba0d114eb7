"""The options of a load test, beside locust's own.

Locust reads them from the command line, changes them by its web form and sends them from the master to its workers, so
they are read anew whenever a test starts.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wildgate_client import ClientOptions, ScoringError, tls_credentials
from wildgate_perf.load_test.objectives import DEFAULT_FILE
from wildgate_server.repository.yaml_document import faults

_ROOT = Path(__file__).resolve().parents[3]
_URL = re.compile(r"https?://(?P<authority>[^/]*)")
_NAME = re.compile(r"[\w.-]+", re.ASCII)  # of metadata
_NOT_IN_THE_FORM = frozenset(
    {
        *("salt", "tls_ca", "cert", "key", "token_file", "metadata", "uri_base", "uri_folder", "objectives", "summary"),
        "server_metrics",
    }
)


class OptionsInvalid(Exception):
    """An option or the target cannot be used; each line names one and its value."""


class LoadOptions(BaseModel):
    """What users ask for, how often, and what the run is held against."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True)

    rate_per_user: float = Field(1.0, ge=0)
    """Videos per second that each user asks for; 0: the next as soon as it has an answer (a closed loop)."""
    arrivals: Literal["paced", "poisson"] = "paced"
    """paced: a user asks again when it has an answer, at its rate at the most. poisson: at its rate whatever it still
    waits for, as independent callers come (an open loop); only a stream waits for a place in it."""
    failure_pause_s: float = Field(1.0, gt=0)
    """How long a user waits after a request that failed or was refused, unless the server asks for more."""
    deadline_s: float = Field(30.0, gt=0)
    """Deadline of each request."""
    tls_ca: str = ""
    """The CA of the server's certificate (PEM file); with it, TLS."""
    cert: str = ""
    """The users' certificate (PEM file), where the server asks for one."""
    key: str = ""
    """Its private key (PEM file)."""
    token_file: str = ""
    """File with the users' bearer token, read anew for each request."""
    metadata: str = ""
    """Sent with each request: NAME=VALUE, several with commas between them."""
    videos: Path = _ROOT / "samples"
    """Folder with the MP4, MOV, WebM or Matroska files to ask about."""
    uri_base: str = ""
    """UriUser: what precedes a file's name in its URI, such as file:///data/videos/; without it there are none."""
    uri_folder: str = ""
    """UriUser: the folder that --uri-base stands for, where each user keeps a file that it changes for every request.
    Without it the names in --videos are asked for again and again."""
    repeated_share: float = Field(0.5, ge=0, le=1)
    """RepeatedUser: share of videos drawn from the catalogue; the others are new."""
    catalogue: int = Field(1000, ge=1)
    """RepeatedUser: number of files in the catalogue."""
    zipf_exponent: float = Field(1.0, ge=0)
    """RepeatedUser: how much more popular the first files are; 0: all alike."""
    digest_first: bool = False
    """RepeatedUser: ask by digest, and send the file only if the server does not know it."""
    stream_videos: int = Field(16, ge=1)
    """StreamUser: videos per stream."""
    stream_window: int = Field(4, ge=1)
    """StreamUser: videos of a stream in flight at once."""
    steps: int = Field(4, ge=1)
    """Step shape: in how many equal steps the users come."""
    server_metrics: str = ""
    """HOST:PORT of the gateway's metrics: what Triton's models and the server's processes do becomes rows, too."""
    objectives: Path = DEFAULT_FILE
    """YAML file with what the run must show."""
    summary: str = ""
    """Write the figures by phase, and the objectives beside them, to this JSON file."""
    salt: str = ""
    """Sent from the master, not an option: what makes this run's videos differ from those of any other run."""

    @model_validator(mode="after")
    def _uri_folder_has_a_base(self) -> LoadOptions:
        if self.uri_folder and not self.uri_base:
            raise ValueError("--uri-folder needs --uri-base, by which the server finds the folder")
        if self.arrivals == "poisson" and not self.rate_per_user:
            raise ValueError("--arrivals poisson needs --rate-per-user")
        return self

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> LoadOptions:
        """The options among locust's parsed ones; raises `OptionsInvalid`."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise OptionsInvalid("\n".join(faults(error))) from error

    @property
    def connection(self) -> ClientOptions:
        """How the server is reached. Raises `OptionsInvalid`."""
        names = (self.tls_ca, self.cert, self.key, self.token_file)
        ca, cert, key, token = (Path(name) if name else None for name in names)
        try:
            options = ClientOptions(
                credentials=tls_credentials(ca, cert, key), token_file=token, metadata=_pairs(self.metadata)
            )
            options.call_metadata()
        except (OSError, ValueError, ScoringError) as error:
            raise OptionsInvalid(f"--tls-ca, --cert, --key, --token-file: {error}") from None
        return options

    @property
    def pause_s(self) -> float:
        """From one request of a user to its next, as long as the answers come quickly enough."""
        return 1 / self.rate_per_user if self.rate_per_user else 0.0


def _pairs(metadata: str) -> tuple[tuple[str, str], ...]:
    """NAME=VALUE,... as pairs, names in gRPC's lower case. Raises `OptionsInvalid`."""
    pairs = [each.partition("=") for each in metadata.split(",") if each]
    if bad := [
        name + is_set + value for name, is_set, value in pairs if not (_NAME.fullmatch(name.strip()) and is_set)
    ]:
        raise OptionsInvalid(f"--metadata: {bad[0]!r} is not NAME=VALUE")
    return tuple((name.strip().lower(), value) for name, _, value in pairs)


def add_options(parser: argparse._ActionsContainer) -> None:
    """Adds the options to locust's parser or a group of it, all but those that come from the master."""
    for name, field in LoadOptions.model_fields.items():
        if name == "salt":
            continue
        how: dict[str, Any] = {"help": f"{field.description} [{field.default}]".replace("%", "%%")}
        if isinstance(field.default, bool):
            how |= {"action": "store_true"}
        else:  # the web form keeps the type of the default, and numbers and text are all it can send
            kind = type(field.default) if isinstance(field.default, int | float) else str
            how |= {"type": kind, "default": kind(field.default)}
        action: Any = parser.add_argument(f"--{name.replace('_', '-')}", **how)
        action.include_in_web_ui = name not in _NOT_IN_THE_FORM  # locust's parser takes it, its groups do not


def target_of(host: str | None) -> str:
    """The gRPC target that locust's `--host` names; raises `OptionsInvalid` with a hint for URLs and bare names."""
    host = (host or "").removeprefix("grpc://").rstrip("/")
    if not host:
        raise OptionsInvalid("--host HOST:PORT is missing: the gRPC target of a running server, such as 127.0.0.1:8100")
    if url := _URL.match(host):
        authority = url["authority"]
        hint = authority if ":" in authority else f"{authority or 'HOST'}:8100"
        raise OptionsInvalid(f"--host takes a gRPC target, HOST:PORT, not the URL {host}; try --host {hint}")
    if ":" not in host:
        raise OptionsInvalid(f"--host {host} has no port; try --host {host}:8100")
    return host
