"""The organism under attacks 1 to 7: aligned, tuned plainly, and defended."""
