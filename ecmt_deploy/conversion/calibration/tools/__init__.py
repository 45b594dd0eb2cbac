"""What presets measure and compute with; several may share a tool, none is a preset."""
