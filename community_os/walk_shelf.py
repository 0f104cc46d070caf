"""WalkShelf (I/O): tests and acceptances that gateways sent, by site; they outlive the gateway.

    evidence lane ─► WalkRecord ─► <state>/walks/city.district.street.site.jsonl    one line a record, fsynced

Written before the worker's checkpoint and read with the newest line of each test winning: a replay changes nothing.
A file that has grown past its bound is written anew with the newest records of each device alone.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog

from dashboards.walks import KeptWalk
from device_model.errors import LocalFault
from device_model.messages import Batch, Lane, WalkRecord
from provisioning.authority import write_private

FILE_MAX = 8 * 1024 * 1024  # some 30,000 tests of one site
KEPT_OF_ONE = 5  # of each device, when the file is written anew
_log = structlog.get_logger("tocsin.walks")
_line = msgspec.json.Decoder(KeptWalk)
Take = Callable[[str, Batch], Awaitable[Batch]]


class WalkShelf:
    """All sites. Written by the worker's process, read by that of the pages."""

    def __init__(self, folder: Path) -> None:
        """folder: of the cloud's state."""
        self._folder = folder / "walks"

    def before(self, take: Take) -> Take:
        """The way of evidence with this shelf in it: walk records are kept, the rest goes on."""
        async def taken(path: str, batch: Batch) -> Batch:
            if batch.lane is Lane.EVIDENCE:
                walks = [KeptWalk(batch.gateway, record.body) for record in batch.records
                         if isinstance(record.body, WalkRecord)]
                if walks:
                    await asyncio.to_thread(self.keep, path, walks)
            return await take(path, batch)

        return taken

    def keep(self, path: str, walks: list[KeptWalk]) -> None:
        """Append. LocalFault where it cannot be written: the worker then reads the message again."""
        file = self._file(path)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if file.exists() and file.stat().st_size > FILE_MAX:
                self._write_anew(path, file)
            with file.open("ab") as out:
                out.write(b"".join(msgspec.json.encode(one) + b"\n" for one in walks))
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            raise LocalFault(f"tests of {path} cannot be kept: {error}") from error

    def of_site(self, path: str) -> tuple[KeptWalk, ...]:
        """All tests, oldest first, each once. LocalFault."""
        try:
            lines = self._file(path).read_bytes().splitlines()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise LocalFault(f"tests of {path} cannot be read: {error}") from error
        found: dict[tuple[str, str, int], KeptWalk] = {}
        for line in lines:
            try:
                one = _line.decode(line)
            except msgspec.DecodeError:
                continue  # cut by a power loss, and then sent again
            found[one.gateway, one.record.subject, one.record.begun_us] = one
        return tuple(sorted(found.values(), key=lambda one: one.record.begun_us))

    def _write_anew(self, path: str, file: Path) -> None:
        kept: dict[tuple[str, str], list[KeptWalk]] = {}
        every = self.of_site(path)
        for one in every:
            kept.setdefault((one.gateway, one.record.subject), []).append(one)
        newest = [one for tests in kept.values() for one in tests[-KEPT_OF_ONE:]]
        _log.warning("old tests left out, the newest of each device stay", site=path, gone=len(every) - len(newest))
        write_private(file, b"".join(msgspec.json.encode(one) + b"\n" for one in newest))

    def _file(self, path: str) -> Path:
        return self._folder / f"{path.replace('/', '.')}.jsonl"
