"""Formats on disk: atomic writes, manifests, and one module for each layout."""
