"""Katazome: change the look of pictures through the features of a recognition network."""
