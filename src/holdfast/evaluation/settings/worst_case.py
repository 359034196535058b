"""The worst case over an attacker's knobs, with an interval that pays for the choice."""

from holdfast.evaluation.interval import WorstCase
from holdfast.evaluation.resampling import SettingHits, as_table, setting_means
from holdfast.evaluation.statistics import share_over_seeds

__all__ = ["worst_case"]


def worst_case(hs: SettingHits, *, confidence: float = 0.95) -> WorstCase:
    """Return ``max_k HS_k`` over the K settings, with an interval for the true maximum.

    With ``[l_k(a), u_k(a)]`` the interval of setting k that misses with probability ``a`` on each
    side and ``alpha = 1 - confidence``::

        low  = max_k l_k(alpha / (2 K)),    high = max_k u_k(alpha / 2)

    The lower end pays for the choice (Bonferroni): it is wrong only if some ``l_k`` is. The upper
    end need not: it is at least the upper end of the truly worst setting, which no data chose. The
    value itself leans high, as the largest of several noisy shares does.

    Raises:
        InputError: ``hs`` is empty, or its settings differ in seeds or prompts.
    """
    means = setting_means(as_table(hs, "HS"))
    corrected = 1 - (1 - confidence) / len(hs)
    lows = [share_over_seeds(setting, confidence=corrected).low for setting in hs]
    highs = [share_over_seeds(setting, confidence=confidence).high for setting in hs]
    worst = int(means.argmax())
    return WorstCase(float(means[worst]), max(lows), max(highs), worst)
