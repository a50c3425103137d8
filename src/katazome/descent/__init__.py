"""The one descent: a generator of steps over scales."""
