"""Kernels as witnesses: what the running kernel says of a device's chain, gathered for step 14.

Two questions can be put to it. The oracle asks whether the chain ends in our roots, on any kernel. And where the device
is a PCI function of this machine and the kernel knows CMA, its own `authenticated` says what came of the last attempt,
with the roots that were in `.cma` then. What cannot be asked is an opinion too: unknown, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from cmakeys.devices.address import DeviceAddress
from cmakeys.devices.kernel import Authenticated, read_verdict
from cmakeys.devices.sysfs import Sysfs
from cmakeys.errors import CmakeysError, EnvironmentProblem
from cmakeys.keyring import oracle
from cmakeys.roots.rootset import RootSet
from cmakeys.verify.kernelview import Answer, KernelView, Scope
from cmakeys.verify.policy import KernelViewRule
from cmakeys.x509.certificate import Certificate

Witness = Callable[[Sequence[Certificate], str], tuple[KernelView, ...]]
"""From a chain and the address of the device it came from to the opinions about it. Never raises."""

SYSFS = Sysfs(Path("/sys"))
THIS_KERNEL = "this kernel"


def no_witness(_chain: Sequence[Certificate], _device: str) -> tuple[KernelView, ...]:
    """Nobody is asked."""
    return ()


def kernel_witness(rootset: RootSet, rule: KernelViewRule, *, sysfs: Sysfs | None = SYSFS) -> Witness:
    """The witness that a policy asks for; `rootset` are the roots that the oracle believes in.

    `sysfs` is None for evidence from elsewhere: a function of the same address here is another device.
    """
    if rule is KernelViewRule.OFF:
        return no_witness
    asked = oracle.Oracle(rootset.anchors()) if rule is KernelViewRule.ORACLE else None

    def testify(chain: Sequence[Certificate], device: str) -> tuple[KernelView, ...]:
        views = list(_finding(device, sysfs)) if sysfs is not None else []
        if asked is not None and chain:
            views.append(_ask(asked, chain))
        return tuple(views)

    return testify


def _ask(asked: oracle.Oracle, chain: Sequence[Certificate]) -> KernelView:
    try:
        answer = asked.ask(chain)
    except EnvironmentProblem as problem:
        return KernelView(THIS_KERNEL, Answer.UNKNOWN, str(problem), problem.hint)
    if answer.accepted is None:
        return KernelView(
            THIS_KERNEL, Answer.UNKNOWN, answer.reason, "kernel-view: simulate applies the rules without its help"
        )
    return KernelView(THIS_KERNEL, Answer.ACCEPTS if answer.accepted else Answer.REFUSES, answer.reason)


def _finding(device: str, sysfs: Sysfs) -> Sequence[KernelView]:
    """The kernel's own verdict on a PCI function; no opinion where it has none, as most kernels."""
    try:
        function = DeviceAddress.parse(device).pci
    except CmakeysError:
        return ()
    if function is None:
        return ()
    verdict = read_verdict(sysfs, sysfs.functions / str(function))
    source = "the kernel's own authentication"
    if verdict.state is Authenticated.SUCCEEDED:
        return (KernelView(source, Answer.ACCEPTS, "authenticated is 1", scope=Scope.DEVICE),)
    if verdict.state is Authenticated.FAILED:
        hint = f"cmakeys keyring apply, then cmakeys devices recheck {function}"
        return (KernelView(source, Answer.REFUSES, "authenticated is 0", hint, Scope.DEVICE),)
    if verdict.state is Authenticated.UNDETERMINED:
        hint = "somebody between may keep the device from answering: see the kernel's log"
        return (KernelView(source, Answer.UNKNOWN, verdict.words, hint, Scope.DEVICE),)
    return ()
