"""Verdicts rendered for people, monitoring systems and machines. Values in, text out."""
