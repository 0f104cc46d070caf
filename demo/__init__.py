"""The demo: the whole chain on one machine, as separate processes on real ports."""
