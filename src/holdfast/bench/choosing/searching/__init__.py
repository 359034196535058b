"""Successive halving: who is worth a whole run, and what an early rung looks at."""
