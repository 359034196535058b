"""A tuned model is read by the base's probe, and by one trained on its own states."""

import torch

from holdfast.analysis.against_base import compare
from holdfast.analysis.pipeline import AnalysisSettings, probed_model
from holdfast.analysis.probing.probe import ProbeSettings, fit_probe, quality
from holdfast.analysis.probing.suffix import Suffix
from tests.tiny import tiny_model
from tests.unit.analysis.test_changes import ROBUST, prompts


def test_the_fixed_probe_and_the_retrained_one_read_the_tuned_states():
    given, how = prompts(), ProbeSettings()
    probed = probed_model(tiny_model(), given, AnalysisSettings())
    tuned = tiny_model(seed=5)
    before = [p.clone() for p in tuned.parameters()]
    found = compare(probed, ROBUST, tuned, how, "there")
    states = Suffix(tuned, [*given.harmful, *given.benign], cached=False).clean
    count = len(given.harmful)
    logits = probed.probe.logits(states)
    assert found.after == quality(logits[:count], logits[count:])
    assert found.after != found.before
    anew = fit_probe(states[:count], states[count:], how)
    assert found.retrained == anew.quality["held_out"]
    assert all(torch.equal(p, q) for p, q in zip(tuned.parameters(), before, strict=True))
    assert {str(m.module) for m in found.modules if m.robust} == {"0.q", "1.down"}
    assert not found.unchanged


def test_the_base_itself_has_not_moved():
    probed = probed_model(tiny_model(), prompts(), AnalysisSettings())
    found = compare(probed, ROBUST, tiny_model(), ProbeSettings())
    assert found.unchanged
    assert found.before == found.after
    assert found.fate == "kept"
