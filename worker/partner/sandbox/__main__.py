"""`python -m worker.partner.sandbox`: the sandbox partner as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from worker.partner.sandbox.serve import serve_sandbox
from worker.partner.sandbox.settings import (
    FINISHED_SUFFIX,
    FOREIGN_SUFFIX,
    UNREGISTERED_SUFFIX,
    FaultError,
    Faults,
    SandboxSettings,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sandbox until SIGTERM or SIGINT; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        settings = settings_from(options)
    except (FaultError, ValueError) as exc:
        sys.stderr.write(f"sandbox: --faults: {exc}\n")
        return 2
    try:
        asyncio.run(_run(options, settings))
    except OSError as exc:
        sys.stderr.write(f"sandbox: cannot start: {exc}\n")
        return 1
    return 0


def settings_from(options: argparse.Namespace) -> SandboxSettings:
    """Return the settings that the command line asks for; raises FaultError or ValueError for bad `--faults`."""
    faults = Faults()
    faults.update(json.loads(options.faults))
    return SandboxSettings(
        client_id=options.client_id,
        client_secret=options.client_secret,
        rate=options.rate,
        seed=options.seed,
        create_path="/" + options.create_path.lstrip("/"),
        state_file=options.state_file,
        outbox_folder=options.outbox_folder,
        unregistered_suffixes=(UNREGISTERED_SUFFIX,) if options.demo_numbers else (),
        foreign_suffixes=(FOREIGN_SUFFIX,) if options.demo_numbers else (),
        finished_suffixes=(FINISHED_SUFFIX,) if options.demo_numbers else (),
        faults=faults,
    )


def write_address(path: Path, address: dict[str, str | int]) -> None:
    """Write the address file at *path*, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps(address) + "\n", encoding="utf-8")
    draft.replace(path)


def _parser() -> argparse.ArgumentParser:
    defaults = SandboxSettings()
    parser = argparse.ArgumentParser(prog="python -m worker.partner.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--http-port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--smtp-port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--address-file", type=Path, help="written when calls are taken")
    parser.add_argument("--state-file", type=Path, help="links survive a restart")
    parser.add_argument("--outbox-folder", type=Path, help="messages survive a restart")
    parser.add_argument("--client-id", default=defaults.client_id)
    parser.add_argument("--client-secret", default=defaults.client_secret)
    parser.add_argument("--create-path", default=defaults.create_path)
    parser.add_argument("--rate", type=float, help="calls a second that are taken; none: no limit")
    parser.add_argument("--seed", type=int, default=0, help="of the faults' chance")
    parser.add_argument(
        "--faults", default="{}", help='JSON, as POST /sandbox/faults takes it: {"hang": 0.01}'
    )
    parser.add_argument(
        "--demo-numbers",
        action="store_true",
        help=f"numbers ending in {UNREGISTERED_SUFFIX} are not registered, in {FOREIGN_SUFFIX} "
        f"have somebody else's link, in {FINISHED_SUFFIX} are connected already",
    )
    return parser


async def _run(options: argparse.Namespace, settings: SandboxSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    running = await serve_sandbox(options.host, options.http_port, options.smtp_port, settings=settings)
    if options.address_file is not None:
        write_address(options.address_file, running.address())
    sys.stdout.write(f"SANDBOX {running.url} smtp {running.smtp_port} pid {os.getpid()}\n")
    sys.stdout.flush()
    await stop.wait()
    await running.stop()


if __name__ == "__main__":
    sys.exit(main())
