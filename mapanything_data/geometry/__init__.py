"""Where things are: transforms, projection and lens distortion on plain arrays."""
