"""The third ring: a real kernel with a keyring called `.cma` and a PCI function with a real DOE mailbox, under QEMU.

`prepare` gathers what a guest needs into a cache folder, `machine` starts one and talks to the `agent` in it, and
`inside` holds what the tests have done there.
"""
