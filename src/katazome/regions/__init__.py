"""Where: regions of a picture, in words or as values, and the soft maps they become."""
