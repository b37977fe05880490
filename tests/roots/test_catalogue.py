"""The vendor catalogue: what it says about known roots, and that it can be trusted to say it."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.roots.catalogue import Purpose, load_catalogue, read_catalogue, read_vendor
from cmakeys.roots.document import DocumentProblem
from cmakeys.roots.root import LeafNameRule
from cmakeys.x509.bundle import read_certificates

NVIDIA = "102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48"
DEVELOPMENT = "38d4ed3b7906d2af05116d2e6d0d53e4695ab28e9ad88fd880bf8b6d474847b5"
VENDOR = f"""\
schema: 1
vendor: Example
roots:
  - name: example
    certificate: {"a" * 64}
    title: Example CA
    purpose: production
"""


def test_nvidias_root_is_known_with_its_constraints() -> None:
    entry = load_catalogue().match(NVIDIA)
    assert entry is not None
    assert (entry.purpose, entry.constraints.leaf_name) == (Purpose.PRODUCTION, LeafNameRule.DEVICE_INFO)
    assert entry.constraints.pci_vendors == {0x10DE, 0x15B3}


def test_nvidias_development_root_is_marked_as_such() -> None:
    entry = load_catalogue().match(DEVELOPMENT)
    assert entry is not None
    assert entry.purpose is Purpose.DEVELOPMENT


def test_the_real_root_matches_its_entry(shared_data: Path) -> None:
    (root,) = read_certificates((shared_data / "nvidia-hopper" / "nvidia_device_root.pem").read_bytes(), "root")
    entry = load_catalogue().match(root.fingerprint)
    assert entry is not None
    assert entry.title in root.subject
    assert entry.key == root.key_description


def test_every_sample_root_of_dmtf_is_a_known_test_root(shared_data: Path) -> None:
    catalogue = load_catalogue()
    paths = sorted((shared_data / "captures" / "roots").glob("*/ca*.cert.der"))
    assert len(paths) == len(catalogue.test_roots) == 14
    for path in paths:
        (root,) = read_certificates(path.read_bytes(), str(path))
        entry = catalogue.match(root.fingerprint)
        assert entry is not None
        assert entry.purpose is Purpose.TEST
        assert catalogue.test_roots[root.fingerprint] == entry.name
        assert entry.title in root.subject
        assert entry.key == root.key_description


def test_a_vendor_is_found_for_its_entry() -> None:
    catalogue = load_catalogue()
    entry = catalogue.match(NVIDIA)
    assert entry is not None
    assert catalogue.vendor(entry).pci_vendors == {0x10DE, 0x15B3}


@pytest.mark.parametrize("fingerprint", ["", NVIDIA[:-1], NVIDIA.upper(), "0" * 64])
def test_only_the_exact_fingerprint_matches(fingerprint: str) -> None:
    assert load_catalogue().match(fingerprint) is None


def test_installed_package_data_is_found_before_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vendors").mkdir()
    (tmp_path / "vendors" / "example.yaml").write_text(VENDOR)
    (tmp_path / "vendors" / "README.md").write_text("not YAML: [")

    def files(package: str) -> Path:
        assert package == "cmakeys.roots"
        return tmp_path

    monkeypatch.setattr(resources, "files", files)
    assert [vendor.name for vendor in load_catalogue().vendors] == ["Example"]


def test_the_smallest_vendor_is_enough() -> None:
    vendor = read_vendor(VENDOR.encode(), "x")
    assert (vendor.name, vendor.pci_vendors, vendor.notes, len(vendor.entries)) == ("Example", frozenset(), (), 1)


@pytest.mark.parametrize(
    ("change", "line", "says"),
    [
        (("schema: 1", "schema: 9"), 1, "not known"),
        (("title:", "titel:"), 6, "unknown key"),
        (("production", "fun"), 7, "'fun' is not known"),
        (("a" * 64, "a" * 63), 5, "not a SHA-256"),
        (("name: example", "name: Ex"), 4, "cannot name a root"),
        (("    title: Example CA\n", ""), 4, "title missing"),
    ],
)
def test_a_fault_in_a_file_names_its_line(change: tuple[str, str], line: int, says: str) -> None:
    with pytest.raises(DocumentProblem, match=says) as caught:
        read_vendor(VENDOR.replace(*change).encode(), "example.yaml")
    assert caught.value.object == f"example.yaml line {line}"


@pytest.mark.parametrize("other", [VENDOR.replace("name: example", "name: other"), VENDOR.replace("a" * 64, "b" * 64)])
def test_a_name_and_a_certificate_occur_once_over_all_files(other: str) -> None:
    with pytest.raises(DocumentProblem, match="occurs twice"):
        read_catalogue({"one.yaml": VENDOR.encode(), "two.yaml": other.encode()})


@given(st.binary(max_size=200))
def test_any_bytes_are_one_clean_error(data: bytes) -> None:
    with pytest.raises(DocumentProblem):
        read_vendor(data, "x")
