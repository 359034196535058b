"""What a tuning run is made of beside its folders: its rows, its trainer, and who watches it."""
