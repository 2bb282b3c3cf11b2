"""Plain processes without a fleet: they read the same documents in a loop, from bytes in memory."""

import io
import multiprocessing
import queue
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import pypdfium2
from PIL import Image

from app.documents import reading
from app.documents.limits import Limits
from app.documents.models import OcrMode
from app.documents.thumbnail import JPEG_QUALITY
from app.errors import FleetError, PermanentError

THUMBNAIL_PIXELS = 320
_LIMITS = Limits()
_TIMEOUT_SECONDS = 3_600


class Loop(StrEnum):
    """What a plain process does with each document."""

    PYPDFIUM2 = "pypdfium2"
    """Text of all pages and the thumbnail, by the library's documented classes."""
    READING = "reading"
    """The fleet's own reading and nothing else: the difference to a fleet is the fleet's overhead."""


class Plain(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one run of plain processes."""

    began: float
    """Seconds since the epoch."""
    finished: list[float]
    """When each document was finished; seconds since the epoch."""
    cpu_seconds: float
    """CPU time of all processes in the loop, user and system."""


def by_pypdfium2(data: bytes) -> tuple[list[str], bytes]:
    """Return the text of each page of a PDF and a JPEG of its first, 320 pixels on the longest side."""
    texts, picture = [], io.BytesIO()
    document = pypdfium2.PdfDocument(data)
    try:
        for index, page in enumerate(document):
            text = page.get_textpage()
            texts.append(text.get_text_bounded())
            text.close()
            if index == 0:
                bitmap = page.render(scale=THUMBNAIL_PIXELS / max(page.get_size()))
                bitmap.to_pil().save(picture, "JPEG", quality=JPEG_QUALITY)
                bitmap.close()
            page.close()
    finally:
        document.close()
    return texts, picture.getvalue()


def by_pillow(data: bytes) -> bytes:
    """Return a thumbnail of an image, 320 pixels on the longest side."""
    picture = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
        image.convert("RGB").save(picture, "JPEG", quality=JPEG_QUALITY)
    return picture.getvalue()


def plain_loop(data: bytes) -> None:
    """Read one document as a script of a few lines would; skip a broken one."""
    if not data.startswith((b"\xff\xd8", b"\x89PNG")):
        try:
            by_pypdfium2(data)
        except pypdfium2.PdfiumError:
            return
    else:
        by_pillow(data)


def reading_loop(data: bytes) -> None:
    """Read one document as the fleet's child does."""
    try:
        reading.read(data, limits=_LIMITS, ocr=OcrMode.NEVER)
    except PermanentError:
        return


_LOOPS: dict[Loop, Callable[[bytes], None]] = {Loop.PYPDFIUM2: plain_loop, Loop.READING: reading_loop}


def run(loop: Loop, paths: Sequence[Path], *, processes: int) -> Plain:
    """Read all of `paths` in plain processes; each process reads the next path as soon as it is free.

    Raises:
        FleetError: if a process dies.
    """
    context = multiprocessing.get_context("spawn")
    barrier, counter, answers = context.Barrier(processes + 1), context.Value("q", 0), context.Queue()
    workers = [
        context.Process(target=_work, args=(loop, paths, barrier, counter, answers)) for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    try:
        while barrier.n_waiting < processes:
            _require_alive(workers)
            time.sleep(0.01)
        barrier.wait(_TIMEOUT_SECONDS)
        began = time.time()
        parts = [_answer(answers, workers) for _ in workers]
    except BaseException:
        barrier.abort()
        raise
    finally:
        for worker in workers:
            if worker.exitcode is None and not barrier.broken:
                worker.join(timeout=10)
            worker.kill()
            worker.join()
    return Plain(
        began=began,
        finished=[moment for finished, _ in parts for moment in finished],
        cpu_seconds=sum(cpu for _, cpu in parts),
    )


def _answer(answers: Any, workers: Sequence[Any]) -> Any:
    while True:
        try:
            return answers.get(timeout=1.0)
        except queue.Empty:
            _require_alive(workers)


def _require_alive(workers: Sequence[Any]) -> None:
    """Check that every process still runs or has answered.

    Raises:
        FleetError: if one ended without an answer.
    """
    for worker in workers:
        if worker.exitcode:
            raise FleetError(f"A plain process ended with exit code {worker.exitcode}: see its output above.")


def _work(loop: Loop, paths: Sequence[Path], barrier: Any, counter: Any, answers: Any) -> None:
    """The main function of a plain process."""
    read = _LOOPS[loop]
    bytes_of = {path: path.read_bytes() for path in set(paths)}
    for path in paths[:3]:
        read(bytes_of[path])
    finished = []
    barrier.wait(_TIMEOUT_SECONDS)
    before = time.process_time()
    while True:
        with counter.get_lock():
            position = counter.value
            counter.value += 1
        if position >= len(paths):
            break
        read(bytes_of[paths[position]])
        finished.append(time.time())
    answers.put((finished, time.process_time() - before))
