"""The version of this program. A test holds it against pyproject.toml: to ask the installed package costs 2 MiB."""

VERSION = "0.1.0"
