"""The network of model=mapanything: upstream's, fed with our views."""
