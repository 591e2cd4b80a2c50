"""What gateways tell us over HTTP. No key: the signature over the exact configured public URL is the proof."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol, cast

import structlog

from service import metrics
from service.channels.gateway import parse_attempt_address
from service.channels.gateways import twilio
from service.channels.operations import Incoming, ReceiptGroup, Reception, Report, take_text
from service.web import Call, EdgeResources, Reply, Route

log = structlog.get_logger()

STATUS_PATH = "/hooks/twilio/status/{attempt}"
INBOUND_PATH = "/hooks/twilio/inbound"
_READ_TIMEOUT_S = 10.0
_DONE = Reply(status=204)
# Nothing to say in the answer itself: what we say goes through the outbox, where it is kept until it is delivered.
_TAKEN = Reply(status=200, body=b'<?xml version="1.0" encoding="UTF-8"?><Response/>', content_type="text/xml")


class ReceiptResources(EdgeResources, Protocol):
    @property
    def receipt_group(self) -> ReceiptGroup: ...


class InboundResources(EdgeResources, Protocol):
    @property
    def reception(self) -> Reception: ...


async def post_twilio_status(call: Call) -> Reply:
    """Take in a status report about one attempt.

    403 without a valid signature, and nothing changes. Otherwise 204, also for a report that has no effect: Twilio
    would only send it again. An error of ours is answered 5xx, so that Twilio does.
    """
    attempt = call.raw.match_info["attempt"]
    form = await _read_form(call)
    if form is None or not _is_signed(call, STATUS_PATH.format(attempt=attempt), form):
        metrics.receipts.labels(twilio.NAME, "none", "none", "forged").inc()
        log.warning("receipt_forged", gateway=twilio.NAME)
        return Reply(status=403)
    address, receipt = parse_attempt_address(attempt), twilio.parse_receipt(form)
    if address is None or receipt is None:
        metrics.receipts.labels(twilio.NAME, "none", "none", "unreadable").inc()
        log.warning("receipt_unreadable", gateway=twilio.NAME, token_known=address is not None)
        return _DONE
    report = Report(
        organiser_id=address[0],
        token=address[1],
        receipt=receipt,
        meaning=twilio.receipt_meaning(receipt.status, receipt.error_code),
    )
    await cast(ReceiptResources, call.resources).receipt_group.submit(report)
    return _DONE


async def post_twilio_inbound(call: Call) -> Reply:
    """Take in a text from a family.

    403 without a valid signature, and nothing changes. Otherwise an empty TwiML answer, also for a text that came
    before or that gets no answer.
    """
    form = await _read_form(call)
    if form is None or not _is_signed(call, INBOUND_PATH, form):
        metrics.inbound_texts.labels("none", "forged").inc()
        log.warning("text_forged", gateway=twilio.NAME)
        return Reply(status=403)
    parsed = twilio.parse_inbound(form)
    if parsed is None:
        metrics.inbound_texts.labels("none", "unreadable").inc()
        log.warning("text_unreadable", gateway=twilio.NAME)
        return _TAKEN
    resources = cast(InboundResources, call.resources)
    queued = await take_text(resources.pool, resources.keys, resources.reception, Incoming(twilio.NAME, *parsed))
    for message_id in queued:
        resources.wakeups.wake(message_id)
    return _TAKEN


async def _read_form(call: Call) -> Mapping[str, object] | None:
    """All fields, blank ones too; None for anything that Twilio does not send."""
    if call.raw.content_type != "application/x-www-form-urlencoded":
        return None
    try:
        async with asyncio.timeout(_READ_TIMEOUT_S):
            return await call.raw.post()
    except (ValueError, LookupError, TimeoutError):  # not in the charset it names, or no such charset
        return None


def _is_signed(call: Call, path: str, form: Mapping[str, object]) -> bool:
    settings = call.resources.settings
    return twilio.signature_is_valid(
        settings.public_url + path,
        form,
        call.raw.headers.get("X-Twilio-Signature", ""),
        auth_token=settings.twilio_auth_token.get_secret_value(),
    )


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path=STATUS_PATH,
        handler=post_twilio_status,
        permission=None,
        summary="Status reports from Twilio",
        status=204,
        documented=False,
    ),
    Route(
        method="POST",
        path=INBOUND_PATH,
        handler=post_twilio_inbound,
        permission=None,
        summary="Texts from families, from Twilio",
        documented=False,
    ),
)
