"""The manual says of the command what is true: it is held against the command tree, the policy and the store."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

import pytest

import cmakeys.errors
from cmakeys.cli.nouns import NOUNS
from cmakeys.config import DEFAULT, Config, apply
from cmakeys.emulator.faults import FAULTS
from cmakeys.errors import CmakeysError, ExitCode
from cmakeys.evidence.archive import encode
from cmakeys.evidence.model import Evidence, EvidenceKind
from cmakeys.roots.declaration import read_declaration
from cmakeys.roots.document import DocumentProblem, render_document
from cmakeys.roots.record import read_deny, read_root, render_pem
from cmakeys.roots.root import LeafNameRule, LifeCycle, Root
from cmakeys.roots.rootset import DenyKind
from cmakeys.roots.steps import VERBS
from cmakeys.spdm.algorithms import ED448_AVAILABLE
from cmakeys.spdm.states import TRANSITIONS, State
from cmakeys.verify.verdict import STEP_TITLES, Outcome
from tests.cli.tree import HELP, Option, Verb, top_options, typed, verbs
from tests.mdoc import Item, Page
from tests.rings import cannot
from tests.roots import trust

ROOT = Path(__file__).parents[1]
PAGES = {path.name: Page.read(path) for path in sorted((ROOT / "man").iterdir())}
MAIN, CONFIGURATION, DECLARATION = PAGES["cmakeys.8"], PAGES["cmakeys.yaml.5"], PAGES["cmakeys-roots.5"]
A, B = trust.root("a"), trust.root("b")
WITHOUT_COMMANDS = [PAGES[name] for name in ("cmakeys-concepts.7", "cmakeys-evidence.5", "cmakeys-protocol.7")]
SHARED = "Options of several verbs"
READER_GONE_AND_INTERRUPTED = {130, 141}

each_page = pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
each_verb = pytest.mark.parametrize("verb", verbs().values(), ids=lambda verb: verb.name)


def page_of(verb: Verb) -> Page:
    return PAGES[f"cmakeys-{verb.noun}.8"]


def documented(verb: Verb) -> list[Item]:
    """The items about this verb's options, its own and those that several verbs share."""
    sections = page_of(verb).below("DESCRIPTION")
    return [
        item
        for section in sections
        if not verb.title or section.subtitle in (verb.title, SHARED)
        for item in section.items
        if item.options
    ]


# -- the pages ---------------------------------------------------------------------------------------------------------


