"""Sections of the closed loop: may it be released, and what speaks for and against it."""
