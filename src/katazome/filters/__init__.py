"""Filters of the network: what excites each, which answer to an object, and how that looks."""
