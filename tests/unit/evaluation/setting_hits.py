"""Made-up answers ``[settings][seeds][prompts]``."""

import numpy as np


def hits(*shares, seeds=5, prompts=100):
    """Return ``[settings][seeds][prompts]`` in which every run of a setting has its share."""
    return [[[i < round(s * prompts) for i in range(prompts)]] * seeds for s in shares]


def noisy(generator, shares, seeds=5, prompts=100, spread=0.0):
    """Return hits ``[settings, seeds, prompts]`` around ``shares``; runs differ by ``spread``."""
    level = np.asarray(shares)[:, None, None] + generator.normal(0, spread, (len(shares), seeds, 1))
    return generator.random((len(shares), seeds, prompts)) < level
