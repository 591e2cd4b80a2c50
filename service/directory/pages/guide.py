"""How a voucher works, for families, in plain language. What it says is what the service does: tests hold the two
together.
"""

from __future__ import annotations

from service.channels.languages import KEYWORDS, reply_word
from service.channels.sms_text import can_receive
from service.db import autocommit
from service.directory import operations
from service.directory.pages.frame import GUIDE, show
from service.web.pages import PageCall, PageReply, PageRoute


async def show_guide(call: PageCall) -> PageReply:
    """How a voucher works."""
    async with autocommit(call.resources.pool) as conn:
        organisers = await operations.who_to_call(conn)
    sender = call.resources.settings.twilio_sender
    return await show(
        call,
        "directory/guide.html",
        organisers=organisers,
        # A text from a name cannot be answered: then nobody is told of words to answer with.
        words={intent: reply_word(call.language, intent) for intent in KEYWORDS[call.language]}
        if can_receive(sender)
        else None,
        sender=sender,
        code_digits=call.resources.settings.code_digits,
    )


PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", GUIDE, show_guide, roles=None, summary="How a voucher works", for_everybody=True),
)
