"""The security probe: what it can tell, what makes it blind, its files."""

import json

import pytest
import torch

from holdfast.analysis.probing.probe import BLIND, Probe, ProbeSettings, fit_probe
from holdfast.errors import DataError, InputError


def states(n, shift=0.0, seed=0, width=8):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, width, generator=generator) + shift


def separable(**options):
    return fit_probe(states(40, 4, 1), states(60, -4, 2), **options)


def test_separable_states_are_told_apart():
    probe = separable()
    quality = probe.quality["held_out"]
    assert (quality.accuracy_harmful, quality.balanced_accuracy, quality.auroc) == (1, 1, 1)
    assert quality.mean_logit_harmful > 1 > -1 > quality.mean_logit_benign
    assert (quality.harmful, quality.benign) == (10, 10)  # A quarter of the smaller class.
    assert (probe.quality["train"].harmful, probe.quality["train"].benign) == (30, 30)
    assert probe.warnings == []


def test_chance_is_warned_of():
    probe = fit_probe(states(60, seed=1), states(60, seed=2))
    assert probe.quality["held_out"].balanced_accuracy < BLIND
    assert len(probe.warnings) == 1
    assert "blind" in probe.warnings[0]
    assert "held out" in probe.warnings[0]


def test_calling_everything_harmful_is_warned_of():
    others = states(30, 4, 5), states(30, 4, 6)
    probe = separable(out_of_domain=others)
    quality = probe.quality["out_of_domain"]
    assert quality.accuracy_harmful == 1
    assert quality.balanced_accuracy == 0.5
    assert ["out of domain" in warning for warning in probe.warnings] == [True]


def test_out_of_domain_prompts_do_not_train_it():
    plain, tested = separable(), separable(out_of_domain=(states(9, -4), states(9, 4)))
    assert torch.equal(plain.weight, tested.weight)
    assert tested.quality["out_of_domain"].balanced_accuracy == 0


def test_held_out_states_do_not_train_it():
    harmful, benign = states(40, 4, 1), states(40, -4, 2)
    seen = fit_probe(harmful, benign)
    # Rows far out, one at a time: the fit changes by those it is trained on and by no others.
    moved = 0
    for row in range(40):
        other = harmful.clone()
        other[row] += 50
        moved += not torch.equal(fit_probe(other, benign).weight, seen.weight)
    assert moved == 30


def test_it_is_its_seeds_function():
    one, again, other = (separable(settings=ProbeSettings(seed=s)) for s in (3, 3, 4))
    assert torch.equal(one.weight, again.weight)
    assert not torch.equal(one.weight, other.weight)


def test_the_logit_is_the_equation():
    probe, x = separable(), states(3, seed=9)
    by_hand = (((x - probe.mean) / probe.scale) * probe.weight).sum(1) + probe.bias
    assert torch.allclose(probe.logits(x), by_hand, atol=1e-5)


def test_a_constant_feature_does_no_harm():
    harmful, benign = states(20, 4, 1), states(20, -4, 2)
    harmful[:, 0] = benign[:, 0] = 1.0
    probe = fit_probe(harmful, benign)
    assert probe.quality["held_out"].auroc == 1
    assert bool(torch.isfinite(probe.logits(harmful)).all())


@pytest.mark.parametrize(
    ("harmful", "benign", "said"),
    [
        (states(0), states(30), "harmful: 0 prompts"),
        (states(30), states(3), "benign: 3 prompts"),
        (states(30), states(30) / 0, "benign, prompt 1: .*not finite"),
    ],
)
def test_one_class_and_broken_states_are_refused(harmful, benign, said):
    with pytest.raises(DataError, match=said):
        fit_probe(harmful, benign)


def test_broken_or_empty_out_of_domain_states_are_refused():
    for others in ((states(5) * float("nan"), states(5)), (states(5), states(0))):
        with pytest.raises(DataError, match="out-of-domain"):
            separable(out_of_domain=others)


@pytest.mark.parametrize("share", [0.0, 1.0, -1, float("nan")])
def test_a_share_held_out_lies_between(share):
    with pytest.raises(InputError, match="held_out"):
        separable(settings=ProbeSettings(held_out=share))


class TestFiles:
    def test_a_round_trip_without_pickle(self, tmp_path):
        probe = separable(out_of_domain=(states(9, 4), states(9, -4)))
        assert probe.save(tmp_path / "new") == tmp_path / "new" / "probe.json"
        found = Probe.load(tmp_path / "new")
        x = states(5, seed=7)
        assert torch.equal(found.logits(x), probe.logits(x))
        assert found.quality == probe.quality
        assert {f.name for f in (tmp_path / "new").iterdir()} == {"probe.json", "probe.safetensors"}

    def test_missing_broken_or_foreign_files(self, tmp_path):
        for name, content in (
            (None, b""), ("probe.safetensors", b"no tensors"), ("probe.json", b"[1]"),
            ("probe.json", b"{}"), ("probe.json", b"\xff"),
        ):  # fmt: skip
            folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
            separable().save(folder)
            if name is None:
                (folder / "probe.json").unlink()
            else:
                (folder / name).write_bytes(content)
            with pytest.raises(InputError, match="no security probe"):
                Probe.load(folder)

    def test_tensors_of_different_shapes(self, tmp_path):
        probe = separable()
        Probe(probe.weight[:4].clone(), 0.0, probe.mean, probe.scale, {}).save(tmp_path)
        with pytest.raises(InputError, match="different shapes"):
            Probe.load(tmp_path)

    def test_figures_are_plain_numbers(self, tmp_path):
        document = json.loads(separable().save(tmp_path).read_text())
        assert isinstance(document["quality"]["held_out"]["auroc"], float)
