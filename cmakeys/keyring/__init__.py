"""The kernel's keyrings: libkeyutils by ctypes, and the managed sub-keyring that is swapped atomically."""
