"""axolotl and LLaMA-Factory, as far as their doors go, around a real trainer of the tiny model.

axolotl: ``integrations.base.BasePlugin`` and the order in which its train module calls plug-ins.
LLaMA-Factory: ``train.tuner.run_exp(args, callbacks)``, which refuses keys that it does not know,
to ``train.sft.workflow``, which makes its ``CustomSeq2SeqTrainer`` by the module's own name.
"""

import importlib
import sys
from types import ModuleType, SimpleNamespace

from transformers import Trainer

from holdfast.data.chat import collate
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import arguments, encoded, lora


def trainer(kind, folder, **more):
    """A trainer of the tiny model's adapter on the user's rows, of somebody else's class."""
    return kind(
        model=lora(tiny_model()), args=arguments(folder), train_dataset=encoded(),
        data_collator=lambda batch: collate(batch, 0), processing_class=tiny_tokenizer(), **more,
    )  # fmt: skip


def put(monkeypatch, name, **members):
    """Put a module, and the packages around it, where imports find them."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:end]), ModuleType(".".join(parts[:end])))
    module = sys.modules[name]
    vars(module).update(members)
    return module


class BasePlugin:
    """Every hook does nothing."""

    def get_input_args(self):
        return None

    def pre_model_load(self, cfg):
        pass

    def post_model_load(self, cfg, model):
        pass

    def post_trainer_create(self, cfg, trainer):
        pass

    def post_train(self, cfg, model):
        pass


class AxolotlTrainer(Trainer):
    pass


def axolotl_run(monkeypatch, folder, section, path="holdfast.integrations.axolotl.HoldfastPlugin"):
    """What ``axolotl train`` does with a configuration that names the plug-in."""
    put(monkeypatch, "axolotl.integrations.base", BasePlugin=BasePlugin)
    module, name = path.rsplit(".", 1)
    plugin = getattr(importlib.import_module(module), name)()
    assert isinstance(plugin, BasePlugin)
    where, args = plugin.get_input_args().rsplit(".", 1)
    checked = getattr(importlib.import_module(where), args)(holdfast=section)
    cfg = SimpleNamespace(**checked.model_dump())
    plugin.pre_model_load(cfg)
    made = trainer(AxolotlTrainer, folder)
    plugin.post_model_load(cfg, made.model)
    plugin.post_trainer_create(cfg, made)
    made.train()
    plugin.post_train(cfg, made.model)
    return made


class CustomSeq2SeqTrainer(Trainer):
    def __init__(self, finetuning_args, processor, **kwargs):
        super().__init__(**kwargs)
        self.finetuning_args = finetuning_args


def llama_factory(monkeypatch, folder, made):
    """Install the stub; trainers that it makes and trains are added to ``made``."""
    workflow = put(
        monkeypatch, "llamafactory.train.sft.workflow", CustomSeq2SeqTrainer=CustomSeq2SeqTrainer
    )

    def run_exp(args, callbacks):
        unknown = set(args) - {"stage", "model_name_or_path", "output_dir", "use_ray"}
        assert not unknown, f"Some specified arguments are not used: {unknown}"
        own = trainer(
            workflow.CustomSeq2SeqTrainer, folder, finetuning_args=args, processor=None,
            callbacks=callbacks,
        )  # fmt: skip
        assert isinstance(own, CustomSeq2SeqTrainer)
        own.train()
        made.append(own)

    package = sys.modules["llamafactory.train"]
    package.tuner = ModuleType("llamafactory.train.tuner")
    package.tuner.run_exp = run_exp
    monkeypatch.setitem(sys.modules, "llamafactory.train.tuner", package.tuner)
    return workflow
