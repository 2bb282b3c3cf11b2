import subprocess
import sys

import pytest

START = (
    "import sys; sys.modules[{missing!r}] = None; sys.argv = {given}; from app.cli.main import main; main()"
)


@pytest.mark.parametrize("missing", ["kubernetes", "urllib3", "websocket"])
def test_without_the_kubernetes_client_it_says_how_to_install_it(missing: str) -> None:
    code = START.format(missing=missing, given=["fleet", "watch", "-n", "x"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("is not installed: pip install 'pdf-fleet[cluster]'.\n")
    assert done.stderr.count("\n") == 1
