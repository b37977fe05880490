"""What kernels say of a device: the oracle for the chain, and `authenticated` for a function of this machine."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

import pytest

from cmakeys.errors import EnvironmentProblem
from cmakeys.keyring import oracle
from cmakeys.keyring.oracle import OracleAnswer
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.verify.kernelview import Answer, KernelView, Scope
from cmakeys.verify.policy import KernelViewRule
from cmakeys.witness import kernel_witness
from cmakeys.x509.certificate import Certificate
from tests.devices.sysfs import FUNCTION, Tree
from tests.x509.pki import certificates, device_chain, issue

ROOT, INTERMEDIATE, LEAF = device_chain("rsa2048")
CHAIN = certificates(INTERMEDIATE, LEAF)
TRUSTING = RootSet((Root("acme", ROOT.certificate),))
STRANGERS = RootSet((Root("other", issue("Other", kind="rsa2048", number=5).certificate),))
ADDRESS = f"pci:{FUNCTION}"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A `/sys` with one PCI function."""
    tree = Tree(tmp_path)
    tree.add()
    return tree


def told(tree: Tree, rule: KernelViewRule, chain: Sequence[Certificate] = (), address: str = ADDRESS) -> list[str]:
    testify = kernel_witness(TRUSTING, rule, sysfs=tree.sysfs)
    return [f"{view.scope.name.lower()} {view.answer.value}" for view in testify(chain, address)]


def test_nobody_is_asked_when_the_policy_does_not_want_it(tree: Tree) -> None:
    tree.authenticated(b"1\n")
    assert told(tree, KernelViewRule.OFF, CHAIN) == []


@pytest.mark.parametrize(
    ("content", "mode", "view"),
    [
        (b"1\n", 0o644, ["device accepts"]),
        (b"0\n", 0o644, ["device refuses"]),
        (b"tsm0\n", 0o444, []),
        (b"\n", 0o444, []),
        (b"1\n", 0o444, []),
        (b"yes\n", 0o644, []),
    ],
)
def test_the_kernels_own_verdict_counts_where_it_is_about_our_roots(
    content: bytes, mode: int, view: list[str], tree: Tree
) -> None:
    """A TSM session says nothing about `.cma` and must not be taken for success."""
    tree.authenticated(content, mode)
    assert told(tree, KernelViewRule.SIMULATE, CHAIN) == view


def test_a_kernel_that_could_not_find_out_says_so(tree: Tree) -> None:
    tree.authenticated(errno.ENOTTY)
    (view,) = kernel_witness(TRUSTING, KernelViewRule.SIMULATE, sysfs=tree.sysfs)(CHAIN, ADDRESS)
    assert (view.answer, view.scope) == (Answer.UNKNOWN, Scope.DEVICE)
    assert "downgrade" in view.reason


@pytest.mark.parametrize("address", ["emu://127.0.0.1:2323", "pci:0000:02:00.0", "nonsense", ""])
def test_of_a_device_that_is_no_function_of_this_machine_the_kernel_says_nothing(address: str, tree: Tree) -> None:
    tree.authenticated(b"1\n")
    assert told(tree, KernelViewRule.SIMULATE, CHAIN, address) == []


def test_evidence_from_elsewhere_is_not_held_against_this_machines_function(tree: Tree) -> None:
    tree.authenticated(b"1\n")
    assert kernel_witness(TRUSTING, KernelViewRule.SIMULATE, sysfs=None)(CHAIN, ADDRESS) == ()


def test_without_a_chain_the_oracle_is_not_asked(tree: Tree) -> None:
    assert told(tree, KernelViewRule.ORACLE) == []


@pytest.mark.parametrize(
    ("answer", "view"),
    [
        (OracleAnswer(True, "yes"), Answer.ACCEPTS),
        (OracleAnswer(False, "no", 0, "ENOKEY"), Answer.REFUSES),
        (OracleAnswer(None, "what?", 0, "ENOPKG"), Answer.UNKNOWN),
        (EnvironmentProblem("no keys here", hint="none"), Answer.UNKNOWN),
    ],
)
def test_what_the_oracle_says_is_an_opinion_about_the_anchor(
    answer: OracleAnswer | EnvironmentProblem, view: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(_self: object, _chain: object) -> OracleAnswer:
        if isinstance(answer, EnvironmentProblem):
            raise answer
        return answer

    monkeypatch.setattr(oracle.Oracle, "ask", ask)
    (opinion,) = kernel_witness(TRUSTING, KernelViewRule.ORACLE, sysfs=None)(CHAIN, ADDRESS)
    assert (opinion.answer, opinion.scope) == (view, Scope.ANCHOR)
    assert opinion.reason == (answer.reason if isinstance(answer, OracleAnswer) else str(answer))


@pytest.mark.system
def test_the_running_kernel_is_asked_by_the_roots_of_the_run() -> None:
    def opinion(rootset: RootSet) -> KernelView:
        (view,) = kernel_witness(rootset, KernelViewRule.ORACLE, sysfs=None)(CHAIN, ADDRESS)
        return view

    if opinion(TRUSTING).answer is Answer.UNKNOWN:
        pytest.skip(f"this kernel cannot be asked: {opinion(TRUSTING).reason}")
    assert opinion(TRUSTING).answer is Answer.ACCEPTS
    assert opinion(STRANGERS).answer is Answer.REFUSES
    assert opinion(RootSet()).answer is Answer.REFUSES
