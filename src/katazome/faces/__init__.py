"""Faces: found, brought to one frame, and blended back."""
