"""Hashes, versions and the machine."""

import pytest
import torch

from holdfast.files.hashes import sha256_of
from holdfast.results.provenance import fingerprint, peak_memory_gib, this_machine, versions
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import RunResult
from tests.tiny import tiny_examples


def test_examples_are_hashed_and_counted():
    examples = tiny_examples(3)
    found = fingerprint("user", examples, "data.jsonl")
    assert found.sha256 == sha256_of(examples)
    assert (found.name, found.rows, found.path) == ("user", 3, "data.jsonl")


def test_versions_name_what_a_result_depends_on():
    assert {"python", "torch", "transformers", "trl", "peft", "accelerate", "holdfast"} == set(
        versions()
    )


def test_the_machine_is_described():
    machine = this_machine()
    assert machine.platform
    assert machine.cores
    assert 0 < peak_memory_gib() < (machine.memory_gib or 1e6)


@pytest.mark.parametrize(
    ("computed_on", "named"), [("a GPU", "a GPU"), ("a processor", ""), ("", "")]
)
def test_the_gpu_of_runs_in_other_processes_is_named(computed_on, named, monkeypatch):
    """A bench computes in processes of its own: its result named no GPU though all had used it."""
    for name, answer in (("is_available", True), ("is_initialized", False)):
        monkeypatch.setattr(torch.cuda, name, lambda answer=answer: answer)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    result = RunResult.of("bench", [Arm.of("plain", [SeedRun(seed=0, machine=computed_on)])])
    assert result.machine is not None
    assert result.machine.accelerator == named
