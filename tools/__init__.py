"""Tools of the repository: bootstrap and generated references."""
