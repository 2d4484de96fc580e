"""How fast minideconv is, beside PyTorch and beside what the machine could do.

Run from the root of the checkout: ``python -m benchmarks cpu``. The documentation's page
"Benchmarks" (docs/engine/benchmarks.md) explains the method and shows the results.
"""
