"""The measured experiments."""
