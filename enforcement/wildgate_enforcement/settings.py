"""Everything that can be set: command line over environment over file over default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from wildgate_enforcement.outbox import DeliverySettings
from wildgate_enforcement.platform_notices import PlatformSettings
from wildgate_enforcement.policy import EnforcementPolicy
from wildgate_enforcement.referral_packages import ReferralSettings
from wildgate_server.access.access_settings import AccessSettings
from wildgate_server.command_line import CommandSettings
from wildgate_server.config_section import ConfigSection, HostPort
from wildgate_server.policy import SHIPPED_POLICY
from wildgate_server.transport import ClientTls, ServerTls

__all__ = ["EnforcementSettings", "OidcSettings", "SessionSettings"]


class SessionSettings(ConfigSection):
    """How people are logged in at the console."""

    hours: float = Field(10.0, gt=0)
    """How long at most, whatever they do."""
    idle_minutes: float = Field(60.0, gt=0)
    """How long without doing anything."""
    daily_frames: int = Field(0, ge=0)
    """Evidence frames that one person is shown in a day (UTC) before the console shows no more; 0: any number."""
    daily_frames_of: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """The same for some people, by name."""
    break_every_minutes: int = Field(45, ge=0)
    """After so long without a pause of five minutes, one is suggested; 0: never."""

    def most_frames(self, person: str) -> int:
        """How many evidence frames somebody is shown in a day; 0: any number."""
        return self.daily_frames_of.get(person, self.daily_frames)


class OidcSettings(ConfigSection):
    """An identity provider (OpenID Connect) that people log in at."""

    issuer: str = Field("", pattern=r"^$|^https://|^http://(127\.0\.0\.1|localhost)(:|/|$)")
    """URL of the provider, as its tokens name it; none without one."""
    client_id: str = ""
    """What the provider calls the console."""
    client_secret_file: Path | None = None
    """File with the secret that they share; none for a public client."""
    public_url: str = ""
    """Where browsers find the console, "https://console.example"; the provider sends them back to /oidc/callback."""
    scope: str = "openid"
    """What is asked for, in words."""
    name_claim: str = "sub"
    """The claim that names a person: in the log, and to tell who decided what."""
    roles_claim: str = "roles"
    """The claim with the list of their roles."""
    roles: dict[str, str] = Field(default_factory=dict)
    """What the provider calls a role, and which one it is here; names that are not here stand for themselves."""


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
    console: HostPort | None = None
    """Address of the console for people's browsers; none without one."""
    session: SessionSettings = SessionSettings()
    """How people are logged in there."""
    oidc: OidcSettings = OidcSettings()
    """Where people log in for it, besides showing a signed token."""
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
