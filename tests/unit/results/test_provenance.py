"""Hashes, versions and the machine."""

from holdfast.files.hashes import sha256_of
from holdfast.results.provenance import fingerprint, peak_memory_gib, this_machine, versions
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
