"""Docstrings are Google style: tools can parse them, they name arguments that exist, and their examples run."""

from __future__ import annotations

import builtins
import logging
from collections.abc import Iterator

import griffe
import pytest

from benchmarks.structure import ROOT, doors
from recsys_core import errors

SELF_EVIDENT = {"self", "cls"}


@pytest.fixture(scope="module")
def package() -> griffe.Module:
    return griffe.load("recsys_core", docstring_parser="google", search_paths=[ROOT])


def public(parent: griffe.Object) -> Iterator[griffe.Object]:
    """Modules, classes, functions and attributes below a module, those with a leading underscore left out."""
    for name, member in parent.members.items():
        if not member.is_alias and not name.startswith("_"):
            yield member
            if member.is_module or member.is_class:
                yield from public(member)


def sections(found: griffe.Object, kind: griffe.DocstringSectionKind) -> list:
    """What a docstring's sections of a kind hold."""
    parsed = found.docstring.parsed if found.docstring else []
    return [entry for section in parsed if section.kind is kind for entry in section.value]


def documented(found: griffe.Object) -> list[str]:
    return [entry.name for entry in sections(found, griffe.DocstringSectionKind.parameters)]


def parameters(found: griffe.Function | griffe.Class) -> list[str]:
    return [one.name for one in found.parameters if one.name not in SELF_EVIDENT and not one.name.startswith("_")]


def exported(package: griffe.Module) -> Iterator[griffe.Function | griffe.Class]:
    """What the doors offer, and the public methods of these classes."""
    for door in doors().values():
        for name, module in door.items():
            found = package[module.removeprefix("recsys_core.")].members.get(name)
            if found is None or not (found.is_function or found.is_class):
                continue
            yield found
            if found.is_class:
                yield from (one for one in public(found) if one.is_function)


def test_docstrings_parse(package, caplog):
    caplog.set_level(logging.WARNING, logger="griffe")
    for found in public(package):
        if found.docstring:
            _ = found.docstring.parsed
    assert [record.getMessage() for record in caplog.records] == []


def test_documented_arguments_exist(package):
    strange = {found.path: wrong for found in public(package) if found.is_function or found.is_class
               if (wrong := [name for name in documented(found) if name not in parameters(found)])}
    assert strange == {}


def test_a_door_s_args_are_complete(package):
    missing = {found.path: left for found in exported(package) if (known := documented(found))
               if (left := [name for name in parameters(found) if name not in known])}
    assert missing == {}


def test_a_bundle_s_methods_show_an_example(package):
    methods = [one for one in public(package["serving.bundle.Bundle"]) if one.is_function]
    assert [one.name for one in methods if not sections(one, griffe.DocstringSectionKind.examples)] == []


def test_raises_names_exceptions(package):
    def is_error(name: str) -> bool:
        kind = getattr(errors, name, None) or getattr(builtins, name, None)
        return isinstance(kind, type) and issubclass(kind, BaseException)

    wrong = {found.path: names for found in public(package) if (names := [
        str(entry.annotation) for entry in sections(found, griffe.DocstringSectionKind.raises)
        if not is_error(str(entry.annotation))])}
    assert wrong == {}
