"""Every setting of an installation, read from the environment in one typed place."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, BaseModel, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.courier import check_address
from domain.errors import Invalid
from domain.secrets import SecretBox


class OAuthClient(BaseModel):
    """The operator's registration at a vendor."""

    client_id: str
    client_secret: SecretStr = SecretStr("")


class Settings(BaseSettings):
    """The settings; each is read from `SIDELINE_<NAME>`, the port also from `PORT`."""

    model_config = SettingsConfigDict(
        env_prefix="SIDELINE_", extra="ignore", populate_by_name=True, env_nested_delimiter="__"
    )

    home: Path = Field(default=Path(".sideline"), description="Where the embedded services keep their data.")
    database_url: str | None = Field(default=None, description="postgresql://… of a real server.")
    replica_url: str | None = Field(
        default=None, description="postgresql://… of a streaming replica that GraphQL queries may read from."
    )
    redis_url: str | None = Field(default=None, description="redis://… of a real server, or redis+sentinel://….")
    host: str = Field(default="127.0.0.1", description="The address the API listens on.")
    port: int = Field(
        default=8000,
        ge=0,
        le=65535,
        validation_alias=AliasChoices("SIDELINE_PORT", "PORT"),
        description="The port the API listens on.",
    )
    demo: bool = Field(default=False, description="Offer the demo people to sign in as, without a token.")
    demo_calls: bool = Field(default=False, description="Let calls come and go on the demo team.")
    drain_seconds: float = Field(
        default=0.0,
        ge=0,
        le=300,
        description="How long an API process that is told to stop still takes requests, while /readyz says 503.",
    )
    database_pool_size: int = Field(
        default=10, ge=1, le=1000, description="Connections of a process for teams; half as many serve what is of all."
    )
    streams_per_user: int = Field(
        default=100, ge=1, le=1_000_000, description="Subscriptions that a user may have open in one API process."
    )
    streams_per_connection: int = Field(
        default=50, ge=1, le=100_000, description="Operations that may run at once on one WebSocket."
    )
    ping_seconds: float = Field(default=15.0, gt=0, le=300, description="How often an idle stream is pinged.")
    secret_keys: str | None = Field(
        default=None, description="Fernet keys for stored secrets, separated by commas, the newest first."
    )
    webhooks_to_private_addresses: bool = Field(
        default=False, description="Deliver webhooks to private and loopback addresses too, and over http."
    )
    query_depth: int = Field(default=20, ge=1, le=100, description="Fields within fields in a GraphQL document.")
    query_aliases: int = Field(default=100, ge=0, le=10_000, description="Aliases in a GraphQL document.")
    query_tokens: int = Field(default=5_000, ge=10, le=1_000_000, description="Words and signs of a GraphQL document.")
    query_cost: int = Field(default=300_000, ge=100, description="The most that one GraphQL operation may cost.")
    cost_per_minute: int = Field(default=20_000_000, ge=100, description="The most that a credential may spend.")
    operations_at_once: int = Field(
        default=8, ge=1, le=1000, description="Operations of one person that run at the same time in one API process."
    )
    request_seconds: float = Field(default=30.0, gt=0, description="The longest that a request is worked at.")
    export_megabytes: int = Field(
        default=2_048, ge=1, le=1_048_576, description="The largest file, packed, that a job exports."
    )
    export_hours: float = Field(default=72.0, gt=0, le=8_760, description="How long an exported file is kept.")
    introspection: bool = Field(default=True, description="Whether the schema may be asked for.")
    graphiql: bool = Field(default=True, description="Whether the GraphiQL page is served.")
    public_url: str | None = Field(
        default=None, description="Where people reach the API, for the way back from a vendor's sign-in."
    )
    oauth_clients: dict[str, OAuthClient] = Field(
        default_factory=dict, description="Registrations at vendors, by connector: client_id and client_secret."
    )
    connector_urls: dict[str, str] = Field(
        default_factory=dict, description="Addresses instead of the vendors' own, by connector."
    )
    import_roots: str | None = Field(
        default=None, description="Folders below which the connector `files` may read, separated by `:`."
    )
    integrations_to_private_addresses: bool = Field(
        default=False, description="Let integrations go to private and loopback addresses too, and over http."
    )
    smtp_url: str | None = Field(
        default=None,
        description="smtp://user:password@host:587 or smtps://…; ?starttls=require, off or auto (if offered).",
    )
    mail_from: str | None = Field(default=None, description="The address that mails come from.")
    oidc_issuer: str | None = Field(default=None, description="Issuer whose JWTs are accepted as bearer tokens.")
    oidc_audience: str | None = Field(default=None, description="The `aud` that such a JWT must hold.")
    oidc_algorithm: Literal["RS256", "RS384", "RS512", "ES256", "ES384", "PS256", "EdDSA"] = Field(
        default="RS256", description="By which the issuer signs: RS256, RS384, RS512, ES256, ES384, PS256 or EdDSA."
    )
    oidc_jwks_url: str | None = Field(
        default=None, description="Where the issuer's keys are; found by discovery if unset."
    )
    oidc_team: str | None = Field(default=None, description="Id of the team that the issuer's people belong to.")
    metrics_port: int | None = Field(
        default=None, ge=1, le=65535, description="Where Prometheus reads this process's numbers; nowhere if unset."
    )
    traces_url: str | None = Field(
        default=None, description="Where traces go by OTLP over HTTP, such as http://collector:4318; nowhere if unset."
    )
    traces_share: float = Field(default=1.0, ge=0, le=1, description="The share of traces that is recorded.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="From which level on the log tells: debug, info, warning or error."
    )

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: str | None) -> str | None:
        return check_address(url) if url else url

    def secret_box(self) -> SecretBox | None:
        """What encrypts stored secrets; None where no key is set.

        Raises:
            Invalid: a key is none of Fernet's.
        """
        keys = [key.strip() for key in (self.secret_keys or "").split(",") if key.strip()]
        return SecretBox(keys) if keys else None

    def require_database_url(self) -> str:
        """The database address.

        Raises:
            Invalid: no address is set.
        """
        if not self.database_url:
            raise Invalid(
                "SIDELINE_DATABASE_URL is not set: give postgresql://user:password@host:port/name, "
                "or start everything with `sideline up`.",
                path=("SIDELINE_DATABASE_URL",),
            )
        return self.database_url

    def require_redis_url(self) -> str:
        """The Redis address.

        Raises:
            Invalid: no address is set.
        """
        if not self.redis_url:
            raise Invalid(
                "SIDELINE_REDIS_URL is not set: give redis://:password@host:port/0, "
                "or start everything with `sideline up`.",
                path=("SIDELINE_REDIS_URL",),
            )
        return self.redis_url


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        Invalid: a variable does not fit; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{_variable(str(item['loc'][0]))}: {item['msg']}{_shown(item['loc'][0], item['input'])}"
            for item in error.errors()
        )
        raise Invalid(f"The environment does not fit: {problems}") from error


def _shown(location: int | str, value: object) -> str:
    # An address may hold a password.
    return "" if str(location).endswith("_url") else f" (it is {value!r})"


def _variable(location: str) -> str:
    return location if location in {"PORT", "SIDELINE_PORT"} else f"SIDELINE_{location.upper()}"
