"""Runs per-item work: resumable, on one machine or many."""
