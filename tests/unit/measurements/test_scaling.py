"""What docs/scaling.md says by formula is what was measured, within 15 %."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from docs.scaling_model import GIB, Job, Shape, memory, relative_time
from measurements.scaling import POINTS, model

RESULTS = Path(__file__).resolve().parents[3] / "results"
MEASURED = json.loads((RESULTS / "scaling.json").read_text())
STEPS = json.loads((RESULTS / "step_cost.json").read_text())
FIGURES = [
    (Job.from_json(point["job"]), variant, mib * 2**20)
    for point in MEASURED["points"]
    for variant, mib in point["measured_mib"].items()
]
CLOSE = 0.15


@pytest.mark.parametrize(("job", "variant", "peak"), FIGURES)
def test_memory_is_within_15_percent_of_what_was_measured(job, variant, peak):
    assert memory(job, variant).total == pytest.approx(peak, rel=CLOSE)


def test_every_point_was_measured():
    assert [Job.from_json(point["job"]) for point in MEASURED["points"]] == list(POINTS)


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_time_is_within_15_percent_of_what_was_measured(kind):
    for name, found in STEPS[kind]["variants"].items():
        in_loop, every = "in-loop" in name, int(name.partition("every=")[2] or 1)
        said = relative_time("in-loop" if in_loop else "plain", every)
        assert said == pytest.approx(found["step_ratio"], rel=CLOSE), name


@pytest.mark.parametrize("job", POINTS[:2])
def test_counts_of_weights_are_those_of_the_real_classes(job):
    made = model(job)
    trained = sum(p.numel() for p in made.parameters() if p.requires_grad)
    assert trained == job.trained
    every = sum(p.numel() for p in made.parameters())
    assert every - (trained if job.lora_rank else 0) == job.shape.parameters


def test_shards_share_the_states_and_not_the_activations():
    shape = Shape(4096, 32, 11008, 4096, 32000)
    job = Job(shape, tokens=1024, batch=1, lora_rank=16, base_bytes=2)
    alone, shared = memory(job, "plain"), memory(replace(job, shards=8), "plain")
    assert shared.weights == alone.weights / 8
    assert shared.moments == alone.moments / 8
    assert shared.pass_ > alone.pass_


def test_the_published_shapes_have_the_published_sizes():
    from docs.scaling_page import SHAPES  # noqa: PLC0415

    assert SHAPES["7 B"].parameters == 6_738_415_616
    assert SHAPES["70 B"].parameters == 70_553_706_496
    assert memory(Job(SHAPES["7 B"], tokens=1, batch=1), "plain").total / GIB > 7
