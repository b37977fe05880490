"""One full attestation beside DMTF's own requester, both of DMTF's responder, which runs all the time.

Given the folder with `spdm_responder_emu`, `spdm_requester_emu` and their sample keys (`--peer DIR`); they are built
outside of this checkout. Both ask the same: digests, the chains of both slots, CHALLENGE and all measurements, signed,
and both check what they hear. Wall-clock time, in turns. From DMTF's requester's, that of a start that does nothing is
taken off: only what it does once it runs is compared, and ours is that of a function in a program that runs.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from cmakeys.spdm import attesting
from cmakeys.spdm.codes import SummaryHash, Version
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.requester import Plan, Requester
from cmakeys.spdm.signing import verify_statement
from cmakeys.transports.base import Deadline
from cmakeys.transports.connect import open_transport
from cmakeys.transports.drive import drive
from cmakeys.x509 import chain
from cmakeys.x509.bundle import SpdmChain
from cmakeys.x509.certificate import Certificate
from tests.bench.attestation import HASH_SIZE, statements
from tests.bench.ratio import Ratio, interleaved

ROUNDS = 15
_ASKED = ("--ver", "1.2", "--trans", "PCI_DOE", "--asym", "ECDSA_P384", "--hash", "SHA_384", "--pqc_asym", "NONE")
_KEYS = "ecp384"
_ROOTS = ("ca.cert.der", "ca1.cert.der")
_PATIENCE = 10


class Pair:
    """DMTF's two programs in a scratch folder, the responder listening on the loopback interface."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.programs, self.scratch = folder.resolve(), scratch
        # They open their keys, and write what they were sent, relative to where they are.
        for keys in self.programs.iterdir():
            if keys.is_dir():
                (scratch / keys.name).symlink_to(keys)
        self.roots = [Certificate.from_der((folder / _KEYS / name).read_bytes(), name, 0) for name in _ROOTS]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = str(free.getsockname()[1])

    def command(self, program: str, *options: str) -> list[str]:
        """The command line of one of the two."""
        return [str(self.programs / program), "--ip", "127.0.0.1", "--port", self.port, *_ASKED, *options]

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Run the responder meanwhile."""
        command = self.command("spdm_responder_emu", "--basic_mut_auth", "NO")
        with subprocess.Popen(command, cwd=self.scratch, stdout=subprocess.DEVNULL) as responder:
            try:
                # A connection made only to see whether it listens would be the one that it serves.
                ours, end = f"0100007F:{int(self.port):04X} 00000000:0000 0A", time.monotonic() + _PATIENCE
                while ours not in Path("/proc/net/tcp").read_text():
                    assert responder.poll() is None, "DMTF's responder has left"
                    assert time.monotonic() < end, "DMTF's responder does not listen"
                    time.sleep(0.01)
                yield
            finally:
                responder.terminate()

    def theirs(self) -> None:
        """DMTF's requester, from its start to its end."""
        what = ("--exe_mode", "CONTINUE", "--exe_conn", "DIGEST,CERT,CHAL,MEAS", "--exe_session", "NO_END")
        command = self.command("spdm_requester_emu", *what, "--meas_op", "ALL", "--meas_sum", "ALL")
        done = subprocess.run(command, cwd=self.scratch, capture_output=True, text=True, check=True, timeout=_PATIENCE)
        assert "Client stopped" in done.stdout
        assert "ERROR" not in done.stdout + done.stderr

    def start(self) -> None:
        """DMTF's requester, which says how it is used and leaves."""
        command = [str(self.programs / "spdm_requester_emu"), "--help"]
        subprocess.run(command, cwd=self.scratch, capture_output=True, check=False, timeout=_PATIENCE)

    def ours(self) -> None:
        """The same in this process."""
        deadline = Deadline.after(_PATIENCE)
        transport = open_transport(f"emu://127.0.0.1:{self.port}?transport=doe", deadline)
        requester = Requester(Offer(versions=frozenset({Version.V12})))
        try:
            drive(attesting.attest(requester, Plan(summary=SummaryHash.ALL)), transport, deadline)
        finally:
            transport.close()
        connection = requester.connection
        assert len(connection.chains) == len(self.roots)
        for slot, structure in connection.chains.items():
            certificates = SpdmChain.parse(structure, HASH_SIZE, f"slot {slot}").certificates
            assert not chain.check_signatures(certificates)
            assert chain.find_anchor(certificates, self.roots) is not None
            if not slot:
                for statement in statements(connection):
                    verify_statement(statement, certificates[-1].public_key)


def ratios(folder: Path) -> list[Ratio]:
    """The wall-clock time of an attestation against that of DMTF's requester in `folder`."""
    with TemporaryDirectory() as scratch:
        pair = Pair(folder, Path(scratch))
        with pair.listening():
            ours, theirs, start = interleaved([pair.ours, pair.theirs, pair.start], ROUNDS)
    goal = "an attestation of DMTF's responder against the time that DMTF's requester takes"
    return [Ratio(goal, ours, theirs - start, 1.5)]
