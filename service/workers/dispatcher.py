"""The one loop that delivers: first sends, retries, look-ups and repair. Driven by rows; waking it only saves time.

Two loops run beside each other. One claims due messages, as many as there are free slots, and starts a task for each.
The other does what is due without being called. Either survives a database that is gone: it backs off and goes on.
What gateways answer is written down by `answers.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import structlog

from service import metrics
from service.channels import operations
from service.channels.gateway import Accepted, Action, Answer, ChannelName, EmailContent, Outgoing, Refused, Unknown
from service.channels.model import MessageState
from service.channels.operations import BATCH, Answered, Delivery, Sending, Silent
from service.channels.operations.delivery import Round
from service.db import autocommit
from service.logs import exception_fields
from service.workers.answers import Answers
from service.workers.retry import BackOff, retry_in_s

log = structlog.get_logger()

RATE_BREATH_S = 0.05
BREATH_S = 0.01  # between full claims: long enough that some slots are free again, and claims are batches
CLAIM_MAX = 100  # rendering a batch holds its locks and the event loop
LOOK_UPS_AT_ONCE = 20
RARE_STEPS_S = 10.0
REPAIR, REPAIR_S = "repair", 60.0
FAMILIES, FAMILIES_S = "families", 600.0
SCHEDULES, SCHEDULES_S = "schedules", 60.0
IMPORTS, IMPORTS_S = "imports", 1.0  # a query of an index that is empty; nobody calls us while Redis is gone
STOP_S = 8.0
GATEWAY_GRACE_S = 2.0  # past the gateway's own time-out, in case it does not keep it
DATABASE_TIMEOUT_S = 20.0
ROUND_TIMEOUT_S = 60.0  # searches may be slow; the database itself ends a statement after half of that


class _Lane:
    """One channel's slots: a gateway that hangs holds up nobody but itself."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.sends: set[asyncio.Task[None]] = set()
        self.due = asyncio.Event()
        self.slot_free = asyncio.Event()


class _Round:
    """What is done by the clock, in a loop of its own: one that is slow or fails stops no other."""

    def __init__(self, job: str, work: Round, every_s: float) -> None:
        self.job = job
        self.work = work
        self.every_s = every_s
        self.due = asyncio.Event()
        self.at = 0.0


def _slots(delivery: Delivery, channel: ChannelName) -> int:
    return delivery.settings.concurrent_sends if channel == "sms" else delivery.settings.concurrent_mails


def _per_second(delivery: Delivery, channel: ChannelName) -> float:
    return delivery.settings.sms_per_second if channel == "sms" else delivery.settings.mails_per_second


