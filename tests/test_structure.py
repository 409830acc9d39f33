"""The plan of the house: every room may touch the rooms below it, and nothing else."""

from __future__ import annotations

from benchmarks.structure import (
    CORE,
    FLOORS,
    HOUSES,
    ROOT,
    asked_at_doors,
    circles,
    doors,
    modules,
    name_of,
    unused_names,
    upward_arrows,
)

LONGEST_MODULE, LARGEST_PACKAGE = 300, 2500


def test_every_room_has_its_floor():
    rooms = {path.stem for path in CORE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert rooms - {"__init__"} == set(FLOORS)


def test_no_arrow_points_upward():
    assert upward_arrows() == []


def test_no_circle():
    assert circles() == []


def test_a_package_is_entered_by_its_door_and_the_door_offers_what_is_asked_for():
    assert {name: sorted(asked) for name, asked in asked_at_doors().items()} == {
        name: sorted(door) for name, door in doors().items()}


def test_nothing_is_public_that_only_tests_use():
    assert unused_names((*HOUSES, "benchmarks")) == []


def test_rooms_and_modules_stay_small():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for house in HOUSES for path in modules(ROOT / house)}
    assert {name_of(path): n for path, n in lines.items() if n > LONGEST_MODULE} == {}
    packages = {package.name: sum(n for path, n in lines.items() if package in path.parents)
                for package in CORE.iterdir() if package.is_dir()}
    assert {name: n for name, n in packages.items() if n > LARGEST_PACKAGE} == {}
