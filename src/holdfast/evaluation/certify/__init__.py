"""Tests that let a limit be claimed: valid p-values, families of them, and how many prompts."""
