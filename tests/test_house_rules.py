"""The rules that last, as tests: sizes, words, routes, errors, statements, locks."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import service
from service.db import Connection
from service.errors import SeteliError
from service.problems import LANGUAGES, catalogue

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "service").rglob("*.py"))
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
VAGUE_NAMES = {"utils", "helpers", "common", "manager", "misc"}


def modules() -> Iterator[str]:
    yield from (
        module.name for module in pkgutil.walk_packages(service.__path__, "service.") if "__main__" not in module.name
    )


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def too_long(path: Path) -> Iterator[str]:
    """The module, and each function in it, with more lines than it may have."""
    if len(path.read_text("utf-8").splitlines()) > MODULE_LINES_MAX:
        yield str(path.relative_to(ROOT))
    for node in nested_statements(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            if node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX:
                yield f"{path.relative_to(ROOT)}: {node.name}"


def nested_statements(node: ast.AST) -> Iterator[ast.AST]:
    """However deep; unlike `ast.walk` without what they consist of, which is twenty times as much."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield child
            yield from nested_statements(child)


# One test for all modules: a test for each of them would cost more than what it looks at.
def test_modules_and_their_functions_are_small() -> None:
    assert len(MODULES) > 300
    assert [found for path in MODULES for found in too_long(path)] == []


def test_the_name_of_a_module_says_something() -> None:
    parts = {part for path in MODULES for part in path.relative_to(ROOT).with_suffix("").parts}
    assert VAGUE_NAMES & parts == set()


def test_every_module_says_what_it_owns() -> None:
    assert [str(path.relative_to(ROOT)) for path in MODULES if not ast.get_docstring(parsed(path))] == []


def test_only_settings_reads_the_environment() -> None:
    readers = [
        path.relative_to(ROOT)
        for path in MODULES
        if re.search(r"os\.environ|getenv", path.read_text("utf-8")) and "sandbox" not in path.parts
    ]
    assert readers == []


def test_every_route_asks_for_a_permission_or_is_on_the_public_list() -> None:
    from service.app import PUBLIC, ROUTES

    assert {route.path for route in ROUTES if route.permission is None} == PUBLIC
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


def test_every_write_of_money_demands_an_idempotency_key() -> None:
    from service.app import ROUTES

    money = [route for route in ROUTES if route.permission == "debits:write"]
    assert len(money) >= 2
    assert all(route.idempotency == "required" for route in money)


def test_every_route_is_described_and_its_answer_has_a_model() -> None:
    from service.app import ROUTES

    for route in ROUTES:
        assert route.summary
        assert inspect.getdoc(route.handler)
        if route.documented:
            assert (route.answer is None) != (route.streams is None), route.path


def all_errors() -> list[type[SeteliError]]:
    for name in modules():
        importlib.import_module(name)
    found, waiting = [], list(SeteliError.__subclasses__())
    while waiting:
        error = waiting.pop()
        waiting += error.__subclasses__()
        if "code" in vars(error):
            found.append(error)
    return [error for error in found if error.__module__.startswith("service.")]


def test_every_error_is_documented_and_has_its_sentence_in_every_language() -> None:
    errors = all_errors()
    assert len(errors) > 20
    assert len({error.code for error in errors}) == len(errors), "two errors share a code"
    for error in errors:
        assert inspect.getdoc(error), error
        for language in LANGUAGES:
            entry = catalogue(language)[error.code]
            assert entry["detail"], (error, language)
            assert entry["next_step"], (error, language)


def test_sentences_of_one_error_have_the_same_placeholders_in_every_language_and_belong_to_an_error() -> None:
    codes = {error.code for error in all_errors()}
    for language in LANGUAGES:
        assert set(catalogue(language)) <= codes, f"{language}: sentences that no error uses"
    for code in codes:
        placeholders = {
            language: set(re.findall(r"{(\w+)}", " ".join(catalogue(language)[code].values())))
            for language in LANGUAGES
        }
        assert len(set(map(frozenset, placeholders.values()))) == 1, (code, placeholders)


def statements() -> list[tuple[str, str]]:
    found = []
    for name in modules():
        module = importlib.import_module(name)
        for constant, value in vars(module).items():
            starts = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH ", "COPY ")
            if constant.isupper() and isinstance(value, str) and value.strip().upper().startswith(starts):
                found.append((f"{name}.{constant}", value))
    return found


async def test_every_statement_is_one_that_the_schema_understands(db: Connection) -> None:
    assert len(statements()) > 20
    for name, statement in statements():
        if statement.strip().upper().startswith("COPY") or "pg_temp" in statement or "staging" in statement:
            continue
        try:
            await db.prepare(statement)
        except Exception as error:  # noqa: BLE001 - the name of the statement is what helps
            pytest.fail(f"{name}: {error}")


def test_locks_name_no_registry() -> None:
    locks = [*ROOT.glob("requirements*.lock"), *ROOT.glob("**/package-lock.json")]
    locks = [path for path in locks if "node_modules" not in path.parts and ".venv" not in path.parts]
    assert len(locks) >= 2
    for path in locks:
        assert "://" not in path.read_text("utf-8"), path


def test_the_two_locks_pin_the_same_versions() -> None:
    def pins(name: str) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;]+)", (ROOT / name).read_text(), re.MULTILINE))

    production, development = pins("requirements.lock"), pins("requirements-dev.lock")
    assert production.items() <= development.items()


def logged_fields() -> set[str]:
    """Every keyword that some line of the service hands to the log."""
    found: set[str] = set()
    for path in MODULES:
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.Call):
                continue
            logger = node.func.value if isinstance(node.func, ast.Attribute) else node.func
            if isinstance(logger, ast.Name) and logger.id in ("log", "note"):  # note = log.error if … else log.info
                found |= {keyword.arg for keyword in node.keywords if keyword.arg is not None}
    return found


def test_the_log_takes_what_is_logged_and_nothing_that_could_hold_a_code_or_a_contact() -> None:
    from service.logs import FIELDS

    ours = {"event", "level", "timestamp", "what", "line", "error", "frames"}
    assert logged_fields() <= FIELDS
    assert logged_fields() | ours >= FIELDS, "a field that nobody logs invites a slip"
    assert not FIELDS & {"code", "phone", "email", "recipient", "body", "text", "key", "address", "url", "name"}


def test_every_job_is_known_to_the_worker_and_takes_one_id_at_most() -> None:
    from service.workers import jobs

    for job in jobs.JOBS.values():
        _context, *arguments = inspect.signature(job).parameters.values()
        assert len(arguments) <= 1, job
    source = (ROOT / "service/workers/process.py").read_text("utf-8")
    written = [
        node.name
        for node in ast.parse((ROOT / "service/workers/jobs.py").read_text()).body
        if isinstance(node, ast.AsyncFunctionDef)
    ]
    assert set(written) == {job.__name__ for job in jobs.JOBS.values()}
    assert all(name in source for name in written)
