"""The stylesheet and scripts of the pages: small files under /assets, named with a digest so that browsers keep them.

Ours are in `templates/assets/`. What npm brought at set-up (`make assets`) is in `templates/third_party/`, and may be
missing: then `third_party_address` says so, and the page has to work without.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from service.web.calls import Reply
from service.web.errors import RouteNotFound
from service.web.pages.calls import PageCall, PageRoute
from service.web.pages.words import ROOT

ASSETS = ROOT / "templates" / "assets"
THIRD_PARTY = ROOT / "templates" / "third_party" / "node_modules"
THIRD_PARTY_FILES = ("qr/decode.js", "qr/index.js")
"""All that is served of what npm brought. They import each other by relative paths, hence the digest in the path."""
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
    """A file in memory. `packed` is for browsers that take gzip: pages are sent as they are, as they hold secrets whose
    length must tell nothing (BREACH), but of a stylesheet nothing is to be learnt."""

    content: bytes
    packed: bytes
    content_type: str
    digest: str


@cache
def read_assets() -> dict[str, Asset]:
    """Every file of the folder, read once: what is not there at the start is not served."""
    return {path.name: _read(path) for path in sorted(ASSETS.iterdir()) if path.is_file() and path.suffix in TYPES}


@cache
def read_third_party() -> dict[str, Asset]:
    """What npm brought, read once; empty unless all of it is there."""
    paths = {name: THIRD_PARTY / name for name in THIRD_PARTY_FILES}
    if not all(path.is_file() for path in paths.values()):
        return {}
    return {name: _read(path) for name, path in paths.items()}


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:DIGEST_SIGNS]
    return Asset(content, gzip.compress(content, mtime=0), TYPES[path.suffix], digest)


def asset_address(name: str) -> str:
    """Where a browser finds an asset as it is now. KeyError for what is not there."""
    return f"/assets/{name}?v={read_assets()[name].digest}"


def third_party_address(name: str) -> str | None:
    """The same for one of THIRD_PARTY_FILES; None where the set-up brought nothing."""
    return f"/assets/third-party/{_third_party_digest()}/{name}" if read_third_party() else None


def _third_party_digest() -> str:
    digests = "".join(asset.digest for asset in read_third_party().values())
    return hashlib.sha256(digests.encode()).hexdigest()[:DIGEST_SIGNS]


async def get_asset(call: PageCall) -> Reply:
    """One asset; an address with the digest of other content is served, but not kept."""
    asset = read_assets().get(call.raw.match_info["name"])
    return _sent(call, asset, is_named=asset is not None and call.raw.query.get("v") == asset.digest)


async def get_third_party(call: PageCall) -> Reply:
    """A file that npm brought."""
    path = call.raw.match_info
    asset = read_third_party().get(f"{path['package']}/{path['name']}")
    return _sent(call, asset, is_named=path["digest"] == _third_party_digest())


def _sent(call: PageCall, asset: Asset | None, *, is_named: bool) -> Reply:
    if asset is None:
        raise RouteNotFound
    headers = {
        "Cache-Control": FOR_EVER if is_named else "no-cache",
        "ETag": f'W/"{asset.digest}"',  # weak: it is the same whether packed or not
        "Cross-Origin-Resource-Policy": "same-origin",
        "Vary": "Accept-Encoding",
    }
    if call.raw.headers.get("If-None-Match") == headers["ETag"]:
        return Reply(status=304, headers=headers)
    if "gzip" in call.raw.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Reply(body=asset.packed, content_type=asset.content_type, headers=headers)
    return Reply(body=asset.content, content_type=asset.content_type, headers=headers)


ASSET_ROUTES = (
    PageRoute("GET", "/assets/{name}", get_asset, roles=None, summary="The stylesheet and scripts of the pages"),
    PageRoute(
        "GET",
        "/assets/third-party/{digest}/{package}/{name}",
        get_third_party,
        roles=None,
        summary="What the pages take from npm",
    ),
)
