"""Sources of rows: what a path, a folder, a pattern or a list of files stands for."""
