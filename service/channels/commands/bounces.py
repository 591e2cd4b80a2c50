"""`python -m service bounces`: where a mail server pipes the mails to the bounce address.

Its exit status is read by a mail server: 0, the mail is dealt with, also when it is no bounce of ours; 75
(EX_TEMPFAIL), keep it and try again. Any other status would make the server bounce a bounce.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, BinaryIO

import structlog
import typer

from service.channels.bounces import MAIL_MAX_BYTES, NoBounce, read_bounce
from service.channels.operations.bounces import take_bounce
from service.crypto import Keys
from service.db import open_pool
from service.logs import configure_logs, exception_fields
from service.settings import MissingSettings, Settings, load_settings

log = structlog.get_logger()

EX_TEMPFAIL = 75
TIMEOUT_S = 60
_CHUNK_BYTES = 64 * 1024


def take_bounce_from_pipe(
    recipient: Annotated[
        list[str] | None,
        typer.Option(help="The envelope's recipient, as the mail server knows it; else the header is searched."),
    ] = None,
) -> None:
    """Take in one bounce from standard input, as a mail server's pipe hands it over.

    Ends with 0 when it was dealt with, also when it is no bounce of ours, and with 75 (EX_TEMPFAIL) when the mail
    server is to keep it and try again.
    """
    try:
        settings = load_settings()
        configure_logs(level=settings.log_level, form=settings.log_format)
        raw = read_bounded(sys.stdin.buffer)
        asyncio.run(_take(settings, raw, tuple(recipient or ())))
    except MissingSettings as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EX_TEMPFAIL) from error
    except Exception as error:
        # The outermost edge of the process: a report lost to a fault of ours would be lost for good.
        log.error("bounce_postponed", **exception_fields(error))
        raise typer.Exit(EX_TEMPFAIL) from error


def read_bounded(stream: BinaryIO) -> bytes:
    """The first MAIL_MAX_BYTES of a stream, which is read to its end: the writer must not meet a closed pipe."""
    kept = stream.read(MAIL_MAX_BYTES)
    while stream.read(_CHUNK_BYTES):
        pass
    return kept


async def _take(settings: Settings, raw: bytes, recipients: tuple[str, ...]) -> None:
    bounce = read_bounce(raw, recipients=recipients)
    if isinstance(bounce, NoBounce):
        log.info("mail_is_no_bounce", reason=bounce.value)
        return
    keys = Keys.from_keyrings(encryption=settings.encryption_keys, index=settings.index_keys)
    async with asyncio.timeout(TIMEOUT_S):
        pool = await open_pool(settings.database_url.get_secret_value(), size=1, application_name="seteli bounces")
        try:
            await take_bounce(pool, keys, bounce)
        finally:
            await pool.close()
