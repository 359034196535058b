"""State anchor: the last hidden states of a few prompts stay as they were."""

from holdfast.defenses.state_anchor.state_anchor import StateAnchor, anchor_loss
from holdfast.defenses.state_anchor.states import last_states, output_embedding, trained_readout

__all__ = ["StateAnchor", "anchor_loss", "last_states", "output_embedding", "trained_readout"]
