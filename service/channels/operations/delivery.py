"""What delivery needs of the process that runs it. `service.resources` puts it together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from service.channels.gateway import ChannelName, Gateway, Image
from service.channels.rendering import Templates
from service.crypto import Keys
from service.db import Connection, Pool
from service.quiet_hours import QuietHours

SecretFields = Callable[[Connection, Sequence[tuple[UUID, UUID]]], Awaitable[Mapping[UUID, Mapping[str, str]]]]
"""From (organiser, secret) to the fields that may not be stored in a message; one that is missing is obsolete."""

Images = Callable[[Mapping[str, str]], tuple[Image, ...]]
"""From all fields of an e-mail to the pictures in it. Pure; may take milliseconds."""

Repair = Callable[[], Awaitable[int]]
"""Finds what should have a message and has none, and queues it; returns how many. Idempotent."""

Round = Callable[[], Awaitable[int]]
"""Does some of what is due by the calendar or the clock; returns how much it did, 0: nothing is left. Idempotent."""


class DeliverySettings(Protocol):
    """The part of `service.settings.Settings` that delivery reads. A limit of 0 is none."""

    @property
    def gateway_timeout_s(self) -> float: ...
    @property
    def lease_s(self) -> float: ...
    @property
    def unknown_wait_s(self) -> float: ...
    @property
    def lookup_interval_s(self) -> float: ...
    @property
    def poll_interval_s(self) -> float: ...
    @property
    def concurrent_sends(self) -> int: ...
    @property
    def concurrent_mails(self) -> int: ...
    @property
    def sms_per_second(self) -> float: ...
    @property
    def mails_per_second(self) -> float: ...
    @property
    def sms_parts_per_day(self) -> int: ...
    @property
    def texts_per_number_per_day(self) -> int: ...
    @property
    def sms_countries(self) -> tuple[str, ...]: ...
    @property
    def quiet_hours(self) -> QuietHours: ...


@dataclass(frozen=True)
class Delivery:
    pool: Pool
    keys: Keys
    templates: Templates
    gateways: Mapping[ChannelName, Gateway]
    settings: DeliverySettings
    secret_fields: Mapping[str, SecretFields] = field(default_factory=dict)  # by kind of message
    images: Mapping[str, Images] = field(default_factory=dict)  # by kind of message
    repairs: Sequence[Repair] = ()
    tidying: Sequence[Round] = ()  # every minute, once each
    schedules: Sequence[Round] = ()  # every minute, until they find nothing; each in a loop of its own
    imports: Sequence[Round] = ()  # every second or two, as long as there is something to grant
    rounds: Sequence[Round] = ()  # every ten minutes, until they find nothing to tell families

    @property
    def gateway_names(self) -> dict[str, str]:
        """From channel to the name of its gateway."""
        return {channel: gateway.name for channel, gateway in self.gateways.items()}
