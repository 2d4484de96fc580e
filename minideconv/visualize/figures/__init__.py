"""Figures for pages and notebooks: one style, alt texts, drawings of what the operations do."""
