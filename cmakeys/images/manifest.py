"""What was baked: the list of roots that lies in an image beside them, for whoever looks at the image later.

Two files say the same. `manifest.json` is for `cmakeys image inspect` and other programs; `roots.list` is for the
loader, which has nothing but a shell: a line for each root, the description of its key and the file of its certificate.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cmakeys.errors import EvidenceProblem

SCHEMA = "cmakeys/image-manifest/1"
MAX_SIZE = 1 << 20
MAX_ROOTS = 4096
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[0-9A-Za-z.+~-]{1,64}")


class ManifestProblem(EvidenceProblem):
    """A manifest that is not one."""

    code = "manifest"


@dataclass(frozen=True, slots=True)
class BakedRoot:
    """One root in an image: its name, the SHA-256 of its DER, and its state when it was baked."""

    name: str
    sha256: str
    state: str

    @property
    def description(self) -> str:
        """The description of its key in the kernel, the same that `keyring apply` gives it."""
        return f"cmakeys:{self.name}:{self.sha256}"

    @property
    def file(self) -> str:
        """Its certificate, below the folder of the manifest."""
        return f"roots/{self.name}.der"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The set in an image. `digest` is that of the whole `RootSet`, deny entries included; `version` the program's."""

    roots: tuple[BakedRoot, ...]
    digest: str
    version: str
    required: bool = False

    def render(self) -> bytes:
        """The manifest as a file; the same value gives the same bytes."""
        document = {
            "schema": SCHEMA,
            "version": self.version,
            "digest": self.digest,
            "required": self.required,
            "roots": [{"name": root.name, "sha256": root.sha256, "state": root.state} for root in self.roots],
        }
        return json.dumps(document, indent=1, sort_keys=True).encode("ascii") + b"\n"

    def render_list(self) -> bytes:
        """The same for the loader."""
        return b"".join(f"{root.description} {root.file}\n".encode("ascii") for root in self.roots)

    @classmethod
    def parse(cls, data: bytes, source: str) -> Manifest:
        """Read a manifest; strict, since it comes out of an image.

        Raises `ManifestProblem`.
        """

        def problem(message: str) -> ManifestProblem:
            return ManifestProblem(message, object=source, hint="was the image made by another version of cmakeys?")

        def text(mapping: Mapping[str, object], key: str, pattern: re.Pattern[str]) -> str:
            value = mapping.get(key)
            if not isinstance(value, str) or not pattern.fullmatch(value):
                raise problem(f"its {key} is not one")
            return value

        if len(data) > MAX_SIZE:
            raise problem(f"more than {MAX_SIZE} bytes")
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            raise problem("it is not JSON") from None
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise problem(f"its schema is not {SCHEMA}")
        listed = document.get("roots")
        if not isinstance(listed, list) or len(listed) > MAX_ROOTS or not all(isinstance(one, dict) for one in listed):
            raise problem("its roots are no list of them")
        roots = tuple(
            BakedRoot(text(one, "name", _NAME), text(one, "sha256", _SHA256), text(one, "state", _NAME))
            for one in listed
        )
        if len({root.name for root in roots}) != len(roots):
            raise problem("a root occurs twice in it")
        return cls(
            roots, text(document, "digest", _SHA256), text(document, "version", _WORD), document.get("required") is True
        )
