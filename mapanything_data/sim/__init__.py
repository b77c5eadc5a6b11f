"""Simulated worlds with perfect ground truth."""
