"""Torch data sets over what storage reads: views of one moment, ready for a multi-view model."""
