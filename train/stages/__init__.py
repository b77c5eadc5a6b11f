"""One function for each app of the package."""
