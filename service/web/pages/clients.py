"""Where a request came from: the network's prefix, for counting tries, and the browser's family, for people."""

from __future__ import annotations

import ipaddress

from aiohttp import web

PREFIX_V4, PREFIX_V6 = 24, 64
# The first that is found: most browsers claim to be their elders, too.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "Mac"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def client_prefix(raw: web.Request, *, trusted_proxies: int) -> str:
    """The /24 or /64 that a request came from.

    Behind proxies of ours, each of which appends whom it heard from to X-Forwarded-For, the address that the outermost
    of them heard from; what stands before it is the client's own invention.
    """
    address = raw.remote or ""
    if trusted_proxies:
        heard = [part.strip() for part in ",".join(raw.headers.getall("X-Forwarded-For", [])).split(",")]
        address = heard[-trusted_proxies] if len(heard) >= trusted_proxies else address
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    length = PREFIX_V4 if parsed.version == 4 else PREFIX_V6
    return str(ipaddress.ip_network(f"{parsed}/{length}", strict=False))


def browser_family(user_agent: str) -> str:
    """`Chrome, Android`: enough to know one's own devices by, too little to know a person by."""
    found = (next((name for sign, name in signs if sign in user_agent), None) for signs in (_BROWSERS, _SYSTEMS))
    return ", ".join(name for name in found if name) or "?"
