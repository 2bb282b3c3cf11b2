import errno
import threading
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from app.errors import FleetError
from app.producer import corpus
from app.producer.corpus import INDEX, default_directory, make_set
from app.producer.models import GENERATOR, Synthetic
from app.producer.synthesis import kind_of, synthesise
from app.runtime import atomic


def contents(documents: list[Synthetic]) -> list[bytes]:
    return [document.path.read_bytes() for document in documents]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Synthetic]:
    return make_set(tmp_path_factory.mktemp("set"), documents=40, seed=3)


def test_processes_make_what_synthesise_makes(made: list[Synthetic]) -> None:
    assert contents(made) == [synthesise(3, number).data for number in range(40)]
    assert [document.kind for document in made] == [kind_of(3, number) for number in range(40)]


def test_a_small_set_is_the_beginning_of_a_large_one(made: list[Synthetic], tmp_path: Path) -> None:
    small = make_set(tmp_path, documents=6, seed=3)
    assert contents(small) == contents(made[:6])
    assert [(one.kind, one.expected, one.pages) for one in small] == [
        (one.kind, one.expected, one.pages) for one in made[:6]
    ]


def test_a_whole_set_is_used_again(made: list[Synthetic]) -> None:
    directory = made[0].path.parent
    before = {path: path.stat().st_mtime_ns for path in directory.iterdir()}
    progress: list[int] = []
    assert make_set(directory, documents=40, seed=3, on_progress=progress.append) == made
    assert progress == [40]
    assert {path: path.stat().st_mtime_ns for path in directory.iterdir()} == before


def test_progress_grows_to_the_number_of_documents(tmp_path: Path) -> None:
    progress: list[int] = []
    make_set(tmp_path, documents=12, seed=1, on_progress=progress.append)
    assert progress == sorted(progress)
    assert progress[0] == 0
    assert progress[-1] == 12


@pytest.mark.parametrize("harm", ["changed", "truncated", "deleted"])
def test_what_is_damaged_is_made_again(tmp_path: Path, harm: str) -> None:
    documents = make_set(tmp_path, documents=4, seed=1)
    whole = contents(documents)
    victim = documents[2].path
    if harm == "deleted":
        victim.unlink()
    else:
        victim.write_bytes(whole[2][:-5] + (b"?????" if harm == "changed" else b""))
    assert contents(make_set(tmp_path, documents=4, seed=1)) == whole


@pytest.mark.parametrize("index", [b"", b"{", b"\xff\xfe\n", b'{"generator":0,"seed":1}\n'])
def test_an_index_that_cannot_be_used_is_made_again(tmp_path: Path, index: bytes) -> None:
    documents = make_set(tmp_path, documents=3, seed=1)
    good = (tmp_path / INDEX).read_bytes()
    (tmp_path / INDEX).write_bytes(index)
    assert make_set(tmp_path, documents=3, seed=1) == documents
    assert (tmp_path / INDEX).read_bytes() == good


def test_another_seed_in_the_same_directory_is_not_mistaken_for_this_one(tmp_path: Path) -> None:
    make_set(tmp_path, documents=3, seed=1)
    assert contents(make_set(tmp_path, documents=3, seed=2)) == [synthesise(2, n).data for n in range(3)]


def test_a_smaller_run_keeps_what_a_larger_one_has_listed(tmp_path: Path) -> None:
    documents = make_set(tmp_path, documents=5, seed=1)
    documents[0].path.unlink()
    make_set(tmp_path, documents=2, seed=1)
    progress: list[int] = []
    make_set(tmp_path, documents=5, seed=1, on_progress=progress.append)
    assert progress == [5]


def test_two_runs_at_the_same_time_agree(tmp_path: Path) -> None:
    results: dict[int, list[Synthetic]] = {}

    def run(number: int) -> None:
        results[number] = make_set(tmp_path, documents=8, seed=1)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[1]
    assert contents(results[0]) == [synthesise(1, number).data for number in range(8)]
    assert not list(tmp_path.glob("*.part"))


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FleetError, match=r"cannot be stored in .*file.*Not a directory") as caught:
        make_set(tmp_path / "file" / "set", documents=1, seed=1)
    assert caught.value.exit_code == 1


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "write", full)
    with pytest.raises(FleetError, match=r"No space left on device\. Make room there, or set XDG_CACHE_HOME"):
        make_set(tmp_path, documents=1, seed=1)


def test_a_maker_that_is_killed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise BrokenProcessPool("a child process terminated abruptly")

    monkeypatch.setattr(corpus, "_make", killed)
    with pytest.raises(FleetError, match="was killed: start the command again"):
        make_set(tmp_path, documents=1, seed=1)


def test_the_cache_is_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path("pdf-fleet") / f"{GENERATOR}-7"
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/ada")
    assert default_directory(7) == Path("/var/cache/ada") / place
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("sys.platform", "linux")
    assert default_directory(7) == Path("/home/ada/.cache") / place
    monkeypatch.setattr("sys.platform", "darwin")
    assert default_directory(7) == Path("/home/ada/Library/Caches") / place
