"""Our stylesheet and scripts: small files under /assets, named with a digest so that browsers may keep them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

from service.web.calls import Reply
from service.web.errors import RouteNotFound
from service.web.pages.calls import PageCall, PageRoute
from service.web.pages.words import ROOT

ASSETS = ROOT / "templates" / "assets"
DIGEST_SIGNS = 16
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
}
FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    content_type: str
    digest: str


@cache
def read_assets() -> dict[str, Asset]:
    """Every file of the folder, read once: what is not there at the start is not served."""
    found = {}
    for path in sorted(ASSETS.iterdir()):
        if path.is_file() and path.suffix in TYPES:
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:DIGEST_SIGNS]
            found[path.name] = Asset(content, TYPES[path.suffix], digest)
    return found


def asset_address(name: str) -> str:
    """Where a browser finds an asset as it is now. KeyError for what is not there."""
    return f"/assets/{name}?v={read_assets()[name].digest}"


async def get_asset(call: PageCall) -> Reply:
    """One asset; an address with the digest of other content is served, but not kept."""
    asset = read_assets().get(call.raw.match_info["name"])
    if asset is None:
        raise RouteNotFound
    is_named = call.raw.query.get("v") == asset.digest
    headers = {
        "Cache-Control": FOR_EVER if is_named else "no-cache",
        "ETag": f'"{asset.digest}"',
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if call.raw.headers.get("If-None-Match") == headers["ETag"]:
        return Reply(status=304, headers=headers)
    return Reply(body=asset.content, content_type=asset.content_type, headers=headers)


ASSET_ROUTE = PageRoute(
    "GET", "/assets/{name}", get_asset, roles=None, summary="The stylesheet and scripts of the pages"
)
