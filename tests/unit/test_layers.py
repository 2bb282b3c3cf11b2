"""The import contracts of pyproject.toml refuse a file in a wrong room."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import app

ROOT = Path(app.__file__).resolve().parents[1]
INTRUDERS = {
    "app/room_without_a_layer/__init__.py": "",
    "app/policy/upward.py": "import app.ledger.keys",
    "app/client/celery_of_its_own.py": "import celery",
    "app/local/redis_of_its_own.py": "import redis",
    "app/report/kubernetes_of_its_own.py": "import kubernetes",
    "app/local/rich_of_its_own.py": "import rich",
    "app/client/obstore_of_its_own.py": "import obstore",
    "app/cli/commands/neighbour.py": "import app.cli.commands.demo",
    "tools/kind/watching.py": "import app.cluster.state",
}


def test_a_file_in_a_wrong_room_is_refused(tmp_path: Path) -> None:
    for package in ("app", "tools"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, source in INTRUDERS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    check = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", check, "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    for name in INTRUDERS:
        module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        assert module in done.stdout, f"{module} was let in: {done.stdout}"
