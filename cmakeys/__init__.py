"""cmakeys: the trusted roots by which a Linux machine identifies its PCIe devices (CMA-SPDM).

Two rivers run through the package and nothing flows back up: certificates become a `RootSet` that is put into the
kernel's keyring or an image; devices are asked for `Evidence` that becomes a `Verdict`.
"""

__version__ = "0.1.0"
