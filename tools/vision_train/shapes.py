"""What every part of training agrees on, free of torch: sizes, classes, seed."""

from __future__ import annotations

SIZE = 256  # pixels a side
GRID = 8  # cells a side
CLASSES = ("hot_work", "flame", "smoke")
SEED = 20261123  # of pictures; runs have their own
