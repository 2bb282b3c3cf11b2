import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from app.documents.limits import Limits
from app.documents.models import MediaType, Recognition
from app.errors import MalformedError, PasswordRequiredError, ResourceLimitError, SandboxError, TooLargeError
from app.sandbox import process, verdict, wire
from app.sandbox import sandbox as sandbox_module
from app.sandbox.process import ChildProcess, ChildTimeoutError
from app.sandbox.sandbox import Interrupted, Sandbox
from tests.support.documents import Objects, build_pdf, one_page


@pytest.fixture(scope="module")
def slow_pdf() -> bytes:
    """A page that takes minutes and little memory to draw: the same shading fills it many times."""
    colours = b"<</FunctionType 2/Domain[0 1]/C0[1 0 0]/C1[0 0 1]/N 3>>"
    shading = (
        b"<</ShadingType 3/ColorSpace/DeviceRGB/Coords[300 400 0 300 400 900]/Extend[true true]/Function %s>>"
        % colours
    )
    return build_pdf(one_page(b"/Sh sh " * 100_000, resources=b"/Shading<</Sh %s>>" % shading))


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


def child_of(box: Sandbox) -> ChildProcess:
    assert box._child is not None
    return box._child


def busy_child(box: Sandbox, other_than: int = 0) -> psutil.Process:
    """Return the child once it works on a document: it is ready and uses the CPU."""
    until(
        lambda: (
            box._child is not None
            and box._child.is_ready
            and box._child.pid != other_than
            and box._child.documents
        )
    )
    child = psutil.Process(child_of(box).pid)
    began = child.cpu_times().user
    until(lambda: child.cpu_times().user > began + 0.05)
    return child


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    results: list[object] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def test_the_child_is_kept_and_replaced_after_its_number_of_documents(
    limits: Limits, good_pdf: bytes
) -> None:
    pids = []
    with Sandbox(limits, max_documents=2) as box:
        for _ in range(5):
            pids.append(child_of(box).pid)
            assert box.read(good_pdf).texts == ["Hello fleet"]
        assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]
        assert (box.documents, box.restarts) == (5, 2)
        assert 10 * 2**20 < box.peak_child_rss < limits.memory_bytes
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_typed_errors_arrive_and_cost_no_child(sandbox: Sandbox, good_pdf: bytes, limits: Limits) -> None:
    with pytest.raises(MalformedError):
        sandbox.read(b"%PDF-1.4")
    with pytest.raises(TooLargeError):
        sandbox.read(b"%PDF" * limits.document_bytes)
    assert sandbox.read(good_pdf).facts.page_count == 1
    assert sandbox.restarts == 0


def test_a_large_document_passes_the_pipe(sandbox: Sandbox, good_pdf: bytes) -> None:
    padded = good_pdf + b"%" + b"x" * (10 * 2**20)
    assert sandbox.read(padded).facts.bytes == len(padded)


def test_an_answer_larger_than_the_buffer_arrives_whole(sandbox: Sandbox) -> None:
    lines = b" ".join(b"(%s) Tj 0 -.1 Td" % (b"x" * 1_000) for _ in range(1_300))
    pdf = build_pdf(one_page(b"BT /F1 .05 Tf 1 800 Td " + lines + b" ET"))
    assert sandbox.read(pdf).facts.characters > process._BUFFER_BYTES


def test_only_the_child_imports_what_parses() -> None:
    script = "import app.sandbox.sandbox, sys; print('pypdfium2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_wall_limit(limits: Limits, good_pdf: bytes, slow_pdf: bytes) -> None:
    with Sandbox(msgspec.structs.replace(limits, cpu_seconds=60, wall_seconds=0.7), max_documents=100) as box:
        box.read(good_pdf)
        began = time.monotonic()
        with pytest.raises(ResourceLimitError, match="FLEET_SANDBOX_WALL_SECONDS"):
            box.read(slow_pdf)
        assert time.monotonic() - began < 3
        assert box.restarts == 1
        assert box.read(good_pdf).texts == ["Hello fleet"]


