"""What commands print: their findings as lines for a terminal."""
