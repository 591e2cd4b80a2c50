"""The only reader of the environment. Frozen; no secret has a default; a missing one is named, not guessed.

Key rings are written `id:base64[,id:base64]`, newest first: the first key writes, all of them read. Make a set with
`python -m service secrets`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.quiet_hours import QuietHours

Keyring = tuple[tuple[str, bytes], ...]

KEY_BYTES = 32
LEASE_MARGIN_S = 3.0


class MissingSettings(Exception):
    """The environment lacks something that the process cannot start without; the text names each variable."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="", env_ignore_empty=True)

    # What the process stands on
    database_url: SecretStr
    redis_url: SecretStr
    public_url: str = Field(pattern=r"^https?://[^/?#]+$")  # as the outside world and the gateways see us
    host: str = "127.0.0.1"
    port: int = 8000
    # Proxies of ours between the outside world and us, each of which appends to X-Forwarded-For; 0: it is not believed.
    trusted_proxies: int = Field(default=0, ge=0, le=10)
    worker_port: int | None = None  # where a worker shows its metrics; none: nowhere
    database_connections: int = Field(default=10, ge=2, le=100)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    # Keys that live outside the database
    encryption_keys: Annotated[Keyring, NoDecode] = Field(min_length=1, repr=False)
    index_keys: Annotated[Keyring, NoDecode] = Field(min_length=1, max_length=2, repr=False)
    code_digits: int = Field(default=12, ge=12, le=16)

    # Gateways. `twilio_base_url` points at the sandbox in the demo; the client is the same.
    twilio_account_sid: str
    twilio_auth_token: SecretStr
    twilio_sender: str  # a number, an alphanumeric sender id, or a MessagingServiceSid (MG…)
    twilio_base_url: str = "https://api.twilio.com"
    sms_countries: tuple[str, ...] = ("FI",)
    smtp_host: str
    smtp_port: int = 587
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    smtp_ca_file: str | None = None  # trust this authority's certificate too
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    email_sender: str  # e.g. "Seteli <seteli@county.example>"
    # Where bounces come back to; the attempt goes between its two halves, and 64 characters are all there is room for.
    bounce_address: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,11}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")
    dkim_key_file: str | None = None  # an RSA key as PEM; with a selector, mails are signed here
    dkim_selector: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$")
    dkim_domain: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")  # none: the sender's
    gateway_timeout_s: float = Field(default=10, gt=0, le=25)

    # Delivery: how long we wait before we look (facts: Unknown is reconciled, never blindly resent)
    lease_s: float = Field(default=40, gt=0)  # must exceed gateway_timeout_s: an expired lease means Unknown
    unknown_wait_s: float = Field(default=120, gt=0)
    lookup_interval_s: float = Field(default=30, gt=0)
    poll_interval_s: float = Field(default=1, gt=0)
    concurrent_sends: int = Field(default=120, ge=1)  # texts under way in one worker
    concurrent_mails: int = Field(default=8, ge=1)  # a pool of their own: a mail server that hangs delays no text
    # How long the link in a mail opens the family's page; it ends earlier with its code, or when the voucher is closed.
    family_link_days: int = Field(default=400, ge=1, le=1200)
    resends_per_day: int = Field(default=5, ge=1)
    text_answers_per_day: int = Field(default=10, ge=1)  # to one number that texts us
    # What a provider's worker may charge by one text, and how often a day it may charge and be answered.
    text_charge_minutes: int = Field(default=8 * 60, ge=1)
    text_charge_cents: int = Field(default=300_00, ge=1)
    text_charge_visits: int = Field(default=2, ge=1)
    text_charges_per_day: int = Field(default=12, ge=1)
    charge_texts_per_day: int = Field(default=40, ge=1)
    # Limits over all workers. 0: none.
    sms_per_second: float = Field(default=0, ge=0)
    mails_per_second: float = Field(default=0, ge=0)
    sms_parts_per_day: int = Field(default=200_000, ge=0)  # the budget; reminders stop there, vouchers a fifth later
    texts_per_number_per_day: int = Field(default=20, ge=1)
    # Whole hours of the clock in Helsinki between which families get no receipts and reminders; the two equal: none.
    quiet_from: int = Field(default=21, ge=0, le=23)
    quiet_to: int = Field(default=8, ge=0, le=23)

    # How long the rejected rows of an imported file can be downloaded: they hold contacts.
    import_contents_days: int = Field(default=30, ge=1, le=365)

    # Signing in with an organisation's own accounts (OpenID Connect), for invited caseworkers. All three, or none.
    oidc_issuer: str | None = Field(default=None, pattern=r"^https?://[^?#]+$")
    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = None

    @property
    def quiet_hours(self) -> QuietHours:
        return QuietHours(self.quiet_from, self.quiet_to)

    @model_validator(mode="after")
    def _lease_outlives_the_call(self) -> Self:
        if self.lease_s < self.gateway_timeout_s + LEASE_MARGIN_S:
            raise ValueError(
                f"LEASE_S must be at least GATEWAY_TIMEOUT_S + {LEASE_MARGIN_S:g}: a lease that ends while a "
                "call is under way makes its outcome unknown"
            )
        return self

    @model_validator(mode="after")
    def _signing_is_whole(self) -> Self:
        if (self.dkim_key_file is None) != (self.dkim_selector is None):
            raise ValueError("DKIM_KEY_FILE and DKIM_SELECTOR belong together: set both, or neither")
        return self

    @model_validator(mode="after")
    def _other_accounts_are_whole(self) -> Self:
        given = (self.oidc_issuer, self.oidc_client_id, self.oidc_client_secret)
        if any(given) and not all(given):
            raise ValueError("OIDC_ISSUER, OIDC_CLIENT_ID and OIDC_CLIENT_SECRET belong together: set all, or none")
        return self

    @field_validator("encryption_keys", "index_keys", mode="before")
    @classmethod
    def _parse_keyring(cls, value: object) -> object:
        return parse_keyring(value) if isinstance(value, str) else value


def is_key_id(text: str) -> bool:
    return 1 <= len(text) <= 16 and text.isalnum() and text.isascii()


def parse_keyring(text: str) -> Keyring:
    """`id:base64,id:base64` → ((id, 32 bytes), …). Raises ValueError that never repeats the key itself."""
    ring: list[tuple[str, bytes]] = []
    for part in text.split(","):
        key_id, separator, encoded = part.strip().partition(":")
        if not separator or not is_key_id(key_id):
            raise ValueError("each key is written id:base64, the id 1–16 letters or digits")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise ValueError(f"key {key_id} is not base64") from None
        if len(key) != KEY_BYTES:
            raise ValueError(f"key {key_id} has {len(key)} bytes; {KEY_BYTES} are needed")
        ring.append((key_id, key))
    if len({key_id for key_id, _ in ring}) != len(ring):
        raise ValueError("two keys have the same id")
    return tuple(ring)


def load_settings() -> Settings:
    """Read the environment, or raise MissingSettings naming every variable that is missing or malformed."""
    try:
        return Settings()
    except ValidationError as error:
        lines = sorted(
            f"  {_name(problem['loc'])}{'is not set' if problem['type'] == 'missing' else _said(problem['msg'])}"
            for problem in error.errors(include_input=False, include_url=False, include_context=False)
        )
        raise MissingSettings("\n".join(["These settings must be put right:", *lines])) from None


def _name(place: tuple[int | str, ...]) -> str:
    """The variable's; nothing for what is wrong with several, whose sentence names them."""
    return f"{'.'.join(str(part) for part in place).upper()}: " if place else ""


def _said(message: str) -> str:
    return message.removeprefix("Value error, ")
