"""Predictions over a whole data set, measured and summed up."""
