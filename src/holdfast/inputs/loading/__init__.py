"""How a model comes into memory: its revision, in how many bits, on which device."""
