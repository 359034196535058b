"""A model's config without what would fetch code: kernels of attention and of experts."""

from typing import Any

from transformers import AutoConfig

__all__ = ["plain_config"]

FETCHING = ("_attn_implementation", "_experts_implementation")
"""A name such as ``owner/kernel`` here makes transformers download and run that repository."""


def plain_config(name: str, **options: Any) -> Any:
    """Return the config of a folder or hub id; ``options`` are ``from_pretrained``'s.

    What it says of attention and experts is left out, in its parts too, and transformers takes its
    own kernels.
    """
    config = AutoConfig.from_pretrained(name, **options)
    for key in FETCHING:
        setattr(config, key, None)  # The setter goes on to the configs inside this one.
    return config