def test_the_cpu_limit_is_each_documents_own(sandbox: Sandbox, good_pdf: bytes, slow_pdf: bytes) -> None:
    for _ in range(2):
        with pytest.raises(ResourceLimitError, match="2 s of CPU time"):
            sandbox.read(slow_pdf)
        assert sandbox.read(good_pdf).texts == ["Hello fleet"]
    assert sandbox.restarts == 2


def test_a_crash_is_tried_once_more_and_then_malformed(
    limits: Limits, slow_pdf: bytes, good_pdf: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A signal from the test simulates a crash; on a busy machine it may arrive later than "at once".
    monkeypatch.setattr(verdict, "AT_ONCE_SECONDS", 60.0)
    with Sandbox(limits, max_documents=100) as box:
        box.read(good_pdf)
        thread, results = in_thread(lambda: box.read(slow_pdf))
        first = busy_child(box)
        first.send_signal(signal.SIGSEGV)
        second = busy_child(box, other_than=first.pid)
        second.send_signal(signal.SIGSEGV)
        thread.join(30)
        assert isinstance(results[0], MalformedError)
        assert "crash" in results[0].message
        assert box.restarts == 2
        assert box.read(good_pdf).texts == ["Hello fleet"]


@pytest.mark.parametrize("kills", [1, 2])
def test_a_child_killed_from_outside_is_tried_once_more_and_then_a_resource_limit(
    limits: Limits, slow_pdf: bytes, kills: int
) -> None:
    # After one kill, the document may not be the cause: any process may have used up the machine's memory.
    with Sandbox(msgspec.structs.replace(limits, cpu_seconds=60, wall_seconds=60), max_documents=100) as box:
        thread, results = in_thread(lambda: box.read(slow_pdf))
        child = busy_child(box)
        child.kill()
        again = busy_child(box, other_than=child.pid)
        if kills == 1:
            box.interrupt()  # the second attempt has started, which is what the test shows; it takes long
        else:
            again.kill()
        thread.join(30)
        expected = Interrupted if kills == 1 else ResourceLimitError
        assert isinstance(results[0], expected)
        assert box.restarts == kills


@pytest.mark.parametrize("by", [signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM])
def test_a_child_that_died_between_documents_costs_nothing(
    sandbox: Sandbox, good_pdf: bytes, by: signal.Signals
) -> None:
    sandbox.read(good_pdf)
    psutil.Process(child_of(sandbox).pid).send_signal(by)
    # The process is a zombie before its last thread closes the connection.
    until(lambda: child_of(sandbox).has_hung_up)
    assert sandbox.read(good_pdf).texts == ["Hello fleet"]
    assert sandbox.restarts == 1


def test_interrupt_ends_the_waiting_call_from_another_thread(
    limits: Limits, slow_pdf: bytes, good_pdf: bytes
) -> None:
    with Sandbox(limits, max_documents=100) as box:
        thread, results = in_thread(lambda: box.read(slow_pdf))
        child = busy_child(box)
        box.interrupt()
        thread.join(10)
        assert isinstance(results[0], Interrupted)
        assert not child.is_running()
        assert box.read(good_pdf).texts == ["Hello fleet"]


def test_interrupt_from_a_signal_handler_of_the_waiting_thread(sandbox: Sandbox, slow_pdf: bytes) -> None:
    previous = signal.signal(signal.SIGUSR1, lambda *_: sandbox.interrupt())
    try:
        main = threading.main_thread().ident
        assert main is not None

        def send() -> None:
            busy_child(sandbox)
            signal.pthread_kill(main, signal.SIGUSR1)

        sender, _ = in_thread(send)
        with pytest.raises(Interrupted):
            sandbox.read(slow_pdf)
        sender.join(10)
    finally:
        signal.signal(signal.SIGUSR1, previous)


def test_interrupt_before_the_call_is_not_lost(sandbox: Sandbox, good_pdf: bytes) -> None:
    sandbox.read(good_pdf)
    sandbox.interrupt()
    with pytest.raises(Interrupted):
        sandbox.read(good_pdf)
    assert sandbox.read(good_pdf).texts == ["Hello fleet"]


def test_what_on_wait_raises_leaves_no_child_at_work(
    sandbox: Sandbox, slow_pdf: bytes, good_pdf: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    class TimeIsUpError(Exception):
        pass

    def on_wait() -> None:
        raise TimeIsUpError

    monkeypatch.setattr(sandbox_module, "HEARTBEAT_SECONDS", 0.2)
    sandbox.read(good_pdf)
    sandbox.on_wait = on_wait
    pid = child_of(sandbox).pid
    with pytest.raises(TimeIsUpError):
        sandbox.read(slow_pdf)
    assert not psutil.pid_exists(pid)
    sandbox.on_wait = None
    assert sandbox.read(good_pdf).texts == ["Hello fleet"]


def test_signs_of_life_while_waiting(limits: Limits, slow_pdf: bytes) -> None:
    signs: list[float] = []
    with (
        Sandbox(limits, max_documents=10, on_wait=lambda: signs.append(time.monotonic())) as box,
        pytest.raises(ResourceLimitError),
    ):
        box.read(slow_pdf)
    assert len(signs) >= 2
    assert all(later - earlier >= 0.99 for earlier, later in itertools.pairwise(signs))


def test_threads_take_turns(sandbox: Sandbox, good_pdf: bytes) -> None:
    threads = [in_thread(lambda: [sandbox.read(good_pdf).texts for _ in range(10)]) for _ in range(4)]
    for thread, results in threads:
        thread.join(60)
        assert results == [[["Hello fleet"]] * 10]
    assert (sandbox.documents, sandbox.restarts) == (40, 0)


def test_nothing_is_left_behind(limits: Limits, good_pdf: bytes) -> None:
    gc.collect()
    me = psutil.Process()
    before = me.num_fds()
    pids = []
    for _ in range(3):
        with Sandbox(limits, max_documents=1) as box:
            for _ in range(2):
                pids.append(child_of(box).pid)
                box.read(good_pdf)
            pids.append(child_of(box).pid)
    assert me.num_fds() == before
    assert not {child.pid for child in me.children()} & set(pids)


def test_a_child_that_does_not_start_is_not_the_documents_fault(
    limits: Limits, good_pdf: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "CHILD_MODULE", "app.sandbox.there_is_no_such_module")
    with (
        Sandbox(limits, max_documents=1) as box,
        pytest.raises(SandboxError, match="there_is_no_such_module"),
    ):
        box.read(good_pdf)


def test_someone_else_may_reap_the_child(limits: Limits, good_pdf: bytes) -> None:
    previous = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps every child at once
    try:
        with Sandbox(limits, max_documents=2) as box:
            assert [box.read(good_pdf).texts for _ in range(3)] == [["Hello fleet"]] * 3
    finally:
        signal.signal(signal.SIGCHLD, previous)


@pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="only /proc shows a process's environment and files"
)
def test_what_the_child_is_given(
    sandbox: Sandbox, good_pdf: bytes, monkeypatch: pytest.MonkeyPatch, limits: Limits
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    sandbox.close()
    with Path(__file__).open() as kept_open:
        os.set_inheritable(kept_open.fileno(), True)
        sandbox.read(good_pdf)
        child = psutil.Process(child_of(sandbox).pid)
        assert child.environ().keys() <= {
            "LANG",
            "LC_CTYPE",
            "PATH",
            "OMP_THREAD_LIMIT",
            "MALLOC_ARENA_MAX",
            "LD_LIBRARY_PATH",
        }
        assert str(__file__) not in {file.path for file in child.open_files()}
    assert child.rlimit(psutil.RLIMIT_AS) == (limits.memory_bytes, limits.memory_bytes)
    assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    assert os.getsid(child.pid) == child.pid
    assert "NoNewPrivs:\t1" in Path(f"/proc/{child.pid}/status").read_text()


def test_pages_are_recognised_in_the_child(sandbox: Sandbox, scan_objects: Objects) -> None:
    scan_objects = scan_objects | {2: b"<</Type/Pages/Kids[3 0 R 9 0 R]/Count 2>>"}
    pages: list[Recognition] = []
    found = sandbox.recognize(build_pdf(scan_objects), [1, 2], media_type=MediaType.PDF, on_page=pages.append)
    assert found == pages
    assert [(page.number, page.error is None) for page in found] == [(1, True), (2, False)]
    with pytest.raises(MalformedError):
        sandbox.recognize(b"%PDF-1.4", [1], media_type=MediaType.PDF)


def test_a_page_that_overruns_is_listed_and_the_rest_goes_on(sandbox: Sandbox) -> None:
    objects = one_page(b"/Fm Do " * 300_000, resources=b"/XObject<</Fm 5 0 R>>")
    objects[2] = b"<</Type/Pages/Kids[6 0 R 3 0 R 6 0 R]/Count 3>>"
    content = b"0 0 595 842 re f " * 100
    objects[5] = b"<</Type/XObject/Subtype/Form/BBox[0 0 595 842]/Length %d>>\nstream\n%s\nendstream" % (
        len(content),
        content,
    )
    font = b"/Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>"
    objects[6] = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]/Contents 7 0 R/Resources<<%s>>>>" % font
    words = b"BT /F1 24 Tf 20 40 Td (good page) Tj ET"
    objects[7] = b"<</Length %d>>\nstream\n%s\nendstream" % (len(words), words)
    found = sandbox.recognize(build_pdf(objects), [1, 2, 3], media_type=MediaType.PDF)
    assert [page.text for page in found] == ["good page", "", "good page"]
    assert "FLEET_SANDBOX" in (found[1].error or "")


def test_a_child_that_fails_to_close_a_document_costs_no_result(
    sandbox: Sandbox, scan_objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ChildProcess.ask

    def time_out(child: ChildProcess, request: wire.Request, *args: Any, **options: Any) -> object:
        if isinstance(request, wire.Close):
            raise ChildTimeoutError
        return ask(child, request, *args, **options)

    monkeypatch.setattr(ChildProcess, "ask", time_out)
    document = build_pdf(scan_objects)
    for restarts in (1, 2):
        assert [page.error for page in sandbox.recognize(document, [1], media_type=MediaType.PDF)] == [None]
        assert sandbox.restarts == restarts


def test_a_wrong_password_is_said_before_any_page(sandbox: Sandbox, corpus: Path) -> None:
    locked = corpus / "qpdf__20-pages.pdf"
    if not locked.is_file():
        pytest.skip(f"there is no corpus at {corpus}")
    with pytest.raises(PasswordRequiredError):
        sandbox.recognize(locked.read_bytes(), [1], media_type=MediaType.PDF, password="wrong")
    assert sandbox.read(locked.read_bytes(), password="user").facts.page_count == 20


PARENT = """
import sys, threading
from app.documents.limits import Limits
from app.sandbox.sandbox import Sandbox
box = Sandbox(Limits(cpu_seconds=60), max_documents=9)
def work():
    box.start()
    print(box._child.pid, flush=True)
    box.read(sys.stdin.buffer.read())
if sys.argv[1] == "main":
    work()
else:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
"""


@pytest.mark.parametrize("where", ["main", "thread"])
def test_the_child_dies_with_its_parent(where: str, slow_pdf: bytes) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, where], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(slow_pdf)
        parent.stdin.close()
        child = psutil.Process(int(parent.stdout.readline()))
        # After a second of CPU time it has done its imports and is in PDFium, which takes minutes to return.
        until(lambda: child.cpu_times().user > 1.0)
        parent.kill()
        until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_child_outlives_the_thread_that_started_it(limits: Limits, good_pdf: bytes) -> None:
    box = Sandbox(limits, max_documents=9)
    starter, _ = in_thread(box.start)
    starter.join()
    with box:
        assert [box.read(good_pdf).texts for _ in range(2)] == [["Hello fleet"]] * 2
        assert box.restarts == 0
