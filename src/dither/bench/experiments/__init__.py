"""Experiments of papers as TOML files, and their published figures beside ours."""
