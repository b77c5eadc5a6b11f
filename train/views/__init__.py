"""What passes between data set, model and loss."""
