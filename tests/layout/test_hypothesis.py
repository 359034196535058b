"""One profile of hypothesis for all tests: a busy machine is no fault of what is tested."""

import re
from pathlib import Path

from hypothesis import HealthCheck, settings

TESTS = Path(__file__).resolve().parents[1]


def test_slow_examples_are_no_failure():
    """Fault F9: on a busy machine a health check of hypothesis made the tests red."""
    assert settings.default.deadline is None
    assert HealthCheck.too_slow in settings.default.suppress_health_check


def test_it_is_said_in_one_place():
    """Fault F9: tests that set a health check of their own lose the profile's."""
    files = {path: path.read_text(encoding="utf-8") for path in TESTS.rglob("*.py")}
    del files[Path(__file__)]
    profiles = [path.name for path, text in files.items() if "register_profile" in text]
    assert profiles == ["conftest.py"]
    own = [
        line for text in files.values() for line in re.findall(r"suppress_health_check=.*", text)
    ]
    assert all("too_slow" in line for line in own)
