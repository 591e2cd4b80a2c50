"""`python -m service demo`"""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated

import typer

# What may be wrong with the folder that somebody chose, or with its disk.
FOLDER_FAULTS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.ENOSPC, errno.EDQUOT)


def demo(
    data: Annotated[Path, typer.Option(help="Where the demo lives; a second start continues with its data.")] = Path(
        ".data"
    ),
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Where the API listens on 127.0.0.1.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End after the story; 0 if all came out as it should.")] = False,
    stop_with_parent: Annotated[
        bool, typer.Option("--stop-with-parent", help="Stop when the process that started this one ends.")
    ] = False,
) -> None:
    """Start everything on this machine, with sample data, and play the story."""
    # Here and not above: production has neither the embedded servers nor the sandbox's packages.
    import asyncio

    from rich.console import Console

    from service.crypto import SealBroken
    from service.sandbox.demo import DemoFailed, DemoOptions, Output, run_demo
    from service.sandbox.home import NoPort
    from service.sandbox.processes import ServerStartError, die_with_parent

    if stop_with_parent:
        die_with_parent()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal without ä shows ?, and goes on
    try:
        status = asyncio.run(run_demo(DemoOptions(data=data, port=port, once=once), Output()))
    except (DemoFailed, NoPort, ServerStartError, SealBroken) as error:
        Console(stderr=True, soft_wrap=True).print(str(error), style="red", highlight=False, markup=False)
        raise typer.Exit(1) from error
    except OSError as error:
        if error.errno not in FOLDER_FAULTS:
            raise
        typer.echo(f"{error.filename or data}: {error.strerror}. Choose another place with DATA=<folder>.", err=True)
        raise typer.Exit(1) from error
    raise typer.Exit(status)
