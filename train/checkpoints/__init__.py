"""Checkpoint files: whole or not at all, checked, readable without pickle."""
