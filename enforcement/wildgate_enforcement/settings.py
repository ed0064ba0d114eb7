"""Everything that can be set: command line over environment over file over default."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from wildgate_enforcement.outbox import DeliverySettings
from wildgate_enforcement.platform_notices import PlatformSettings
from wildgate_enforcement.policy import EnforcementPolicy
from wildgate_enforcement.referral_packages import ReferralSettings
from wildgate_server.access.access_settings import AccessSettings
from wildgate_server.command_line import CommandSettings
from wildgate_server.config_section import HostPort
from wildgate_server.policy import SHIPPED_POLICY
from wildgate_server.transport import ClientTls, ServerTls

__all__ = ["EnforcementSettings"]


class EnforcementSettings(CommandSettings):
    """Reports, cases and decisions, and what follows from them."""

    model_config = SettingsConfigDict(env_prefix="WILDGATE_ENFORCE__", cli_prog_name="wildgate enforce")

    directory: Path
    """Where the signing key is kept, and the database where it is SQLite."""
    database: str | None = None
    """URL of a PostgreSQL database, "postgresql+asyncpg://user@host/name"; without one, SQLite in `directory`."""
    listen: HostPort = "127.0.0.1:8102"
    """gRPC address; port 0 takes a free one."""
    metrics: HostPort | None = None
    """Where metrics, liveness and readiness are served over HTTP; nowhere by default."""
    gateway: str | None = None
    """gRPC target of a gateway that scores reported videos; without one, they wait until somebody has them scored."""
    blocks: str | None = None
    """gRPC target of what keeps the list of blocks, a block service or a gateway; without one, entries wait."""
    platform: PlatformSettings = PlatformSettings()
    """Where the platform takes notices."""
    referral: ReferralSettings = ReferralSettings()
    """To whom cases may be referred."""
    labels: Path = SHIPPED_POLICY
    """Policy file of the gateways; its labels are the reasons for which a video can be reported."""
    policy: EnforcementPolicy = EnforcementPolicy()
    """How cases are decided here."""
    delivery: DeliverySettings = DeliverySettings()
    """How what is told outside is tried."""
    access: AccessSettings = AccessSettings()
    """Whose tokens are taken; keys have to be named."""
    tls: ServerTls = ServerTls()
    """How this service is reached."""
    client_tls: ClientTls = ClientTls()
    """How the gateway and what keeps the list of blocks are reached."""
    token_file: Path | None = None
    """File with the bearer token that this service shows to the gateway and to what keeps the list of blocks."""
    evidence_days: float = Field(30.0, ge=0)
    """How long pictures of a case are kept that was judged harmless."""
    sign_every_s: float = Field(10.0, gt=0)
    """How often the end of the log is signed."""
    max_bytes: int = Field(32 << 20, gt=0)
    """Largest request, evidence frames included."""
    max_in_flight: int = Field(200, gt=0)
    """Most calls at a time; more are refused."""

    @property
    def database_url(self) -> str:
        """The database's URL."""
        return self.database or f"sqlite+aiosqlite:///{self.directory.absolute() / 'cases.sqlite'}"
