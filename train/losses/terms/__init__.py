"""The terms of a loss, each a function with its formula."""
