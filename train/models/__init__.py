"""Models behind one contract: views in, predictions out (docs/models.md)."""
