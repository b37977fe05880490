"""The state of a machine in one look: what is trusted, where it is in effect, and what to do next."""
