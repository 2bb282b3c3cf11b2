import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.client.news import Away, News, QueueNews, encode
from app.cluster.news_listener import Lines, exit_code

NEWS = News(time=1.5, queues={"pdf": QueueNews(waiting=3, running=1, done=7)}, open=4)
AWAY = Away(time=2.5, message="Connection refused \N{HORIZONTAL ELLIPSIS}")
WHOLE = encode(NEWS) + encode(AWAY) + encode(NEWS)


@given(st.lists(st.integers(0, len(WHOLE)), max_size=12))
def test_lines_are_put_together_from_whatever_pieces(cuts: list[int]) -> None:
    told: list[object] = []
    lines = Lines(told.append)
    edges = sorted({0, *cuts, len(WHOLE)})
    for start, end in itertools.pairwise(edges):
        lines.add(WHOLE[start:end])
    assert told == [NEWS, AWAY, NEWS]
    assert lines.last_words == ""


def test_the_last_words_are_what_a_person_would_read() -> None:
    told: list[object] = []
    lines = Lines(told.append)
    box = "╭─ Error ────╮\n│ No such option: --follow │\n╰────────────╯\n"
    lines.add(b"Usage: fleet status\r\n" + box.encode() + b"\n\xff\n" + encode(NEWS))
    assert lines.last_words == "No such option: --follow"
    assert told == [NEWS]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ({"status": "Success"}, 0),
        ({"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "2"}]}}, 2),
        ({"status": "Failure", "message": "container not found", "details": {}}, None),
        ({"status": "Failure"}, None),
    ],
)
def test_the_exit_code_of_an_exec(status: dict[str, object], code: int | None) -> None:
    assert exit_code(msgspec.json.encode(status)) == code


def test_a_connection_that_broke_has_no_exit_code() -> None:
    assert exit_code(b"") is None
    assert exit_code(b"{") is None
