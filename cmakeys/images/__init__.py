"""Roots baked into what a machine boots from: written, hooked into the initrd generators, and looked at again."""
