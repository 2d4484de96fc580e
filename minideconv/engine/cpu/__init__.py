"""The fast CPU engine: NumPy algorithms, compiled kernels, the table of choices, memory."""
