"""The HTTP client that the Twilio SDK speaks through: the shared aiohttp session, with time-outs that hold.

The SDK's own asynchronous client ignores its time-out (it can hang for ever) and its retries POST again after a 500,
which is a second text message. This one never retries, never follows a redirect, sends the credentials to the
configured address only, and bounds what it reads. It logs nothing: bodies and numbers pass through here.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from urllib.parse import urlencode

import aiohttp
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from yarl import URL

CONNECT_TIMEOUT_S = 3
ANSWER_MAX_BYTES = 1 << 20
_SDK_BASE_URL = "https://api.twilio.com"


class AnswerGarbledError(Exception):
    """The answer is too long, is not a JSON object, or points elsewhere; what it answered may have happened."""


class SharedSessionClient(AsyncHttpClient):  # type: ignore[misc]  # the SDK is untyped
    """Raises aiohttp's errors as they are (see `TwilioGateway`), and AnswerGarbledError."""

    def __init__(
        self, session: aiohttp.ClientSession, *, base_url: str, account_sid: str, auth_token: str, timeout_s: float
    ) -> None:
        super().__init__(logging.getLogger(__name__), is_async=True)
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s / 2))
        credentials = base64.b64encode(f"{account_sid}:{auth_token}".encode()).decode()
        self._authorization = f"Basic {credentials}"

    async def request(
        self,
        method: str,
        url: str,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: object = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """One request, one answer; nothing is tried twice."""
        if not url.startswith(_SDK_BASE_URL + "/"):
            raise AnswerGarbledError  # a next-page link that leads away would take the credentials with it
        query = f"?{urlencode(params, doseq=True)}" if params else ""
        async with self._session.request(
            method,
            URL(self._base_url + url.removeprefix(_SDK_BASE_URL) + query, encoded=True),
            data=urlencode(data, doseq=True).encode() if data else None,
            headers={**(headers or {}), "Authorization": self._authorization},
            timeout=self._timeout,
            allow_redirects=False,
        ) as answer:
            text = (await _read_bounded(answer)).decode("utf-8", "replace")
            if answer.ok and not text.lstrip().startswith("{"):
                raise AnswerGarbledError
            return Response(answer.status, text, answer.headers)


async def _read_bounded(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > ANSWER_MAX_BYTES:
            raise AnswerGarbledError
    return bytes(body)
