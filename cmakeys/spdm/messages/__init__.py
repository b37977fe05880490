"""Codec pairs: every message is a frozen dataclass with `encode` and `decode`."""
