"""The list as an organiser's caseworkers see it over the API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from service.attention import operations
from service.attention.model import AttentionResolved, AttentionUnknown, Item
from service.attention.words import words_for
from service.db import autocommit, transaction
from service.web import AnswerModel, Call, QueryModel, Reply, RequestModel, Route, once


class AttentionQuery(QueryModel):
    cursor: UUID | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class ResolveRequest(RequestModel):
    resolution: Annotated[str, Field(min_length=1, max_length=500, description="What was done; kept in the audit log")]


class AttentionItem(AnswerModel):
    """`sentence` says why a person is needed, `action` what resolves it, in the language of Accept-Language."""

    attention_id: UUID
    reason: Annotated[str, Field(description="A stable word; new ones may come")]
    sentence: str
    action: str
    voucher_id: Annotated[UUID | None, Field(description="None when the item is about a file of decisions")]
    import_id: Annotated[UUID | None, Field(description="The file of decisions sent at the desk, when it is about one")]
    decision_ref: str | None
    message_id: UUID | None
    entry_id: Annotated[UUID | None, Field(description="The debit, when the item is about one")]
    opened_at: datetime

    @classmethod
    def of(cls, item: Item, language: str) -> AttentionItem:
        words = words_for(item.reason, language)
        return cls(
            attention_id=item.attention_id,
            reason=item.reason,
            sentence=words.sentence,
            action=words.action,
            voucher_id=item.voucher_id,
            import_id=item.import_id,
            decision_ref=item.decision_ref,
            message_id=item.message_id,
            entry_id=item.entry_id,
            opened_at=item.opened_at,
        )


class AttentionList(AnswerModel):
    """Oldest first. `next_cursor` is there when there is more."""

    items: Sequence[AttentionItem]
    next_cursor: UUID | None


class ResolvedItem(AnswerModel):
    attention_id: UUID
    reason: str
    voucher_id: UUID | None
    import_id: UUID | None
    opened_at: datetime
    resolved_at: datetime
    resolved_by: str
    resolution: str


async def get_attention(call: Call) -> Reply:
    """A page of what needs a person, oldest first; pass `next_cursor` on as `cursor`."""
    query = call.query_as(AttentionQuery)
    async with autocommit(call.resources.pool) as conn:
        found = await operations.list_open(
            conn, organiser_id=call.caller.owner_id, after=query.cursor, limit=query.limit + 1
        )
    page = found[: query.limit]
    return Reply(
        body=AttentionList(
            items=[AttentionItem.of(item, call.language) for item in page],
            next_cursor=page[-1].attention_id if len(found) > query.limit else None,
        )
    )


async def post_resolve(call: Call) -> Reply:
    """Take an item off the list, once. Another organiser's is answered like one that does not exist."""
    attention_id = call.path_id("attention_id", AttentionUnknown)
    async with transaction(call.resources.pool) as conn:

        async def write() -> ResolvedItem:
            item = await operations.resolve_item(
                conn,
                organiser_id=call.caller.owner_id,
                attention_id=attention_id,
                actor=call.caller.actor,
                resolution=call.body_as(ResolveRequest).resolution,
            )
            return ResolvedItem.model_validate(item, from_attributes=True)

        return await once(call, conn, write)


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/v1/attention",
        get_attention,
        "vouchers:read",
        "What needs a person, oldest first, with the reason and what resolves it",
        query=AttentionQuery,
        answer=AttentionList,
    ),
    Route(
        "POST",
        "/v1/attention/{attention_id}/resolve",
        post_resolve,
        "vouchers:write",
        "It is dealt with: take it off the list, and say how",
        body=ResolveRequest,
        answer=ResolvedItem,
        errors=(AttentionUnknown, AttentionResolved),
        idempotency="optional",
    ),
)