@each_page
def test_the_linter_has_nothing_to_say(page: Page) -> None:
    if shutil.which("mandoc") is None:
        cannot("the linter of manual pages, mandoc, is not installed")
    command = ["mandoc", "-T", "lint", "-W", "warning", str(page.path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stdout + run.stderr == ""
    assert run.returncode == 0


@each_page
def test_a_page_fits_a_terminal_of_80_columns(page: Page) -> None:
    if shutil.which("mandoc") is None:
        cannot("mandoc, which renders manual pages, is not installed")
    command = ["mandoc", "-T", "ascii", "-O", "width=80", str(page.path)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    shown = [re.sub(".\b", "", line) for line in text.splitlines()]
    fingerprint = re.compile("[0-9a-f]{64}")  # is not broken for anything
    assert [line for line in shown if len(line) > 80 and not fingerprint.search(line)] == []


def test_every_noun_has_its_page_and_no_page_is_about_nothing() -> None:
    expected = {
        "cmakeys.8",
        "cmakeys.yaml.5",
        "cmakeys-roots.5",
        "cmakeys-bundle.5",
        "cmakeys-evidence.5",
        "cmakeys-concepts.7",
        "cmakeys-protocol.7",
        "cmakeys-rotation.7",
        *(f"cmakeys-{noun.name}.8" for noun in NOUNS),
    }
    assert set(PAGES) == expected


def test_every_page_is_installed_in_its_section() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared == {f"man/{name}": f"share/man/man{name[-1]}/{name}" for name in PAGES}


@each_page
def test_a_page_carries_its_own_name_and_is_found_from_the_first_one(page: Page) -> None:
    name, _, section = page.path.name.rpartition(".")
    assert f".Dt {name.upper()} {section}" in page.lines
    assert f".Nm {name}" in page.section("NAME").lines
    if page is not MAIN:
        assert any(line.startswith(f".Xr {name} {section}") for line in MAIN.section("SEE ALSO").lines)


@each_page
def test_references_to_our_own_pages_lead_somewhere(page: Page) -> None:
    references = re.findall(r"^\.Xr (cmakeys\S*) (\d)", "\n".join(page.lines), re.MULTILINE)
    assert {f"{name}.{section}" for name, section in references} <= set(PAGES)
    assert references


# -- verbs and options -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noun", [noun.name for noun in NOUNS])
def test_the_synopsis_lists_every_verb_of_the_noun(noun: str) -> None:
    expected = [words for words in verbs() if words[0] == noun]
    assert list(PAGES[f"cmakeys-{noun}.8"].synopsis()) == expected


@each_verb
def test_the_synopsis_lists_every_option_of_the_verb_once_and_no_other(verb: Verb) -> None:
    lines = page_of(verb).synopsis()[verb.words]
    listed = [option for line in lines for option in re.findall(r"\bFl (-?[\w-]+)", line)]
    assert sorted(f"-{option}" for option in listed) == sorted(verb.spellings)


@each_verb
def test_every_option_is_documented_and_every_option_documented_exists(verb: Verb) -> None:
    items = documented(verb)
    described = frozenset().union(*(item.options for item in items))
    assert verb.spellings <= described
    own = page_of(verb).below("DESCRIPTION") if len(verb.words) == 1 else ()
    own = own or tuple(one for one in page_of(verb).below("DESCRIPTION") if one.subtitle == verb.title)
    assert own
    for section in own:
        assert frozenset().union(*(item.options for item in section.items)) <= verb.spellings


@each_verb
def test_an_option_is_documented_with_its_value_and_its_default(verb: Verb) -> None:
    for option in verb.options:
        (item,) = [item for item in documented(verb) if item.options & option.spellings]
        assert item.options == option.spellings
        assert (" Ar " in item.head) == option.takes_value, item.head
        default = shown_default(option)
        said = rf"[Tt]he default is {re.escape(default)} ?[.,]|{re.escape(default)} ?, which is the default"
        assert not default or re.search(said, item.text), f"{item.head}: the default is {default}"
        if option.repeatable:
            assert "May be repeated." in item.text, item.head
            assert any(f"Fl {item.head.split()[-3]}" in line and "..." in line for line in synopsis(verb))


def synopsis(verb: Verb) -> tuple[str, ...]:
    return page_of(verb).synopsis()[verb.words]


def shown_default(option: Option) -> str:
    """The default as it must stand in the text; for those that need no word, nothing."""
    default = option.default.value if isinstance(option.default, Enum) else option.default
    if default in (None, False, "") or "--sysroot" in option.spellings:
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


@pytest.mark.parametrize("noun", [noun.name for noun in NOUNS])
def test_shared_options_are_shared_by_several_verbs(noun: str) -> None:
    shared = [one for one in PAGES[f"cmakeys-{noun}.8"].below("DESCRIPTION") if one.subtitle == SHARED]
    for section in shared:
        for item in section.items:
            users = [verb for verb in verbs().values() if verb.noun == noun and item.options <= verb.spellings]
            assert len(users) > 1, item.head


@each_page
def test_every_option_that_a_page_speaks_of_exists(page: Page) -> None:
    known = top_options() | HELP | frozenset().union(*(verb.spellings for verb in verbs().values()))
    assert frozenset().union(*(section.options for section in page.sections)) <= known


def test_the_first_page_documents_the_options_of_the_command_itself_and_the_nouns() -> None:
    described = MAIN.section("DESCRIPTION").options
    assert described == top_options() | HELP
    nouns = [item.term for item in MAIN.section("DESCRIPTION").items if not item.options]
    assert nouns == [noun.name for noun in NOUNS]


@each_page
def test_every_command_shown_is_one_that_can_be_typed(page: Page) -> None:
    shown = list(page.commands())
    assert shown or page in (CONFIGURATION, *WITHOUT_COMMANDS)
    for words in shown:
        verb, rest = typed(words)
        verb.parse([word for word in rest if word])


@each_page
def test_every_verb_mentioned_in_the_text_exists(page: Page) -> None:
    for line in page.lines:
        match = re.match(r"\.Ic cmakeys ([a-z]+(?: [a-z]+(?:-[a-z]+)*)*)", line)
        if match:
            words = tuple(match.group(1).split())
            assert any(words[:number] in verbs() for number in (1, 2, 3)), line


# -- contracts ---------------------------------------------------------------------------------------------------------


def test_the_exit_codes_are_those_of_the_code() -> None:
    items = MAIN.section("EXIT STATUS").items
    numbers = {int(item.term) for item in items}
    assert numbers == {*map(int, ExitCode)} | READER_GONE_AND_INTERRUPTED
    words = {int(item.term): item.body[0].removeprefix(".Pq ") for item in items if item.body[0].startswith(".Pq ")}
    families = [one for one in vars(cmakeys.errors).values() if isinstance(one, type) and issubclass(one, CmakeysError)]
    codes = {int(one.exit_code): one.code for one in families if "exit_code" in vars(one)}
    assert words == codes


def test_the_steps_are_those_of_a_verdict() -> None:
    steps = {int(item.term): " ".join(item.body) for item in MAIN.section("VERDICTS").items if item.term.isdigit()}
    assert steps == STEP_TITLES


def test_the_outcomes_are_those_of_a_verdict() -> None:
    rows = [item.head.split(" Ta ") for item in MAIN.section("VERDICTS").items if " Ta " in item.head]
    expected = [[one.value, str(int(one.exit_code)), str(one.nagios())] for one in Outcome]
    assert rows[1:] == expected
    explained = [item.term for item in MAIN.section("VERDICTS").items if not item.term.isdigit()]
    assert explained[-len(Outcome) :] == [one.value for one in Outcome]


def test_the_life_cycle_is_that_of_the_verbs() -> None:
    items = PAGES["cmakeys-roots.8"].section("LIFE CYCLE").items
    rows = [item.head.replace("\\-", "-").split(" Ta ") for item in items if " Ta " in item.head]
    expected = [
        [state.value, verb.value, targets[state].value]
        for state in LifeCycle
        for verb, targets in VERBS.items()
        if state in targets
    ]
    assert rows[1:] == expected


def test_the_keys_of_saved_evidence_are_those_that_are_written() -> None:
    items = PAGES["cmakeys-evidence.5"].section("DESCRIPTION", "Saved evidence").items
    described = {key for item in items for key in re.split(r"\s*,\s*", item.term)}
    moment = datetime(2026, 11, 22, tzinfo=UTC)
    assert described == set(json.loads(encode(Evidence("x", EvidenceKind.CONVERSATION, moment))))


def test_the_states_of_the_requester_are_those_of_its_table() -> None:
    shown = {}
    for item in PAGES["cmakeys-protocol.7"].section("DESCRIPTION", "States").items:
        state, following = item.term, item.term
        moves: dict[str, str] = {}
        for line in item.body:
            if line == "Without leaving it:":
                following = state
            elif line.startswith("To "):
                following = line.removeprefix("To ").removesuffix(":")
            elif line.startswith(".Cm "):
                moves[line.split()[1]] = following
        shown[state] = moves
    assert shown == {
        state.value: {code.name: after.value for code, after in TRANSITIONS[state].items()} for state in State
    }


def test_the_faults_shown_exist_and_must_be_what_is_said() -> None:
    items = PAGES["cmakeys-emulate.8"].section("DESCRIPTION", "What is wrong with it").items
    rows = [item.head.split(" Ta ") for item in items if " Ta " in item.head]
    assert len(rows) > 5
    assert rows == [[name, FAULTS[name].expectation] for name, _ in rows]


# -- files -------------------------------------------------------------------------------------------------------------


def test_every_setting_is_documented_with_its_default() -> None:
    settings = {setting.key: setting.value for setting in Config().settings()}
    shown = {}
    for section in ("policy", "check", "history", "initrd", "requester"):
        for item in CONFIGURATION.section("CONFIGURATION", section).items:
            match = re.search(
                r"Default: (\[[^]]*\]|\{[^}]*\}|[a-z0-9-]+)\.?(?: |$)", item.text.replace(" .", ".").replace('"', "")
            )
            assert match, item.term
            shown[f"{section}.{item.term}"] = match.group(1)
    assert list(shown) == list(settings)
    if not ED448_AVAILABLE:
        shown["policy.algorithms"] = shown["policy.algorithms"].replace("ED448, ", "")
    assert shown == {key: written(value) for key, value in settings.items()}


def written(value: object) -> str:
    """A value as a file has it."""
    if value is None:
        return "null"
    return f"{value:g}" if isinstance(value, float) else str(value).replace("'", "").replace("False", "false")


def documents(kind: str) -> list[bytes]:
    """The examples of one kind of file."""
    return [text.encode() for name, text in CONFIGURATION.literals() if name == kind]


def known_keys(problem: DocumentProblem) -> list[str]:
    """The keys that a reader names when it meets one that it does not know."""
    assert problem.hint.startswith("known here: ")
    return problem.hint.removeprefix("known here: ").split(", ")


def record(**more: object) -> bytes:
    return render_document({"schema": "1", "certificate": A.fingerprint, "state": "trusted", **more})


def read(data: bytes) -> Root:
    return read_root("a", data, render_pem(A.certificate), record_source="a.yaml", pem_source="a.pem")


@pytest.mark.parametrize(
    ("subtitle", "data"),
    [("", record(odd="")), ("Constraints of a root", record(constraints={"odd": ""}))],
    ids=["root", "constraints"],
)
def test_the_keys_of_a_root_s_file_are_those_that_are_read(subtitle: str, data: bytes) -> None:
    with pytest.raises(DocumentProblem) as refusal:
        read(data)
    items = CONFIGURATION.section("FILES OF A ROOT", subtitle).items
    assert sorted(item.term for item in items) == known_keys(refusal.value)


@pytest.mark.parametrize(
    ("title", "term", "data"),
    [
        ("FILES OF A ROOT", "provenance", record(provenance={"odd": ""})),
        ("DENY ENTRIES", "deny", b"schema: 1\ndeny: [{odd: 1}]\n"),
    ],
)
def test_the_keys_within_a_key_are_those_that_are_read(title: str, term: str, data: bytes) -> None:
    with pytest.raises(DocumentProblem) as refusal:
        read(data) if term == "provenance" else read_deny(data, "deny.yaml")
    (item,) = [item for item in CONFIGURATION.section(title).items if item.term == term]
    named = [line.split()[1] for line in item.body if line.startswith(".Ic ")]
    assert sorted(named) == known_keys(refusal.value)


def test_the_keys_of_a_deny_file_are_those_that_are_read() -> None:
    with pytest.raises(DocumentProblem) as refusal:
        read_deny(b"odd: 1\n", "deny.yaml")
    assert sorted(item.term for item in CONFIGURATION.section("DENY ENTRIES").items) == known_keys(refusal.value)


@pytest.mark.parametrize(
    ("title", "data"), [("KEYS", b"odd: 1\n"), ("KEYS OF A ROOT", b"schema: 1\nroots: [{odd: 1}]\n")]
)
def test_the_keys_of_a_declaration_are_those_that_are_read(title: str, data: bytes) -> None:
    with pytest.raises(DocumentProblem) as refusal:
        read_declaration(data, "roots.yaml", lambda _: b"")
    assert sorted(item.term for item in DECLARATION.section(title).items) == known_keys(refusal.value)


def test_the_example_of_a_declaration_is_read() -> None:
    (example,) = (text for name, text in DECLARATION.literals() if name == "declaration")
    fingerprints = iter((A.fingerprint, B.fingerprint, "ab" * 32))
    text = re.sub(r"[0-9a-f]{8}\.\.\.", lambda _: next(fingerprints), example)
    files = {"certificates/acme.pem": A, "certificates/acme-2041.pem": B}
    found = read_declaration(text.encode(), "x", lambda name: render_pem(files[name].certificate))
    assert [root.state for root in found.roots] == [LifeCycle.TRUSTED, LifeCycle.STAGED]
    assert found.prune
    assert found.deny


def test_the_states_and_the_rules_about_names_are_all_there() -> None:
    (states,) = [item for item in CONFIGURATION.section("FILES OF A ROOT").items if item.term == "state"]
    assert set(LifeCycle) == {one for one in LifeCycle if one.value in states.text}
    rules = [item.term for item in CONFIGURATION.section("LEAF NAMES").items]
    assert rules == [rule.value for rule in LeafNameRule]


def test_the_examples_of_files_are_read_and_say_something() -> None:
    (configuration,) = documents("configuration")
    applied = apply(Config(), configuration, "cmakeys.yaml")
    assert {setting.key for setting in applied.settings() if setting.origin != DEFAULT} > {"check.timeout"}
    (example,) = documents("root")
    root = read(re.sub(rb"[0-9a-f]{64}", A.fingerprint.encode(), example))
    assert root.constraints.pci_vendors == {0x10DE}
    assert root.provenance.added_at is not None
    (denied,) = documents("deny")
    (entry,) = read_deny(denied, "deny.yaml")
    assert entry.kind is DenyKind.KEY
