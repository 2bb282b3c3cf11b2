import fcntl
import os
import struct
import termios
import threading

from app.runtime.lifeline import when_it_ends
from tests.support.waiting import wait_for


def unread(descriptor: int) -> int:
    """Return the number of bytes that have not been read yet."""
    (count,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))
    return int(count)


def test_it_calls_at_the_end_of_file_and_not_for_data() -> None:
    ended = threading.Event()
    ours, theirs = os.pipe()
    try:
        when_it_ends(ours, ended.set)
        for _ in range(2):  # it keeps reading after the first
            os.write(theirs, b"x" * 10_000)
            wait_for(lambda: not unread(ours), "the reading of it", seconds=30.0)
        assert not ended.is_set()
        os.close(theirs)
        assert ended.wait(30.0)
    finally:
        os.close(ours)


def test_a_descriptor_that_was_never_open_has_ended() -> None:
    ended = threading.Event()
    when_it_ends(1_000_000, ended.set)  # beyond what a process may open
    assert ended.wait(30.0)
