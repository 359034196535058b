"""What a screening leaves behind, and what a run did by it."""
