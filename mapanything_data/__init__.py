"""Recordings of cars and robots in, trusted training data out."""

__version__ = "0.1.0"
