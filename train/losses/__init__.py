"""Losses: terms with their formulas, and lists of terms with weights."""
