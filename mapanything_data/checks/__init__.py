"""Findings about a data set; one module for each dataset of the same name."""
