"""`python -m service.sandbox`: the sandbox's own process. The demo starts it; its settings come from the environment.

A process of its own, so that the service talks to its gateways over real sockets, and can be killed while they live.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from service.sandbox.server import SandboxSettings, run_sandbox


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    settings = SandboxSettings(
        host="127.0.0.1",
        http_port=int(os.environ["SANDBOX_PORT"]),
        smtp_port=int(os.environ["SANDBOX_SMTP_PORT"]),
        account_sid=os.environ["TWILIO_ACCOUNT_SID"],
        auth_token=os.environ["TWILIO_AUTH_TOKEN"],
        data=Path(os.environ["SANDBOX_DATA"]),
        inbound_url=f"{os.environ['PUBLIC_URL']}/hooks/twilio/inbound",
    )
    asyncio.run(run_sandbox(settings))


if __name__ == "__main__":
    main()
