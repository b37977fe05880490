"""Which devices there are: addresses, PCI identity, the register of enrolled devices."""
