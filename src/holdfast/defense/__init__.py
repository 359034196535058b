"""What a defense is: a few optional hooks around one fine-tuning run.

A trainer with the defenses ``D`` runs this loop; indentation is nesting::

    data(run, rows) -> rows                       every D: what the user's data become
    before(run)                                   every D, once, before step 0
    with attached(run):                           the first D outermost
        for every optimizer step:
            learning_rate(module, progress)       product over D, per (layer, role)
            for every micro-batch:
                batch(step, batch) -> batch
                gradient(step, backward) -> loss  around the user's own forward and backward
                    loss(step, batch, outputs)    a term inside that forward
            after_update(step)                    last, who exchanges_weights
            with served(run):                     whenever a checkpoint is written, the model is
                save                              evaluated, or a callback of others is called
    after(run) -> artifact                        every D, once

On resume ``before`` is replaced by the state of the checkpoint; ``data`` runs again, so it must be
a function of its seed and rows alone.

Before the run, ``check_model(model)`` refuses what the method is not exact on, such as DoRA, and
``check_run(run)`` a model in which ``after`` would find nothing to work with.

Beside the run, ``variant()`` says what these settings are called in a table, and ``shared()`` how
what ``before`` learns is learned once and taken over by the runs that would learn the same::

    shared().learn(run, folder)                   once, for all that are made of the same
    shared().take(folder) -> defense              in every run, instead of learning it
"""

from holdfast.defense.card import Card, ModelRole, Reads, Stage, Variant
from holdfast.defense.fields import in_range, listed, need_data, refuse_no_rows, whole_in_range
from holdfast.defense.protocol import HOOKS, Defense, Shared, Tensorwise, implements
from holdfast.defense.run import Backward, Examples, Row, Run, Step
from holdfast.ops.engines.capabilities import Capability

__all__ = [
    "HOOKS", "Backward", "Capability", "Card", "Defense", "Examples", "ModelRole", "Reads", "Row",
    "Run", "Shared", "Stage", "Step", "Tensorwise", "Variant", "implements", "in_range", "listed",
    "need_data", "refuse_no_rows", "whole_in_range",
]  # fmt: skip
