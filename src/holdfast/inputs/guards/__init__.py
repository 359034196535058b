"""What keeps a run offline, its options usable, and what is given within what a machine takes."""
