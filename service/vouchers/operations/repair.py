"""Vouchers that nobody was told of. There should be none: the message is written in the voucher's transaction.

Looked for all the same (I5): a restored backup, a fault of ours, a row removed by hand would otherwise leave a family
waiting for a text that no row promises.
"""

from __future__ import annotations

from datetime import UTC, datetime

from service.crypto import Keys
from service.db import Pool, transaction
from service.organisers.operations import organiser_by_id
from service.vouchers import sealing
from service.vouchers.decisions import helsinki_day
from service.vouchers.operations.sending import queue_voucher_message
from service.vouchers.operations.viewing import find_voucher
from service.vouchers.queries import vouchers as queries

REQUESTED_BY = "repair"
BATCH = 100


async def queue_missing_messages(pool: Pool, keys: Keys) -> int:
    """Queue the message of every open voucher of the last days that has none; returns how many. Idempotent.

    The beneficiary's row is the lock: a resend, or another worker's repair, is waited for and then seen.
    """
    queued = 0
    async with transaction(pool) as conn:
        silent = await queries.select_without_message(conn, limit=BATCH)
        for organiser_id, voucher_id in silent:
            organiser = await organiser_by_id(conn, organiser_id)
            voucher = await find_voucher(conn, organiser_id=organiser_id, voucher_id=voucher_id)
            beneficiary = await queries.lock_beneficiary(conn, organiser_id=organiser_id, voucher_id=voucher_id)
            has_message = await queries.select_has_message(conn, organiser_id=organiser_id, voucher_id=voucher_id)
            if beneficiary is None or has_message:
                continue
            contact = sealing.open_contact(keys, organiser_id, beneficiary)
            today = helsinki_day(datetime.now(UTC))
            await queue_voucher_message(
                conn, keys, organiser, voucher, voucher.code_id, contact, actor=REQUESTED_BY, today=today
            )
            queued += 1
    return queued
