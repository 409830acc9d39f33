"""docs/reliability.md names tests that exist; a test that is renamed or lost must be named anew there."""

import ast
from pathlib import Path

from benchmarks.nights.faults import read_faults

ROOT = Path(__file__).parents[1]


def test_every_fault_has_tests_that_exist():
    faults = read_faults()
    assert [fault.number for fault in faults] == list(range(1, 26))
    for fault in faults:
        assert fault.tests, fault.name
        for file, function in fault.tests:
            tree = ast.parse((ROOT / file).read_text("utf-8"))
            assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (fault.number, function)
