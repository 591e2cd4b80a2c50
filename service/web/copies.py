"""Answers that are the same for everybody, which browsers and proxies may keep for a minute and ask about by ETag."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from aiohttp import web
from pydantic import BaseModel

from service.web.calls import Reply

KEPT_S = 60
"""A provider that is approved or suspended now is listed or gone for whoever looked before, a minute later."""
DIGEST_SIGNS = 32


def for_everybody(raw: web.Request, reply: Reply) -> Reply:
    """The same reply with what caches need; 304 and no body for whoever has it already."""
    body = reply.body.model_dump_json().encode() if isinstance(reply.body, BaseModel) else reply.body or b""
    # Weak: a proxy that compresses the body may keep it (RFC 9110 §8.8.1).
    tag = f'W/"{hashlib.sha256(body).hexdigest()[:DIGEST_SIGNS]}"'
    headers = {
        **reply.headers,
        "Cache-Control": f"public, max-age={KEPT_S}",
        "Vary": "Accept-Language",
        "ETag": tag,
    }
    known = {part.strip() for part in raw.headers.get("If-None-Match", "").split(",")}
    if tag in known or "*" in known:
        return replace(reply, status=304, body=None, headers=headers)
    return replace(reply, body=body, headers=headers)
