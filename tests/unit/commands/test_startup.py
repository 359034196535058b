"""What ``holdfast tune`` imports before its first step: a bare TRL script's start plus little."""

import subprocess
import sys

import pytest

ASKED = "import sys, trl, {}; print(*[name for name in sys.argv[1:] if name in sys.modules])"
HEAVY = ("scipy.stats", "matplotlib", "ray", "inspect_ai", "lm_eval")
"""Loaded before step 0, each would cost a start up to half a second."""


@pytest.mark.slow
def test_tuning_imports_nothing_that_only_a_measurement_or_a_picture_needs():
    line = [sys.executable, "-c", ASKED.format("holdfast.commands.tune"), *HEAVY]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
