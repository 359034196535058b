"""Lead and harmful score along many runs of the organism, and what one tells of the other."""
