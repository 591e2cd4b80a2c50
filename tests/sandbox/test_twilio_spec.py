"""Twilio's published OpenAPI document judges the sandbox: Prism stands in front of it as a proxy, and turns every
request or answer that the document does not allow into an error of its own.

One thing is read differently: the document calls the paging fields `format: uri`, but its own examples, the real
answers and the SDK have paths there (`/2010-04-01/…`), so they are judged as `uri-reference`.

Needs node, Prism (`npm ci --prefix tests/.node`) and the document beside this repository; skipped without.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.sandbox.desk import ACCOUNT, FAMILY, Sandbox, running

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT.parent / "shared" / "twilio" / "twilio_api_v2010.json"
PRISM = ROOT / "tests" / ".node" / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"
PAGING_FIELDS = ("first_page_uri", "next_page_uri", "previous_page_uri", "uri")
NODE = shutil.which("node")
MISSING = [
    reason
    for reason, is_there in (
        ("node is not installed", NODE is not None),
        ("Prism is not installed: npm ci --prefix tests/.node", PRISM.exists()),
        ("Twilio's OpenAPI document is not beside this repository", DOCUMENT.exists()),
    )
    if not is_there
]
pytestmark = pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))


def corrected_document() -> str:
    """The document with its paging fields as `uri-reference`."""
    document = json.loads(DOCUMENT.read_text())
    messages = document["paths"]["/2010-04-01/Accounts/{AccountSid}/Messages.json"]["get"]
    answer = messages["responses"]["200"]["content"]["application/json"]["schema"]["properties"]
    for name in PAGING_FIELDS:
        assert answer[name]["format"] == "uri"
        answer[name]["format"] = "uri-reference"
    return json.dumps(document)


@asynccontextmanager
async def judged(url: str, folder: Path) -> AsyncIterator[str]:
    """Prism in front of `url`; gives its own URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    document = folder / "twilio.json"
    document.write_text(corrected_document())
    # Straight to node: killing npx would leave it running.
    arguments = [str(PRISM), "proxy", "-h", "127.0.0.1", "-p", str(port), "--errors", str(document), url]
    prism = await asyncio.create_subprocess_exec(
        str(NODE), *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await _listening(prism, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        if prism.returncode is None:
            prism.kill()
        await prism.wait()


async def _listening(prism: asyncio.subprocess.Process, port: int) -> None:
    for _ in range(600):
        assert prism.returncode is None, "Prism ended at once"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
            continue
        writer.close()
        await writer.wait_closed()
        return
    pytest.fail("Prism did not listen within 60 s")


@pytest.fixture
async def judge(sandbox: Sandbox) -> AsyncIterator[Sandbox]:
    async with judged(sandbox.url, sandbox.data) as url:
        yield replace(sandbox, url=url)


async def test_the_document_allows_what_the_sandbox_answers(judge: Sandbox, sandbox: Sandbox) -> None:
    everything = {
        "StatusCallback": "http://127.0.0.1:1/hooks/1#ct=3000&rc=5&rt=1500&rp=all",
        "ValidityPeriod": "14400",
        "ContentRetention": "retain",
        "AddressRetention": "retain",
        "SmartEncoded": "false",
    }
    status, created = await judge.create(Body="Näytä koodi ❤", **everything)
    assert (status, created["status"]) == (201, "queued")
    service = {"From": "-", "MessagingServiceSid": "MG" + "1" * 32}
    assert (await judge.create(**service))[1]["status"] == "accepted"
    assert (await judge.create(To="+358400030006"))[0] == 201
    await asyncio.sleep(0.2)
    status, fetched = await judge.look_up(created["uri"])
    assert (status, fetched["status"], fetched["body"]) == (200, "delivered", "Näytä koodi ❤")
    status, listed = await judge.look_up(To=FAMILY, PageSize="1")
    assert status == 200, listed
    assert len(listed["messages"]) == 1
    status, rest = await judge.look_up(listed["next_page_uri"])
    assert (status, len(rest["messages"]), rest["next_page_uri"]) == (200, 1, None)
    assert (await judge.look_up(**{"DateSent>": "2020-01-01T00:00:00Z"}))[0] == 200


async def test_refusals_reach_the_caller_through_the_judge(judge: Sandbox) -> None:
    for form, expected in (({"To": "+15005550001"}, (400, 21211)), ({"Body": ""}, (400, 21602))):
        status, answer = await judge.create(**form)
        assert (status, answer["code"]) == expected


async def test_the_judge_is_awake(tmp_path: Path) -> None:
    async def wrong(_request: web.Request) -> web.Response:
        return web.json_response({"sid": "SM" + "1" * 32, "status": "on its way"}, status=201)

    app = web.Application()
    app.router.add_post(f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", wrong)
    async with running(app) as url, judged(url, tmp_path) as judge_url, aiohttp.ClientSession() as session:
        status, _ = await Sandbox(judge_url, 0, Path(), session).create()
        assert status == 500
