"""Many runs at once: the cells of a recipe, run side by side, and what they come to."""
