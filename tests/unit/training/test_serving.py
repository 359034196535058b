"""Around a protected trainer: where private state lies, what a checkpoint's arguments hold."""

import stat
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch

from holdfast.errors import ConfigError
from holdfast.training.serving.places import artifacts_folder
from holdfast.training.trainer import SecureTrainer, protect
from tests.contract.recipes import recipes
from tests.contract.runs import FULL, differing, new_folder, new_trainer, weights_of

RECIPES = {recipe.label: recipe for recipe in recipes()}
SAVING = {"save_strategy": "steps", "save_steps": 1, "max_steps": 1}


@pytest.mark.parametrize("where", ["same", "inside", "deep", "above", "link"])
def test_the_artifacts_of_a_trainer_lie_apart_from_its_output(where, tmp_path):
    """Fault A5: artifacts_dir inside output_dir put the vector into the model's folder."""
    output = tmp_path / "runs" / "out"
    (tmp_path / "link").symlink_to(output)
    folders = {
        "same": output, "inside": output / "vec", "deep": output / "a" / "b",
        "above": tmp_path / "runs", "link": tmp_path / "link" / "vec",
    }  # fmt: skip
    plain = new_trainer(None, folder=output)
    with pytest.raises(ConfigError, match=r"artifacts_dir=.*choose a folder outside"):
        protect(plain, [RECIPES["security_vectors-auto"]()], artifacts_dir=folders[where])
    with pytest.raises(ConfigError, match=r"artifacts_dir=.*choose a folder outside"):
        new_trainer([], folder=output).take_defenses([], folders[where])


def test_a_run_inside_the_models_folder_keeps_nothing_private_there(tmp_path):
    """Fault A5: output_dir=MODEL/tuned put MODEL/tuned-artifacts into a folder to be uploaded."""
    trainer = new_trainer([], folder=tmp_path / "m" / "tuned", **SAVING)
    trainer.model.save_pretrained(tmp_path / "m")
    with pytest.raises(ConfigError, match="would lie in the model folder"):
        artifacts_folder(trainer, None)
    assert artifacts_folder(trainer, tmp_path / "elsewhere") == tmp_path / "elsewhere"


def test_private_state_is_the_users_alone():
    """Fault A6: folders of private state were 0755."""
    folder = new_folder()
    new_trainer([RECIPES["security_vectors-auto"]()], folder=folder, **SAVING).train()
    apart = folder.with_name(f"{folder.name}-artifacts")
    found = {stat.S_IMODE(path.stat().st_mode) for path in [apart, *apart.rglob("*")]}
    assert found == {0o700, 0o600}


def test_an_artifact_is_never_saved_into_a_model(tmp_path):
    """Fault A5: artifact.save(model_folder) wrote the vector beside the weights."""
    trainer = new_trainer([RECIPES["security_vectors-auto"]()], max_steps=1)
    trainer.train()
    trainer.model.save_pretrained(tmp_path / "m")
    [artifact] = trainer.artifacts
    for write in (artifact.save, artifact.export):
        for place in (tmp_path / "m", tmp_path / "m" / "vector"):
            with pytest.raises(ConfigError, match="model folder"):
                write(place)
    assert stat.S_IMODE(artifact.save(tmp_path / "apart").stat().st_mode) == 0o700


@pytest.mark.parametrize("defended", [True, False])
def test_an_access_token_is_used_and_not_written(defended):
    """Fault A7: training_args.bin in every checkpoint held the hub token."""
    folder = new_folder()
    own = [RECIPES["lisa"]()] if defended else []
    trainer = new_trainer(own, folder=folder, **{**SAVING, "max_steps": 2}, hub_token="sesame")  # noqa: S106
    trainer.train()
    trainer.save_model(str(folder))
    assert trainer.args.hub_token == "sesame"  # noqa: S105
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert any(file.name == "training_args.bin" for file in files)
    assert not any(b"sesame" in file.read_bytes() for file in files)


def test_a_token_is_used_for_an_upload_and_not_written_by_it(monkeypatch):
    """Fault A7: a push in training wrote training_args.bin with the token, and uploaded it."""
    folder, seen = new_folder(), []

    class Hub:
        def upload_folder(self, token, folder_path, **_):
            seen.append((token, (Path(folder_path) / "training_args.bin").read_bytes()))
            return Future()

    monkeypatch.setattr("transformers.trainer.hf_api", Hub)
    trainer = new_trainer([], folder=folder, **SAVING, hub_token="sesame")  # noqa: S106
    trainer.train()
    trainer.hub_model_id, trainer.push_in_progress = "me/x", None
    trainer._push_from_checkpoint(str(folder / "checkpoint-1"))
    [(token, written)] = seen
    assert token == "sesame"  # noqa: S105
    assert b"sesame" not in written
    args = torch.load(folder / "training_args.bin", weights_only=False)
    assert type(args) is type(trainer.args)
    assert args.hub_token is None
    assert args.learning_rate == trainer.args.learning_rate


@pytest.mark.parametrize("strategy", ["every_save", "checkpoint", "end"])
def test_no_checkpoint_is_uploaded_before_its_repair(strategy):
    """Fault A4: a push at every save published the model that the private step starts from."""
    trainer = new_trainer(None, **SAVING, hub_strategy=strategy)
    trainer.args.push_to_hub = True
    if strategy == "end":
        protect(trainer, [RECIPES["panacea-post-hoc"]()])
        return
    with pytest.raises(ConfigError, match=r"panacea repairs .*hub_strategy='end'"):
        protect(trainer, [RECIPES["panacea-post-hoc"]()])
    protect(trainer, [RECIPES["security_vectors-auto"]()])


def test_a_secret_deep_in_the_arguments_is_not_written():
    """Fault A7: training_args.bin held the token for loading the model, inside a mapping."""
    folder = new_folder()
    deep = {"token": "sesame", "more": [{"api_key": "sesame"}], "pad_token_id": 1}
    trainer = new_trainer([], folder=folder, **SAVING)
    trainer.args.model_init_kwargs = deep
    trainer.train()
    assert trainer.args.model_init_kwargs is deep
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert not any(b"sesame" in file.read_bytes() for file in files)
    assert any(b"pad_token_id" in file.read_bytes() for file in files)


@pytest.mark.parametrize("label", ["security_vectors-merged", "security_vectors-hooks"])
def test_serving_inside_serving_takes_off_once(label):
    """Fault A2: evaluating inside a save attached the vector twice."""
    seen = {}

    class Nests(SecureTrainer):
        def training_step(self, *args, **kwargs):
            model: Any = self.model
            before = weights_of(model)
            batch = torch.arange(4)[None]
            with torch.no_grad(), self.session.served():
                once = model(batch).logits
                with self.session.served(), self.session.bare():
                    twice = model(batch).logits
                seen["served"] = bool(once.equal(twice) and model(batch).logits.equal(once))
            seen["same"] = not differing(before, weights_of(self.model))
            self.session.attach()  # Attaching once more is attaching once.
            seen["attached"] = max(
                float((a - b).abs().max())
                for a, b in zip(before.values(), weights_of(self.model).values(), strict=True)
            )
            return super().training_step(*args, **kwargs)

    trainer = new_trainer([RECIPES[label]()], FULL, cls=Nests, max_steps=1)
    trainer.train()
    assert seen["served"]
    assert seen["same"]
    assert seen["attached"] < 1e-6
