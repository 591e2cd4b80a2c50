"""Signing in with the organisation's own account: there and back."""

from __future__ import annotations

from service.people.model import OidcRefused, OidcUnavailable
from service.people.openid import OpenIdProvider
from service.people.operations.organisation import sign_in_as_identity
from service.people.pages.sign_in import client_of, openid_of
from service.web.pages import PageCall, PageReply, PageRoute, home_address, safe_next

BACK = "/sign-in/organisation/back"


def provider_of(call: PageCall) -> OpenIdProvider:
    """Raises OidcUnavailable where none is set up."""
    provider = openid_of(call)
    if provider is None:
        raise OidcUnavailable
    return provider


async def go_there(call: PageCall) -> PageReply:
    """Send the browser to the other service; what must be remembered goes with it, bound to this browser."""
    there = safe_next(call.query.get("next")) or ""
    address = await provider_of(call).begin(cookie=call.token.ensure(), there=there)
    return PageReply(status=303, headers={"Location": address})


async def come_back(call: PageCall) -> PageReply:
    """The other service's answer: signed in, or told why not."""
    provider, given = provider_of(call), call.raw.query
    if "error" in given:
        raise OidcRefused
    identity = await provider.finish(
        cookie=call.session_token, state=given.get("state", ""), code=given.get("code", ""), issuer=given.get("iss")
    )
    token, role = await sign_in_as_identity(
        call.resources.pool,
        call.resources.keys,
        issuer=identity.issuer,
        subject=identity.subject,
        email=identity.email,
        client=client_of(call),
    )
    onward = safe_next(identity.next) or home_address(call, role)
    return PageReply(status=303, headers={"Location": onward}, session=token)


PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", "/sign-in/organisation", go_there, roles=None, summary="Sign in with the organisation's account"),
    PageRoute("GET", BACK, come_back, roles=None, summary="Back from the organisation's sign-in"),
)
