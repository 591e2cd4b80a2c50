"""A scripted SMTP server on loopback: each command's reply can be set, dropped, or never given."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

HANG = "hang"
DROP = "drop"


class SmtpServer:
    """`replies` by command word, plus `GREETING` and `CONTENT` (after the final dot); `DROP` and `HANG` too."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.replies: dict[str, str] = {}
        self.features = ["PIPELINING", "8BITMIME"] + (["STARTTLS"] if tls else [])
        self.mails: list[tuple[str, str, bytes]] = []
        self.commands: list[str] = []
        self.connections = 0
        self.encrypted = 0
        self.open: set[asyncio.StreamWriter] = set()
        self.port = 0
        self._tls = tls

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._converse(reader, writer)
        self.open.discard(writer)
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._reply(writer, "GREETING", "220 test ESMTP")
        sender = recipient = ""
        while line := (await reader.readline()).decode().rstrip():
            word = line.split(" ", 1)[0].upper()
            self.commands.append(word)
            if word == "EHLO":
                await self._reply(
                    writer, word, "\r\n".join(["250-test", *(f"250-{f}" for f in self.features), "250 OK"])
                )
            elif word == "STARTTLS":
                await self._reply(writer, word, "220 go ahead")
                await writer.start_tls(self._tls)  # type: ignore[arg-type]
                self.encrypted += 1
            elif word == "DATA":
                await self._reply(writer, word, "354 go on")
                if self.replies.get(word, "354").startswith("354"):
                    content = await reader.readuntil(b"\r\n.\r\n")
                    await self._reply(writer, "CONTENT", "250 2.0.0 queued as 1")
                    if self.replies.get("CONTENT", "250").startswith("250"):
                        self.mails.append((sender, recipient, content[:-3]))
            elif word == "QUIT":
                await self._reply(writer, word, "221 bye")
                return
            else:
                sender = line if word == "MAIL" else sender
                recipient = line if word == "RCPT" else recipient
                await self._reply(writer, word, "250 2.0.0 OK")

    async def _reply(self, writer: asyncio.StreamWriter, word: str, usual: str) -> None:
        reply = self.replies.get(word, usual)
        if reply == HANG:
            await asyncio.sleep(30)
        if reply == DROP:
            raise ConnectionResetError
        writer.write(f"{reply}\r\n".encode())
        await writer.drain()

    def drop_all(self) -> None:
        for writer in tuple(self.open):
            writer.close()


@contextlib.asynccontextmanager
async def smtp_server(*, tls: ssl.SSLContext | None = None, implicit: bool = False) -> AsyncIterator[SmtpServer]:
    script = SmtpServer(tls)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await script.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls if implicit else None)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
