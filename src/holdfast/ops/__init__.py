"""Pure mathematics and exact weight edits that the defenses share."""
