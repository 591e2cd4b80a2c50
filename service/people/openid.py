"""Another service's word on who somebody is: OpenID Connect Core, authorisation code with PKCE (RFC 7636).

What has to be remembered between the two halves travels in `state`, sealed and bound to the browser's cookie: nothing
is stored, and nobody else's browser can finish what this one began. Every call has a time-out and follows no redirect.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from service.crypto import SealBroken, Sealer
from service.people.model import OidcRefused, OidcUnavailable

log = structlog.get_logger()

TIMEOUT_S = 10
REMEMBERED_S = 3600
BEGUN_LIVES_S = 600
ANSWER_MAX_BYTES = 256 * 1024
ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
CLOCK_LEEWAY_S = 60
SCOPE = "openid email"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the other service says it is. `email` only when that service has verified it."""

    issuer: str
    subject: str = field(repr=False)
    email: str | None = field(repr=False)
    next: str


class OpenIdProvider:
    """One OpenID provider. Its document and keys are fetched when first needed, and again after an hour."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        sealer: Sealer,
        *,
        issuer: str,
        client_id: str,
        client_secret: str,
        redirect_url: str,
    ) -> None:
        self._session = session
        self._sealer = sealer
        self._issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._redirect_url = redirect_url
        self._document: tuple[float, Mapping[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def begin(self, *, cookie: str, there: str) -> str:
        """The address to send the browser to. `there`: where to go after signing in. Raises OidcUnavailable."""
        document = await self._discover()
        verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
        begun = json.dumps({"v": verifier, "n": nonce, "t": there, "u": int(time.time()) + BEGUN_LIVES_S})
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_url,
            "scope": SCOPE,
            "state": base64.urlsafe_b64encode(self._sealer.seal(begun, _bound_to(cookie))).decode().rstrip("="),
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        address = str(document["authorization_endpoint"])
        return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"

    async def finish(self, *, cookie: str | None, state: str, code: str, issuer: str | None) -> Identity:
        """Exchange the code and check what comes back. Raises OidcRefused, OidcUnavailable."""
        begun = self._open_state(cookie, state)
        if not code or (issuer is not None and issuer != self._issuer):  # RFC 9207: another provider's answer
            raise OidcRefused
        document = await self._discover()
        answer = await self._exchange(document, code, begun["v"])
        claims = await self._check(document, str(answer.get("id_token", "")), begun["n"])
        if "email" not in claims and "userinfo_endpoint" in document:
            claims = {**await self._ask_who(document, answer, claims["sub"]), **claims}
        is_vouched_for = claims.get("email_verified") is True and isinstance(claims.get("email"), str)
        email = claims["email"] if is_vouched_for else None
        return Identity(self._issuer, claims["sub"], email, begun["t"])

    def _open_state(self, cookie: str | None, state: str) -> dict[str, str]:
        try:
            sealed = base64.urlsafe_b64decode(state + "=" * (-len(state) % 4))
            begun: dict[str, Any] = json.loads(self._sealer.open(sealed, _bound_to(cookie or "")))
        except (SealBroken, ValueError):
            raise OidcRefused from None
        if cookie is None or begun["u"] < time.time():
            raise OidcRefused
        return begun

    async def _discover(self) -> Mapping[str, Any]:
        if self._document is None or self._document[0] < time.monotonic():
            found = await self._get(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
            endpoints = ("authorization_endpoint", "token_endpoint", "jwks_uri")
            if found.get("issuer") != self._issuer or not all(self._is_safe(found.get(name)) for name in endpoints):
                log.warning("openid_document_refused", reason="issuer or endpoints")
                raise OidcUnavailable
            self._document = (time.monotonic() + REMEMBERED_S, found)
        return self._document[1]

    def _is_safe(self, address: object) -> bool:
        """TLS, unless the issuer itself is on this machine."""
        if not isinstance(address, str):
            return False
        return urlsplit(address).scheme == "https" or urlsplit(self._issuer).hostname in ("127.0.0.1", "localhost")

    async def _exchange(self, document: Mapping[str, Any], code: str, verifier: str) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_url,
            "code_verifier": verifier,
        }
        pair = f"{quote(self._client_id, safe='')}:{quote(self._client_secret, safe='')}"
        headers = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
        return await self._fetch("POST", document["token_endpoint"], data=form, headers=headers)

    async def _check(self, document: Mapping[str, Any], token: str, nonce: str) -> dict[str, Any]:
        registry = jwt.JWTClaimsRegistry(
            leeway=CLOCK_LEEWAY_S,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._client_id},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        for is_fresh in (False, True):  # its keys may have been changed since we read them
            keys = await self._key_set(document, is_fresh=is_fresh)
            try:
                claims = dict(jwt.decode(token, keys, algorithms=ALGORITHMS).claims)
            except (JoseError, ValueError) as error:
                if is_fresh:
                    log.warning("openid_token_refused", error=type(error).__name__)
                    raise OidcRefused from None
                continue
            break
        try:
            registry.validate(claims)
        except JoseError as error:
            log.warning("openid_token_refused", error=type(error).__name__)
            raise OidcRefused from None
        many = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if many else self._client_id) != self._client_id:
            raise OidcRefused
        return claims

    async def _key_set(self, document: Mapping[str, Any], *, is_fresh: bool) -> KeySet:
        if is_fresh or self._keys is None or self._keys[0] < time.monotonic():
            found: Any = await self._get(document["jwks_uri"])
            try:
                self._keys = (time.monotonic() + REMEMBERED_S, KeySet.import_key_set(found))
            except (JoseError, ValueError, KeyError, TypeError):
                raise OidcUnavailable from None
        return self._keys[1]

    async def _ask_who(
        self, document: Mapping[str, Any], answer: Mapping[str, Any], subject: object
    ) -> Mapping[str, Any]:
        if not self._is_safe(document["userinfo_endpoint"]):
            return {}
        headers = {"Authorization": f"Bearer {answer.get('access_token', '')}"}
        who = await self._fetch("GET", document["userinfo_endpoint"], headers=headers)
        if who.get("sub") != subject:  # OpenID Connect Core §5.3.2: a must
            raise OidcRefused
        return who

    async def _get(self, address: str) -> Mapping[str, Any]:
        return await self._fetch("GET", address)

    async def _fetch(self, method: str, address: str, **options: Any) -> Mapping[str, Any]:
        """A JSON object. Raises OidcRefused for a 4xx to what we asked with a code, else OidcUnavailable."""
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._session.request(method, address, allow_redirects=False, **options) as reply,
            ):
                content = await reply.content.read(ANSWER_MAX_BYTES)
                status = reply.status
            found = json.loads(content) if status == 200 else {}
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            log.warning("openid_unavailable", error=type(error).__name__)
            raise OidcUnavailable from None
        if status != 200 or not isinstance(found, dict):
            log.warning("openid_unavailable", status=status)
            raise OidcRefused if 400 <= status < 500 and method == "POST" else OidcUnavailable
        return found


def _bound_to(cookie: str) -> bytes:
    return b"openid" + hashlib.sha256(cookie.encode()).digest()
