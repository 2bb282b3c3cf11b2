"""A fleet to measure: an embedded server, a folder as store, and as many workers as a benchmark wants."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Self

from app.config import Settings
from app.documents.models import OcrMode
from app.errors import FleetError
from app.ledger.ledger import Ledger
from app.ledger.message import new_id
from app.ledger.models import BatchCounts, Document, Options, Submission
from app.local.fleet import environment_of
from app.local.processes import ProcessGroup
from app.local.server import EmbeddedServer
from app.local.session import local_settings
from app.queues import Queue
from app.storage.layout import original_key
from app.storage.store import ObjectStore

START_SECONDS = 60.0
END_SECONDS = 30.0
SILENCE_SECONDS = 120.0
"""A measurement stops if no document settles for this long."""
MEMORY_FOLDER = Path("/dev/shm")  # a folder of random name is made in it
"""Linux' file system in memory. The plain loop has its documents in memory too; and the cost of a file on a disk
depends on earlier deletions: ext4 without a journal checks each inode freed in the last minutes."""
MEMORY_FOLDER_BYTES = 2 * 2**30
"""Space that a measurement may need there."""


def end(process: "Popen[bytes]") -> None:
    """Stop a process by SIGTERM, and by SIGKILL if it takes longer than `END_SECONDS`."""
    process.terminate()
    try:
        process.wait(timeout=END_SECONDS)
    except TimeoutExpired:
        process.kill()
        process.wait()


class Worker:
    """A worker process.

    Attributes:
        began: Time of its start (s since the epoch).
        heartbeat: A file that appears when the worker is ready.
    """

    def __init__(self, process: "Popen[bytes]", *, began: float, heartbeat: Path, log: Path) -> None:
        self.process = process
        self.began = began
        self.heartbeat = heartbeat
        self.log = log

    @property
    def pid(self) -> int:
        """Process id of the worker; the sandbox child is its child process."""
        return self.process.pid

    def check(self) -> None:
        """Check that the worker runs.

        Raises:
            FleetError: if it has ended, with the end of its log.
        """
        if self.process.poll() is not None:
            raise FleetError(f"A worker ended: {self.log.read_text(errors='replace')[-2_000:]}")

    def end(self) -> None:
        """Stop it, as `end` does."""
        end(self.process)


class Rig:
    """A context manager that starts the server and makes the store, and removes both at its end.

    Attributes:
        config: The settings that workers get.
        server: The embedded server; everything measured in one run uses the same.
    """

    config: Settings
    ledger: Ledger
    server: EmbeddedServer

    def __init__(self) -> None:
        self._number = 0

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="pdf-fleet-bench-", dir=_memory_folder()))
        self.group = ProcessGroup(self.folder)
        self.server = EmbeddedServer(self.folder / "valkey", self.group)
        try:
            self.server.start()
            store_url = f"file://{self.folder / 'store'}"
            self.config = local_settings(Settings(), redis_url=self.server.url, store_url=store_url)
            self.store = ObjectStore.of(self.config)
            self.ledger = Ledger.of(self.config)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        self.group.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """Return the environment of a process of this rig."""
        environment = environment_of(self.config, os.environ)
        # Without compiled modules every start would include compiling them.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return environment

    def start(self, command: Sequence[str], name: str, **more: str) -> "tuple[Popen[bytes], float, Path]":
        """Start a process; return it, the moment before (s since the epoch) and its log."""
        log = self.folder / f"{name}.log"
        environment = self.environment() | more
        with log.open("ab") as output:
            began = time.time()
            return self.group.start(command, environment=environment, log=output), began, log

    def start_worker(self) -> Worker:
        """Start a worker of the pdf queue without waiting for it."""
        self._number += 1
        name = f"pdf-{self._number}"
        heartbeat = self.folder / f"{name}.alive"
        command = [sys.executable, "-m", "app.worker", Queue.PDF.value, "--name", name]
        process, began, log = self.start(command, name, FLEET_HEARTBEAT_FILE=str(heartbeat))
        return Worker(process, began=began, heartbeat=heartbeat, log=log)

    @contextmanager
    def workers(self, number: int, *, warm_up: Sequence[Path]) -> Iterator[list[Worker]]:
        """Yield ready workers that have read `warm_up`, so that their children have started too; stop them after."""
        started: list[Worker] = []
        try:
            started += [self.start_worker() for _ in range(number)]
            deadline = time.monotonic() + START_SECONDS
            while not all(worker.heartbeat.exists() for worker in started):
                for worker in started:
                    worker.check()
                if time.monotonic() > deadline:
                    raise FleetError(f"The workers did not start within {START_SECONDS:g} s.")
                time.sleep(0.005)
            batch = new_id()
            self.send(self.submissions(warm_up, batch), batch)
            self.await_settled(batch, started)
            self.forget(batch)
            yield started
        finally:
            for worker in started:
                worker.end()

    def submissions(self, paths: Sequence[Path], batch: str) -> list[Submission]:
        """Store each path's bytes as an original of its own and return the documents to open, without OCR."""
        options = Options(ocr=OcrMode.NEVER)
        chosen = []
        for path in paths:
            document_id = new_id()
            key = original_key(batch, document_id)
            self.store.put(key, path.read_bytes())
            chosen.append(Submission(document_id=document_id, source=path.name, options=options))
        return chosen

    def send(self, submissions: Sequence[Submission], batch: str) -> float:
        """Flood the pdf queue; return the moment before (s since the epoch)."""
        began = time.time()
        self.ledger.open(batch, Queue.PDF, submissions)
        return began

    def await_settled(self, batch: str, workers: Sequence[Worker], *, poll: float = 0.05) -> BatchCounts:
        """Wait until every document of a batch is settled.

        Raises:
            FleetError: if a worker ends, or no document settles for `SILENCE_SECONDS`.
        """
        settled, since = -1, time.monotonic()
        while True:
            counts = self.ledger.batch(batch)
            if counts.done:
                return counts
            for worker in workers:
                worker.check()
            if counts.settled != settled:
                settled, since = counts.settled, time.monotonic()
            elif time.monotonic() - since > SILENCE_SECONDS:
                raise FleetError(f"No document settled for {SILENCE_SECONDS:g} s; {settled} are settled.")
            time.sleep(poll)

    def documents(self, submissions: Sequence[Submission]) -> list[Document]:
        """Return the ledger's entries of `submissions`."""
        found = self.ledger.documents([submission.document_id for submission in submissions])
        return [document for document in found if document is not None]

    def forget(self, batch: str) -> None:
        """Remove a batch's objects, so that a long measurement does not fill the disk."""
        shutil.rmtree(self.folder / "store" / batch, ignore_errors=True)


def _memory_folder() -> Path | None:
    """Return `MEMORY_FOLDER`; None, for the usual temporary folder, if it has too little space or is not writable."""
    try:
        free = shutil.disk_usage(MEMORY_FOLDER).free
    except OSError:
        return None
    return MEMORY_FOLDER if free > MEMORY_FOLDER_BYTES and os.access(MEMORY_FOLDER, os.W_OK) else None
