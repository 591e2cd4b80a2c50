"""The listening side: aiohttp's, but what is no HTTP at all is answered with a problem document like all else."""

from __future__ import annotations

from aiohttp import web

from service.problems import choose_language
from service.web.edge import problem_reply, to_response
from service.web.errors import BrokenHttp, InternalError


class Runner(web.AppRunner):
    """An AppRunner whose connections refuse in our words what never becomes a request."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made.request_handler, request_factory=made.request_factory, **self._kwargs)


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Log it as aiohttp does; what it would say quotes the request, and is not said."""
        super().handle_error(request, status, exc, message)
        language = choose_language(request.headers.get("Accept-Language"))
        response = to_response(problem_reply(BrokenHttp() if status < 500 else InternalError(), language))
        response.force_close()
        return response
