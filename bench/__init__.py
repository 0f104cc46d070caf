"""Benchmarks: one module each, figures beside their budgets, ratios to a raw limit measured in the same run."""
