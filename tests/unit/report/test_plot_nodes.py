import pytest


@pytest.mark.parametrize(
    ("names", "titles"),
    [
        (["a", "b"], ["a", "b"]),
        (["ip-1.eu.internal", "ip-2.eu.internal"], ["ip-1", "ip-2"]),
        (["a.x", "a.y"], ["a.x", "a.y"]),
        (["a-very-long-name-of-a-node-1", "b"], ["a-very-l\N{HORIZONTAL ELLIPSIS}a-node-1", "b"]),
    ],
)
def test_titles_tell_nodes_apart(names: list[str], titles: list[str]) -> None:
    from app.report.plot_nodes import _titles

    assert _titles(names, 18) == titles
