"""The numbers in questions, opened only when the text is made: the outbox holds none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from service.crypto import Keys, SealBroken
from service.db import Connection
from service.staff import queries
from service.staff.pins import number_context

QUESTION_KIND = "reply_charge_question"


async def question_fields(
    keys: Keys, conn: Connection, wanted: Sequence[tuple[UUID, UUID]]
) -> Mapping[UUID, Mapping[str, str]]:
    """The number of each question, for (organiser, question); one that is over is missing, and its text is not sent."""
    rows = await queries.select_numbers(conn, question_ids=[question_id for _, question_id in wanted])
    found: dict[UUID, Mapping[str, str]] = {}
    for row in rows:
        try:
            number = keys.sealer.open(row["number_sealed"], number_context(row["question_id"]))
        except SealBroken:
            continue
        found[row["question_id"]] = {"number": number}
    return found