class Dispatcher:
    """Delivers until told to stop. One in a process; any number of processes."""

    def __init__(self, delivery: Delivery, *, chance: Callable[[], float] | None = None) -> None:
        self._delivery = delivery
        self._settings = delivery.settings
        self._chance = chance or Random().random  # noqa: S311 - jitter
        self._lanes = {channel: _Lane(_slots(delivery, channel)) for channel in delivery.gateways}
        self._upkeep_due = asyncio.Event()
        self._look_ups: set[asyncio.Task[None]] = set()
        self._answers = Answers(delivery, chance=self._chance)
        self._rare_at = 0.0
        self._repair = _Round(REPAIR, self.repair, REPAIR_S)
        self._families = [_Round(FAMILIES, work, FAMILIES_S) for work in delivery.rounds]
        self._schedules = [_Round(SCHEDULES, work, SCHEDULES_S) for work in delivery.schedules]
        self._imports = [_Round(IMPORTS, work, IMPORTS_S) for work in delivery.imports]
        self._rounds = [self._repair, *self._families, *self._schedules, *self._imports]

    @property
    def in_flight(self) -> int:
        return sum(len(lane.sends) for lane in self._lanes.values())

    def wake(self) -> None:
        """There may be something to send. Cheap, and safe to call at any time."""
        for lane in self._lanes.values():
            lane.due.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; then finish what is in flight, for at most the gateway's time-out and 8 s.

        What is still out after that is left to its lease: another process, or the next, finds out what became of it.
        """
        self._repair.at = asyncio.get_running_loop().time() + REPAIR_S
        loops = [
            *(
                asyncio.create_task(self._loop("claim", partial(self._claim, channel, lane), lane.due, stop))
                for channel, lane in self._lanes.items()
            ),
            asyncio.create_task(self._loop("upkeep", self._keep_up, self._upkeep_due, stop)),
            *(
                asyncio.create_task(
                    self._loop(each.job, partial(self._go_round, each), each.due, stop, timeout_s=ROUND_TIMEOUT_S)
                )
                for each in self._rounds
            ),
        ]
        try:
            await stop.wait()
            self.wake()
            self._upkeep_due.set()
            for each in self._rounds:
                each.due.set()
            for lane in self._lanes.values():
                lane.slot_free.set()
            await asyncio.wait(loops, timeout=STOP_S)
            tasks = self._look_ups.union(*(lane.sends for lane in self._lanes.values()))
            if tasks:
                log.info("worker_finishing", in_flight=len(tasks))
                await asyncio.wait(tasks, timeout=self._settings.gateway_timeout_s + STOP_S)
        finally:
            sends = (task for lane in self._lanes.values() for task in lane.sends)
            remaining = [task for task in (*loops, *sends, *self._look_ups) if not task.done()]
            for task in remaining:
                task.cancel()
            await asyncio.gather(*remaining, return_exceptions=True)

    async def _loop(
        self,
        job: str,
        step: Callable[[], Awaitable[bool]],
        called: asyncio.Event,
        stop: asyncio.Event,
        timeout_s: float = DATABASE_TIMEOUT_S,
    ) -> None:
        """Repeat a step: at once while it says that there is more, else when called or when the interval has passed."""
        back_off = BackOff(self._chance)
        while not stop.is_set():
            called.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    has_more = await step()
                back_off.reset()
            except Exception as error:  # noqa: BLE001 - the outermost loop of the process
                wait_s = back_off.next_s()
                log.warning("dispatcher_failed", job=job, delay_s=round(wait_s, 2), **exception_fields(error))
                await _wait(stop, wait_s)
                continue
            if has_more:
                await asyncio.sleep(BREATH_S)
            else:
                await _wait(called, self._settings.poll_interval_s)

    async def _claim(self, channel: ChannelName, lane: _Lane) -> bool:
        """Fill a channel's free slots; True when there may be more to claim."""
        free = lane.slots - len(lane.sends)
        if free <= 0:
            lane.slot_free.clear()
            await _wait(lane.slot_free, self._settings.poll_interval_s)
            return True
        limit = min(free, CLAIM_MAX)
        latest_start = self._latest_start()
        claim = await operations.claim_channel(self._delivery, channel=channel, limit=limit)
        self._start(claim.started, latest_start)
        if claim.is_rationed:  # in a moment its rate has room for the next
            per_second = _per_second(self._delivery, channel)
            await asyncio.sleep(min(max(1 / per_second, RATE_BREATH_S), self._settings.poll_interval_s))
            return True
        return claim.taken == limit

    def _latest_start(self) -> float:
        """Until when a message claimed now may be handed over, by this process's monotonic clock.

        Its answer must come within the lease. A process that was stopped or swapped out for longer wakes up to a
        message that another may have sent since.
        """
        spare_s = self._settings.lease_s - self._settings.gateway_timeout_s - GATEWAY_GRACE_S
        return asyncio.get_running_loop().time() + spare_s

    def _start(self, claimed: list[Sending], latest_start: float) -> None:
        for sending in claimed:
            lane = self._lanes[sending.channel]
            self._spawn(lane.sends, self._send(sending, latest_start), freed=lane.slot_free)

    def _spawn(
        self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None], *, freed: asyncio.Event | None = None
    ) -> None:
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)

        def landed(done: asyncio.Task[None]) -> None:
            tasks.discard(done)
            if freed is not None:
                freed.set()
            if not done.cancelled() and (error := done.exception()) is not None:
                # A fault of ours: the lease runs out, and the attempt ends as unknown.
                log.error("send_crashed", **exception_fields(error))

        task.add_done_callback(landed)

    async def _send(self, sending: Sending, latest_start: float) -> None:
        answer = await self._hand_over(sending, latest_start)
        outcome, code = _outcome(answer)
        metrics.attempts.labels(sending.gateway, outcome, code).inc()
        if isinstance(answer, Accepted):
            log.info("message_accepted", message_id=sending.message_id, gateway=sending.gateway)
        else:
            log.info(
                "message_not_accepted",
                message_id=sending.message_id,
                gateway=sending.gateway,
                outcome=outcome,
                error_code=code,
            )
        await self._answers.record(Answered(sending, answer))
        if isinstance(answer, Refused):
            self._upkeep_due.set()

    async def _hand_over(self, sending: Sending, latest_start: float) -> Answer:
        outgoing = await self._with_images(sending)
        if asyncio.get_running_loop().time() > latest_start:
            return Refused("lease_spent", Action.RETRY)
        try:
            async with asyncio.timeout(self._settings.gateway_timeout_s + GATEWAY_GRACE_S):
                return await self._delivery.gateways[sending.channel].send(outgoing)
        except TimeoutError:
            return Unknown("timeout")

    async def _with_images(self, sending: Sending) -> Outgoing:
        images = self._delivery.images.get(sending.kind)
        content = sending.outgoing.content
        if images is None or not isinstance(content, EmailContent):
            return sending.outgoing
        drawn = await asyncio.to_thread(images, sending.fields)
        return replace(sending.outgoing, content=replace(content, images=drawn))

    async def _keep_up(self) -> bool:
        """Everything that is due without a call. True when there is more of it."""
        steps = (self._decide_failures, self._expire_leases, self._probe, self._look_silent_up, self._rare_steps)
        failures: list[Exception] = []
        has_more = False
        for step in steps:
            try:
                has_more |= await step()
            except Exception as error:  # noqa: BLE001 - one step's trouble must not keep the others from running
                failures.append(error)
        if failures:
            raise failures[0]
        return has_more

    async def _decide_failures(self) -> bool:
        decided, is_due_now = await operations.decide_failures(self._delivery, self._retry_in)
        if is_due_now:
            self.wake()
        return decided >= BATCH

    def _retry_in(self, channel: ChannelName, action: Action, tries: int) -> float | None:
        return retry_in_s(channel, action, tries=tries, chance=self._chance())

    async def _expire_leases(self) -> bool:
        return await operations.expire_leases(self._delivery) >= BATCH

    async def _probe(self) -> bool:
        latest_start = self._latest_start()
        self._start(await operations.claim_probes(self._delivery), latest_start)
        return False

    async def _look_silent_up(self) -> bool:
        free = LOOK_UPS_AT_ONCE - len(self._look_ups)
        if free <= 0:
            return False
        silent = await operations.claim_silent(self._delivery, limit=free)
        for message in silent:
            # A gateway may not be able to tell what it answered us, and a mail would then be sent again.
            if not self._answers.holds(message.attempt_id):
                self._spawn(self._look_ups, self._look_up(message))
        return False

    async def _look_up(self, silent: Silent) -> None:
        state = await operations.look_up(self._delivery, silent)
        if state is MessageState.PENDING:
            self.wake()
        self._upkeep_due.set()

    async def _rare_steps(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now >= self._rare_at:
            self._rare_at = now + RARE_STEPS_S
            async with autocommit(self._delivery.pool) as conn:
                health = await operations.delivery_health(conn, self._settings.quiet_hours)
            operations.show_health(health, self._delivery.gateway_names.values())
            await operations.fail_held(self._delivery)
        return False

    async def repair(self) -> int:
        """Queue what should have been told and was not, and tidy up. Idempotent. Returns 0: once is enough."""
        for repair in self._delivery.repairs:
            if found := await repair():
                log.error("message_was_missing", count=found)
                self.wake()
        for tidy in self._delivery.tidying:
            await tidy()
        return 0

    def look_for_repairs(self) -> None:
        """It is time to look for what should have been told; every minute, by arq's clock or our own."""
        _call([self._repair])

    def tell_families(self) -> None:
        """It is time to look for what families are to be told; every ten minutes, by arq's clock or our own."""
        _call(self._families)

    def keep_schedules(self) -> None:
        """It is time to do what the calendar asks; every minute, by arq's clock or our own."""
        _call(self._schedules)

    def take_imports(self) -> None:
        """There may be something to grant. Cheap, and safe to call at any time."""
        _call(self._imports)

    async def _go_round(self, each: _Round) -> bool:
        now = asyncio.get_running_loop().time()
        if now < each.at:
            return False
        if done := await each.work():
            if each.job == FAMILIES:
                log.info("families_told", count=done)
            self.wake()  # a later decision that begins is told, too
            return True
        each.at = now + 1.5 * each.every_s  # when Redis is gone, and with it the clock that calls us
        return False


def _call(rounds: Sequence[_Round]) -> None:
    for each in rounds:
        each.at = 0.0
        each.due.set()


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass


def _outcome(answer: Answer) -> tuple[str, str]:
    match answer:
        case Accepted():
            return "accepted", ""
        case Refused(code=code):
            return "refused", code
        case Unknown(reason=reason):
            return "unknown", reason
