"""Twilio's REST protocol for messages: create, fetch, list, with its authentication, JSON, errors and faults.

Judged against Twilio's published OpenAPI document in `tests/sandbox/test_twilio_spec.py`.
"""

import asyncio
import base64
import hmac
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import islice
from urllib.parse import parse_qsl, urlencode

from aiohttp import web

from service.sandbox.faults import CallFate, Faults
from service.sandbox.phone.model import Text, to_twilio
from service.sandbox.phone.network import PhoneNetwork
from service.sandbox.phone.refusals import Refusal, check_create, plain_number

HOLD_MAX_S = 60.0
PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX = 50, 1000
_HOLD_LOOK_S = 0.2
_BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
_DAY_FILTERS: tuple[str, ...] = ("DateSent", "DateSent<", "DateSent>")
_FILTERS = ("To", "From", *_DAY_FILTERS)

_to_json = json.JSONEncoder(separators=(",", ":")).encode
Handler = Callable[[web.Request], Awaitable[web.Response]]


class TwilioApi:
    """The handlers of `/2010-04-01/Accounts/{Sid}/Messages…` over one phone network."""

    def __init__(self, network: PhoneNetwork, faults: Faults, *, auth_token: str) -> None:
        self._network = network
        self._faults = faults
        credentials = f"{network.account_sid}:{auth_token}".encode()
        self._authorization = b"Basic " + base64.b64encode(credentials)
        self._closing = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        """The protocol's routes; what else is asked below `/2010-04-01/` gets Twilio's 20404."""
        messages = "/2010-04-01/Accounts/{account}/Messages"
        return [
            web.post(f"{messages}.json", self._answering(self.create)),
            web.get(f"{messages}.json", self._answering(self.list)),
            web.get(f"{messages}/{{sid}}.json", self._answering(self.fetch)),
            web.route("*", "/2010-04-01/{rest:.*}", self._answering(self.nothing_here)),
        ]

    def release(self) -> None:
        """Let go of the calls whose answer is being withheld, so that the server can stop."""
        self._closing.set()

    async def create(self, request: web.Request) -> web.Response:
        """Take a text. The network thinks first (`seconds_per_call`): a caller who gave up in the meantime
        has still sent it, as with the real one."""
        form = dict(parse_qsl((await request.read()).decode(errors="replace"), keep_blank_values=True))
        faults, fate = self._faults, self._faults.next_create_fate()
        await self._think()
        if faults.settings.refuse_code is not None:
            faults.count("refuse_code")
            raise Refusal(faults.settings.refuse_code)
        if fate in (CallFate.ERROR_429, CallFate.ERROR_5XX):
            return self._failed(fate)
        text = self._network.accept(check_create(form))
        if fate is CallFate.NORMAL:
            # Nothing has happened to it yet, however long this machine took to get here.
            return _answer(to_twilio(text, self._network.account_sid, status=text.status), HTTPStatus.CREATED)
        if fate is CallFate.TIMEOUT_AFTER_ACCEPT:
            faults.count(fate)
            await self._withhold_answer(request)
        return self._failed(fate)

    async def fetch(self, request: web.Request) -> web.Response:
        """One text by its sid."""
        if failed := await self._before_look_up():
            return failed
        text = self._network.find(request.match_info["sid"])
        if text is None:
            raise Refusal(20404)
        return _answer(self._show(text))

    async def list(self, request: web.Request) -> web.Response:
        """Texts newest first, filtered by To, From and the day of DateSent, in pages."""
        if failed := await self._before_look_up():
            return failed
        query = request.query
        filters = {name: query[name] for name in _FILTERS if query.get(name)}
        page_size = min(_whole(query.get("PageSize"), default=PAGE_SIZE_DEFAULT), PAGE_SIZE_MAX)
        page = _whole(query.get("Page"), default=0, least=0)
        found = self._select(filters, before=self._number_of(query.get("PageToken")))
        texts = [self._show(text) for text in islice(found, page_size)]
        has_more = next(found, None) is not None
        next_token = f"PA{texts[-1]['sid']}" if has_more else None

        def uri(number: int, token: str | None = None) -> str:
            fields = {**filters, "PageSize": str(page_size), "Page": str(number)}
            fields |= {"PageToken": token} if token else {}
            return f"{request.path}?{urlencode(fields)}"

        start = page * page_size
        return _answer(
            {
                "first_page_uri": uri(0),
                "end": max(start + len(texts) - 1, 0),
                "previous_page_uri": None,
                "messages": texts,
                "uri": uri(page, query.get("PageToken")),
                "page_size": page_size,
                "start": start,
                "next_page_uri": uri(page + 1, next_token) if next_token else None,
                "page": page,
            }
        )

    async def nothing_here(self, _request: web.Request) -> web.Response:
        """Any other path or method of Twilio's API."""
        raise Refusal(20404)

    def _answering(self, handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            try:
                self._authenticate(request)
                return await handler(request)
            except Refusal as refusal:
                return _refused(refusal)

        return answer

    def _authenticate(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").encode(errors="replace")
        if not hmac.compare_digest(given, self._authorization):
            raise Refusal(20003)
        if request.match_info.get("account", self._network.account_sid) != self._network.account_sid:
            raise Refusal(20404)

    def _show(self, text: Text) -> dict[str, object]:
        return to_twilio(text, self._network.account_sid, status=self._network.shown_status(text))

    async def _think(self) -> None:
        if self._faults.settings.seconds_per_call > 0:
            await asyncio.sleep(self._faults.settings.seconds_per_call)

    async def _before_look_up(self) -> web.Response | None:
        fate = self._faults.next_look_up_fate()
        await self._think()
        code = self._faults.settings.refuse_code
        if code is not None and code < 21000:
            self._faults.count("refuse_code")
            raise Refusal(code)
        return None if fate is CallFate.NORMAL else self._failed(fate)

    def _failed(self, fate: CallFate) -> web.Response:
        if fate is CallFate.TIMEOUT_AFTER_ACCEPT:
            return _refused(Refusal(20500))  # nobody listens any more
        self._faults.count(fate)
        if fate is CallFate.ERROR_429:
            return _refused(Refusal(20429))
        # Half of the real ones come from a proxy in front of Twilio and are no JSON.
        if self._faults.injected[fate] % 2:
            return _refused(Refusal(20500))
        return web.Response(body=_BAD_GATEWAY, status=HTTPStatus.BAD_GATEWAY, content_type="text/html")

    async def _withhold_answer(self, request: web.Request) -> None:
        for _ in range(int(HOLD_MAX_S / _HOLD_LOOK_S)):
            if request.transport is None or request.transport.is_closing():
                return
            try:
                await asyncio.wait_for(self._closing.wait(), _HOLD_LOOK_S)
            except TimeoutError:
                continue
            break
        if request.transport is not None:
            request.transport.abort()

    def _number_of(self, page_token: str | None) -> int | None:
        if not page_token:
            return None
        text = self._network.find(page_token.removeprefix("PA"))
        if text is None:
            raise Refusal(20001)
        return text.number

    def _select(self, filters: dict[str, str], *, before: int | None) -> Iterator[Text]:
        to = plain_number(filters["To"]) if "To" in filters else None
        sender = filters.get("From")
        days: dict[str, str] = {
            name: _day(filters[name]) for name in ("DateSent", "DateSent<", "DateSent>") if name in filters
        }
        # The index knows the true numbers; a redacted text answers to its masked number only.
        is_indexed = to is not None and not to.endswith("XXXX")
        texts = self._network.newest_first_to(to) if to and is_indexed else self._network.newest_first()
        for text in texts:
            is_wanted = (
                (before is None or text.number < before)
                and (to is None or text.shown_to == to)
                and (sender is None or text.sender == sender)
            )
            if is_wanted and (not days or _is_sent_within(text, days)):
                yield text


def _is_sent_within(text: Text, days: dict[str, str]) -> bool:
    if text.sent_at is None:
        return False
    day = datetime.fromtimestamp(text.sent_at, UTC).date().isoformat()
    return days.get("DateSent", day) == day and day <= days.get("DateSent<", day) and day >= days.get("DateSent>", day)


def _day(written: str) -> str:
    try:
        return datetime.fromisoformat(written).date().isoformat()
    except ValueError:
        raise Refusal(20001) from None


def _whole(written: str | None, *, default: int, least: int = 1) -> int:
    if written is None:
        return default
    if not (written.isascii() and written.isdigit() and len(written) < 9 and int(written) >= least):
        raise Refusal(20001)
    return int(written)


def _answer(content: dict[str, object], status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(body=_to_json(content).encode(), status=status, content_type="application/json")


def _refused(refusal: Refusal) -> web.Response:
    response = web.Response(
        body=_to_json(refusal.to_json()).encode(), status=refusal.status, content_type="application/json"
    )
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Basic realm="Twilio API"'
    return response
