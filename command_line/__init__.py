"""The command groups of `tocsin …`: thin; the work stands in each package's `commands.py`."""
