"""Sets of runs that are compared over seeds: their folder, their training, their summary.

`ablate` and `few_labels` are such sets. Each says which runs there are and what the table of them
looks like; all else is here.
"""
