"""What a verb that asks devices holds them against: the machine's roots, its policy, and one time for the whole run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cmakeys.check import Conditions
from cmakeys.cli.options import state_directory
from cmakeys.clock import newest_record
from cmakeys.config import load_config
from cmakeys.evidence.credentials import load_credentials
from cmakeys.references import ReferenceStore
from cmakeys.revocation.store import RevocationStore, read_file, records
from cmakeys.roots.store import RootStore
from cmakeys.transports.connect import open_transport
from cmakeys.transports.tracing import Tracer
from cmakeys.verify.policy import KernelViewRule, Policy
from cmakeys.witness import kernel_witness


def conditions(
    sysroot: Path,
    state_dir: Path | None,
    timeout: float | None,
    revocation_files: Sequence[Path] = (),
    *,
    kernel: bool = False,
    trace: Path | None = None,
) -> Conditions:
    """The conditions of a run in the tree at `sysroot`; `timeout` in seconds stands for the configured one.

    `revocation_files` come on top of the lists and responses that the machine keeps. With `kernel` the running kernel
    is asked whatever the policy says. With `trace` every conversation is recorded, the first one in that file.
    """
    config = load_config(sysroot)
    policy = asking_the_kernel(config.policy) if kernel else config.policy
    rootset = RootStore(sysroot).load()
    seconds = config.timeout if timeout is None else timeout
    state = state_directory(sysroot, state_dir)
    return Conditions(
        rootset,
        policy,
        datetime.now(UTC),
        seconds,
        recorded=newest_record(state),
        revocation=RevocationStore(sysroot, state).load() + records([read_file(path) for path in revocation_files]),
        kernel=kernel_witness(rootset, policy.kernel_view),
        references=ReferenceStore(state).values,
        credentials=load_credentials(config.requester),
        reach=Tracer(trace).reach if trace is not None else open_transport,
    )


def asking_the_kernel(policy: Policy) -> Policy:
    """The policy with step 14 in full, for one run."""
    return replace(policy, kernel_view=KernelViewRule.ORACLE)
