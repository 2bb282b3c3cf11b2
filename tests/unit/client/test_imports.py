"""A client process loads no worker code, and no parser of documents."""

import pkgutil
import subprocess
import sys

import app.client

FORBIDDEN = (
    "celery",
    "kombu",
    "pypdfium2",
    "tesserocr",
    "app.worker",
    "app.sandbox",
    "app.local",
    "app.cluster",
)


def test_no_module_of_the_client_loads_a_worker() -> None:
    modules = [f"app.client.{module.name}" for module in pkgutil.iter_modules(app.client.__path__)]
    assert "app.client.submit" in modules
    script = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert [
        name for name in loaded if name in FORBIDDEN or name.startswith(tuple(f"{x}." for x in FORBIDDEN))
    ] == []
