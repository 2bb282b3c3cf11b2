import signal
import subprocess
import sys
from pathlib import Path

import psutil

from app.producer.parallel import pool

PROGRAM = """
import os, threading
from app.producer.parallel import pool

if __name__ == "__main__":
    with pool(1) as executor:
        print(executor.submit(os.getpid).result(), flush=True)
        threading.Event().wait()
"""


def test_ctrl_c_is_left_to_the_parent() -> None:
    with pool(1) as executor:
        assert executor.submit(signal.getsignal, signal.SIGINT).result() is signal.SIG_IGN


def test_a_process_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        process = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    _, alive = psutil.wait_procs([process], timeout=30)
    assert not alive


def test_no_process_is_left_at_its_end(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import psutil\n"
        "from app.producer.parallel import pool\n"
        "if __name__ == '__main__':\n"
        "    with pool(1) as executor:\n"
        "        executor.submit(abs, 1).result()\n"
        "    print(psutil.Process().children(recursive=True))\n"
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
