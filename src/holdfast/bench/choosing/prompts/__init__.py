"""The prompts of a choice: near-duplicates, the division, and the looks at those that certify."""
