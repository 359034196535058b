"""Which projection plays which role: the table of names, fused rows, and what data flow proves."""
