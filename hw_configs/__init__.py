"""Chip descriptions: one TOML file per chip, every number with its source."""
