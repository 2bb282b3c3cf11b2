import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.stream.ws_client import ERROR_CHANNEL, WSClient

from app.client.news import Away, News, QueueNews, encode
from app.cluster.news_listener import Lines, exit_code

NEWS = News(time=1.5, queues={"pdf": QueueNews(waiting=3, running=1, done=7)}, open=4)
AWAY = Away(time=2.5, message="Connection refused \N{HORIZONTAL ELLIPSIS}")
WHOLE = encode(NEWS) + encode(AWAY) + encode(NEWS)


@given(st.lists(st.integers(0, len(WHOLE)), max_size=12))
def test_lines_are_joined_from_any_pieces(cuts: list[int]) -> None:
    news: list[object] = []
    lines = Lines(news.append)
    edges = sorted({0, *cuts, len(WHOLE)})
    for start, end in itertools.pairwise(edges):
        lines.add(WHOLE[start:end])
    assert news == [NEWS, AWAY, NEWS]
    assert lines.last_words == ""


def test_the_last_words_are_the_readable_line_of_an_error() -> None:
    news: list[object] = []
    lines = Lines(news.append)
    box = "╭─ Error ────╮\n│ No such option: --follow │\n╰────────────╯\n"
    lines.add(b"Usage: fleet status\r\n" + box.encode() + b"\n\xff\n" + encode(NEWS))
    assert lines.last_words == "No such option: --follow"
    assert news == [NEWS]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ({"status": "Success"}, 0),
        ({"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "2"}]}}, 2),
        ({"status": "Failure", "message": "container not found", "details": {}}, None),
        ({"status": "Failure"}, None),
        (None, None),
    ],
)
def test_the_exit_code_of_an_exec(status: dict[str, object] | None, code: int | None) -> None:
    """None stands for a connection that broke before the status arrived."""
    connection = WSClient.__new__(WSClient)
    connection.binary, connection._connected, connection._returncode = True, False, None
    connection._closed_channels = set()
    connection._channels = {} if status is None else {ERROR_CHANNEL: msgspec.json.encode(status)}
    assert exit_code(connection) == code
