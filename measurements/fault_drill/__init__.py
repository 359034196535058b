"""The fault drill: kills, broken swaps, damaged resume states and bad inputs, and what they lose.

::

    python -m measurements.fault_drill --out results/fault_drill.json [--part inputs] [--quick]
"""
