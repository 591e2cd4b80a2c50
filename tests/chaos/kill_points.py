"""kill -9 at a chosen point of one message's way through the worker, counted in awaits.

Each await has two points: when the coroutine has suspended (what it wrote may not be on the wire yet), and when it is
about to go on (what it waited for has happened, and nobody has taken note). Counted are the claim from where it found
the message to after its commit, the sending, and the writing of the answer.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from service.channels import operations
from service.channels.operations import Answered, Sending
from service.channels.operations import sending as sending_module
from service.workers.answers import Answers
from service.workers.dispatcher import Dispatcher


def doze(message_id: str) -> None:
    """Let this process stop (SIGSTOP), once, when it is about to write down what became of `message_id`."""
    wanted, write_answers = UUID(message_id), Answers._write
    has_slept = False

    async def write(self: Answers, answers: list[Answered]) -> list[bool]:
        nonlocal has_slept
        if not has_slept and any(answer.sending.message_id == wanted for answer in answers):
            has_slept = True
            os.kill(os.getpid(), signal.SIGSTOP)
        return await write_answers(self, answers)

    Answers._write = write  # type: ignore[method-assign]


class Countdown:
    """Ends the process, as a power cut would, when it has been passed for the n-th time."""

    def __init__(self, at: int) -> None:
        self._left = at

    def point(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Stepped:
    """Awaits a coroutine, calling `point` at the begin, at the end, and twice at each of its awaits."""

    def __init__(self, work: Coroutine[Any, Any, Any], point: Callable[[], None]) -> None:
        self._work = work
        self._point = point

    def __await__(self) -> Generator[Any, Any, Any]:
        self._point()
        step, given = self._work.send, None
        while True:
            try:
                waits_for = step(given)
            except StopIteration as end:
                self._point()
                return end.value
            self._point()
            try:
                given = yield waits_for
                step = self._work.send
            except BaseException as error:  # noqa: BLE001 - cancelled, or timed out: it is for the coroutine
                given, step = error, self._work.throw
            self._point()


def doom(message_id: str, *, at: int) -> None:
    """Let this process die at the `at`-th point of sending `message_id`."""
    wanted, countdown = UUID(message_id), Countdown(at)
    # Of the task: each channel is claimed by a loop of its own.
    claims_message: ContextVar[bool] = ContextVar("claims_message", default=False)

    def point_of_claim() -> None:
        if claims_message.get():
            countdown.point()

    claim_channel, start = operations.claim_channel, sending_module._start
    send, write_answers = Dispatcher._send, Answers._write

    async def claim(*arguments: Any, **options: Any) -> Any:
        claims_message.set(False)
        return await Stepped(claim_channel(*arguments, **options), point_of_claim)

    async def begin(conn: Any, delivery: Any, rows: Any) -> Any:
        claims_message.set(any(row["message_id"] == wanted for row in rows))
        return await start(conn, delivery, rows)

    async def send_it(self: Dispatcher, sending: Sending, latest_start: float) -> None:
        work = send(self, sending, latest_start)
        await (Stepped(work, countdown.point) if sending.message_id == wanted else work)

    async def write(self: Answers, answers: list[Answered]) -> list[bool]:
        is_ours = any(answer.sending.message_id == wanted for answer in answers)
        work: Awaitable[Any] = write_answers(self, answers)
        return await (Stepped(work, countdown.point) if is_ours else work)  # type: ignore[arg-type]

    operations.claim_channel = claim
    sending_module._start = begin
    Dispatcher._send = send_it  # type: ignore[method-assign]
    Answers._write = write  # type: ignore[method-assign]
