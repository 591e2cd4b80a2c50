"""Receipts that come when everything is over: signed and true once, and no news any more."""

from __future__ import annotations

import aiohttp
from twilio.request_validator import RequestValidator

from service.channels.gateway import attempt_address
from service.db import connect
from tests.chaos.stack import Stack
from tests.chaos.traffic import Callers

LATE = 20

# Which addresses to bring them to; what comes of it is read from outside.
ARRIVED = """
SELECT DISTINCT ON (m.subject_id) m.organiser_id, m.subject_id, m.message_id, t.token, t.reference
  FROM messages m JOIN attempts t USING (organiser_id, message_id)
 WHERE m.state = 'delivered' AND m.channel = 'sms' AND t.fence = m.fence AND t.reference IS NOT NULL
 LIMIT $1
"""


async def bring_late_receipts(stack: Stack, callers: Callers) -> list[str]:
    """Say of texts that have arrived that they are being sent; what is wrong afterwards. Call it after `converge`."""
    conn = await connect(stack.database_url, application_name="chaos")
    try:
        arrived = await conn.fetch(ARRIVED, LATE)
    finally:
        await conn.close()
    signer = RequestValidator(stack.env["TWILIO_AUTH_TOKEN"])
    moved_back = 0
    async with aiohttp.ClientSession() as session:
        for row in arrived:
            address = attempt_address(row["organiser_id"], row["token"])
            url = f"{stack.world.base_url}/hooks/twilio/status/{address}"
            form = {"MessageSid": row["reference"], "MessageStatus": "sending"}
            headers = {"X-Twilio-Signature": signer.compute_signature(url, form)}
            async with session.post(url, data=form, headers=headers) as answer:
                assert answer.status == 204, answer.status
            timeline = (await callers.get("organiser", f"/v1/vouchers/{row['subject_id']}/messages")).json
            states = {message["message_id"]: message["state"] for message in timeline["messages"]}
            moved_back += states[str(row["message_id"])] != "delivered"
    return [f"{moved_back} late receipts moved a message that had arrived"] if moved_back else []
