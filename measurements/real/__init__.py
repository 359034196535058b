"""The real chat model of the bench: its rows, its alignment, and the search for it."""
