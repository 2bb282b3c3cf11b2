"""The site of docs/, as `make docs` builds it: without warnings, without a network, and not with a broken link."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import app

ROOT = Path(app.__file__).resolve().parents[1]
LOADING = {"audio", "embed", "iframe", "img", "input", "link", "object", "script", "source", "video"}
"""Elements that make a browser load what their address names."""


class Loaded(HTMLParser):
    """The addresses that a browser loads with a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in LOADING:
            self.addresses += [
                value for name, value in attrs if name in {"src", "srcset", "href", "data"} and value
            ]


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    # A proxy that nobody answers at: whoever asks for anything fails.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    # No --quiet: MkDocs then counts no warnings, and builds whatever it finds.
    command = [sys.executable, "-m", "mkdocs", "build", "--config-file", str(config), "--site-dir", str(site)]
    environment = {**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = build(ROOT / "mkdocs.yml", folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_page_is_built(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        built = site / page.relative_to(ROOT / "docs").with_suffix(".html")
        assert (built.with_stem("index") if page.stem == "README" else built).is_file(), page


def test_the_reference_has_the_functions_and_their_parameters(site: Path) -> None:
    page = (site / "api" / "policy.html").read_text()
    assert 'id="app.policy.autoscaler.Autoscaler.step"' in page
    assert "seconds of a monotonic clock" in page


def test_pages_ask_no_host_for_anything(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        foreign = [address for address in Loaded(page).addresses if "//" in address]
        assert not foreign, f"{page.name} loads {foreign}"
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text(), style


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        (
            "[a](nowhere.md) [b](index.md#nowhere) [c](/index.md) ![d](nowhere.png)",
            ["'nowhere.md'", "'index.md#nowhere'", "'/index.md'", "'nowhere.png'", "forgotten.md"],
        ),
        ("::: app.nowhere", ["app.nowhere"]),
    ],
    ids=["links", "reference"],
)
def test_what_leads_nowhere_fails_the_build(tmp_path: Path, text: str, complaints: list[str]) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    docs.joinpath("index.md").write_text(f"# Page\n\n{text}\n")
    docs.joinpath("forgotten.md").write_text("# In no menu\n")
    config = tmp_path / "mkdocs.yml"
    config.write_text(f"INHERIT: {ROOT / 'mkdocs.yml'}\ndocs_dir: {docs}\nnav: [index.md]\n")
    built = build(config, tmp_path / "site")
    assert built.returncode != 0
    assert all(complaint in built.stderr for complaint in complaints), built.stderr
