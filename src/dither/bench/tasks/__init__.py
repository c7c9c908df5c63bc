"""Tasks as data: one TOML file each, and the variations that names spell."""
