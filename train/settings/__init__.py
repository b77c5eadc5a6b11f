"""Groups that say how to train."""
