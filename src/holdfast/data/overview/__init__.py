"""What a data file holds, before anything is done with it: rows, lengths, repeats, overlaps."""
