"""Models of the five ports: not kinder than the world (tests/contracts holds both to one suite)."""
