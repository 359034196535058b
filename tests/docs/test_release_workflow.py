"""The example workflow for GitHub: its commands run as they stand, on the organism."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from holdfast.results.gating.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docs" / "examples" / "release-gate.yml"
PROGRAM = f"""#!{sys.executable}
import sys
from holdfast.cli import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def steps():
    found = yaml.safe_load(FILE.read_text())
    return found["env"], {step.get("name", step.get("uses")): step for step in _job(found)}


def _job(found):
    [job] = found["jobs"].values()
    return job["steps"]


def test_it_is_a_workflow_that_loses_no_look(steps):
    document = yaml.safe_load(FILE.read_text())
    assert document[True]["pull_request"]["paths"]  # YAML 1.1 reads "on" as true.
    assert document["concurrency"]["cancel-in-progress"] is False
    _, named = steps
    kept = [step for name, step in named.items() if name.startswith(("Keep", "Show"))]
    assert len(kept) == 3
    assert all(step["if"].startswith("always()") for step in kept)
    assert named["Install"]["run"].startswith("python -m pip install")
    texts = [step.get("with", {}).get("path", "") for step in kept]
    assert "release/gate.*" in texts
    assert not any("result.json" in text or text == "release" for text in texts)


@pytest.mark.slow
def test_its_commands_run_and_the_ledger_is_pushed(steps, tmp_path):
    env, named = steps
    program = tmp_path / "bin" / "holdfast"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    remote, work = tmp_path / "remote.git", tmp_path / "work"
    given = {**os.environ, **env, "PATH": f"{program.parent}:{os.environ['PATH']}",
             "PYTHONPATH": str(ROOT / "src"), "GIT_CONFIG_GLOBAL": "/dev/null"}  # fmt: skip

    def ran(script, folder=work):
        bash = ["bash", "-e", "-c", script]
        return subprocess.run(
            bash, cwd=folder, env=given, capture_output=True, text=True, check=False
        )

    assert ran(f"git init -q --bare {remote} && git clone -q {remote} {work}", tmp_path)
    (work / "gate.yaml").write_text("require: ['over_refusal<=.1', 'usefulness>=.8']\n")
    begun = "git add . && git -c user.name=a -c user.email=a@b commit -qm start && git push -q"
    assert ran(begun).returncode == 0
    done = ran(named["Hold the model to the limits"]["run"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("pass ") == 2
    gate = json.loads((work / "release/gate.json").read_text())
    assert (gate["state"], gate["look"]) == ("pass", 1)
    assert {path.name for path in (work / "release").glob("gate.*")} == {
        "gate.json", "gate.junit.xml", "gate.sarif",
    }  # fmt: skip
    kept = ran(named["Keep the ledger, however it ended"]["run"])
    assert kept.returncode == 0, kept.stderr
    again = tmp_path / "again"
    assert ran(f"git clone -q {remote} {again}", tmp_path).returncode == 0
    [series] = Ledger.load(again / "gate.ledger.json").series
    assert series.looks[0].identity == gate["subject"]["identity"]
