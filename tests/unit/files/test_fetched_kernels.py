"""Importing a library downloads nothing: the package that fetches kernels is hidden from it."""

import subprocess
import sys

import pytest

pytest.importorskip("bitsandbytes")
SCRIPT = """
import sys
import holdfast
assert "bitsandbytes" not in sys.modules
import bitsandbytes
assert "kernels" not in sys.modules
import kernels
print(kernels.asked)
"""
KERNELS = """
asked = []
def get_kernel(*name, **_):
    asked.append(name)
    raise OSError("the network")
"""


@pytest.mark.slow
def test_bitsandbytes_asks_nobody_when_it_is_imported(tmp_path):
    (tmp_path / "kernels.py").write_text(KERNELS)
    # What another library imported earlier stays as it was.
    for first in ("", "import kernels\n"):
        script = (first + SCRIPT).replace(
            'assert "kernels" not in sys.modules' if first else "\0", "assert kernels.asked == []"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert (done.stdout, done.stderr) == ("[]\n", "")
