"""Losses: small functions of statistics, each with its target."""
