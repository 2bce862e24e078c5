"""File names of the service: kept where possible, escaped or cut where not, refused where dangerous."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from cases import case
from described import ORDER_ID, described, manifest

from planet_async import (
    ApiKey,
    Archive,
    ChecksumMismatch,
    InvalidRequest,
    OrderRequest,
    Planet,
    SceneProduct,
    UnsafeName,
)
from planet_async.downloads.remote_file import safe_path
from planet_async.simulator import OrderPlan, Simulator
from planet_async.testing import FakeClock

pytestmark = pytest.mark.anyio

LEGAL = [
    "圃場\u30007.zip",
    "no\u00a0break.tif",
    "zero\u200dwidth.tif",
    "soft\u00adhyphen.tif",
    "line\u2028separator.tif",
    "right\u200fto left.tif",
    "private\ue000use.tif",
    "not assigned \U000e0100.tif",
    "family \U0001f468\u200d\U0001f469\u200d\U0001f467.tif",
    " leading and trailing ",
    ".hidden",
    "...",
    "-rf",
    "~root",
    "a:b?*<>|\"'.tif",
    "100%25.tif",
    "COM1",
]
ESCAPED = ["tab\there.tif", "new\nline.tif", "bell\x07", "\x1b[31mred.tif", "next\x85line", "back\\slash.tif"]


def order_of(names: Iterable[str]) -> Planet:
    """Return a service whose order has files of these names, each with its own name for its content."""
    contents = {name: name.encode() for name in names}
    files = {f"{ORDER_ID}/{name}": content for name, content in contents.items()}
    return described((f"{ORDER_ID}/manifest.json", manifest(**contents)), *files.items())[1]


async def test_legal_names_are_kept(tmp_path: Path) -> None:
    """Any alphabet, space or invisible character that the file system takes is kept."""
    paths = await order_of(LEGAL).orders.download(ORDER_ID, tmp_path)
    assert {*paths} == {tmp_path / ORDER_ID / name for name in ("manifest.json", *LEGAL)}
    assert [(tmp_path / ORDER_ID / name).read_bytes().decode() for name in LEGAL] == LEGAL
    assert not paths.unverified
    assert not paths.renamed


async def test_control_characters_are_escaped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What a terminal obeys, or another system splits, is percent-encoded, and the result says so."""
    with caplog.at_level(logging.WARNING):
        paths = await order_of(ESCAPED).orders.download(ORDER_ID, tmp_path)
    assert sorted(paths.renamed.values()) == sorted(f"{ORDER_ID}/{name}" for name in ESCAPED)
    for renamed, original in paths.renamed.items():
        path = Path(renamed)
        assert path in paths
        assert path.name.isprintable(), original
        assert f"{ORDER_ID}/{unquote(path.name)}" == original
        assert path.read_bytes().decode() == unquote(path.name)
        assert path.name in caplog.text
    assert not paths.unverified


def test_escaping_can_be_undone(tmp_path: Path) -> None:
    """Two names do not become one: in a name with something to escape a percent sign is escaped, too."""
    assert safe_path(tmp_path, "50%\t").name == "50%25%09"
    assert safe_path(tmp_path, "50%").name == "50%"
    assert unquote(safe_path(tmp_path, "a%09b\tc").name) == "a%09b\tc"
    assert safe_path(tmp_path, "lone \ud800 surrogate").name == "lone %ED%A0%80 surrogate"


async def test_long_names(tmp_path: Path) -> None:
    """A name as long as the file system takes is kept, though its part needs a longer one; others are cut."""
    names = []
    for length in (242, 243, 244, 249, 250, 251, 255, 256, 5000):
        for letter in "n圃":
            name = letter * ((length - 4) // len(letter.encode()))
            names.append(name + "n" * (length - 4 - len(name.encode())) + ".tif")
            assert len(names[-1].encode()) == length
    planet = order_of(names)
    paths = await planet.orders.download(ORDER_ID, tmp_path)
    by_name = {path.read_bytes().decode(): path for path in paths if path.suffix == ".tif"}
    assert {*by_name} == {*names}
    for name, path in by_name.items():
        assert (path.name == name) == (len(name.encode()) <= 255), name
    assert paths.renamed == {
        by_name[name]: f"{ORDER_ID}/{name}" for name in names if len(name.encode()) > 255
    }
    assert not paths.unverified
    assert len([file for file in tmp_path.rglob("*") if file.is_file()]) == len(names) + 1
    assert await planet.orders.download(ORDER_ID, tmp_path) == paths


async def test_long_names_that_begin_alike(tmp_path: Path) -> None:
    """They are two files, even while they arrive."""
    long = {"n" * 300 + end: end.encode() for end in ("1.tif", "2.tif")}
    just = {"m" * 250 + end: end.encode() for end in ("1", "2")}
    names = {f"{ORDER_ID}/{name}": content for name, content in {**long, **just}.items()}
    _, planet = described((f"{ORDER_ID}/manifest.json", manifest(**long, **just)), *names.items())
    paths = await planet.orders.download(ORDER_ID, tmp_path)
    assert {path.read_bytes() for path in paths[-4:]} >= {b"1.tif", b"2.tif"}
    assert len({*paths}) == 5
    assert sorted(paths.renamed.values()) == sorted(f"{ORDER_ID}/{name}" for name in long)


async def test_long_names_are_resumed(tmp_path: Path) -> None:
    """The shortened part is found by its name."""
    name = "n" * 255
    names = [f"{ORDER_ID}/manifest.json", f"{ORDER_ID}/{name}"]
    _, planet = described((names[0], manifest(**{name: b"right"})), (names[1], b"wrong"))
    with pytest.raises(ChecksumMismatch):
        await planet.orders.download(ORDER_ID, tmp_path)
    assert not [*tmp_path.rglob("*.part*")]


async def test_an_archive_named_after_its_order(clock: FakeClock, tmp_path: Path) -> None:
    """A paid order whose archive has any legal name can be downloaded by `run`."""
    simulator = Simulator(clock=clock, plan=OrderPlan(queue_seconds=0, run_seconds=1))
    scene = SceneProduct(["20240101_000000_00_1234"], "PSScene", "visual")
    delivery = Archive(single_archive=True, archive_filename="{{name}}.zip")
    requests = [OrderRequest(name, [scene], delivery=delivery) for name in ("圃場\u30007", "n" * 251)]
    async with Planet(credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
        outcomes = [outcome.unwrap() async for outcome in planet.orders.run(requests, tmp_path)]
    names = {path.name for outcome in outcomes for path in outcome.paths}
    assert names == {"圃場\u30007.zip", "n" * 251 + ".zip", "manifest.json"}


async def test_a_dangerous_name_fails_its_own_file_only(tmp_path: Path) -> None:
    """The others are downloaded."""
    _, planet = described((f"{ORDER_ID}/../../x", b"evil"), (f"{ORDER_ID}/a", b"a"))
    with pytest.raises(UnsafeName, match="outside"):
        await planet.orders.download(ORDER_ID, tmp_path / "data")
    assert (tmp_path / "data" / ORDER_ID / "a").read_bytes() == b"a"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


async def test_a_folder_that_cannot_exist(planet: Planet) -> None:
    """It is an InvalidRequest before anything is sent, in each method that writes files."""
    folders: list[Any] = ["a\0b", Path("a\0b"), "a\ud800b", b"bytes", 5, None, ["a"]]
    for to in folders:
        with case(to):
            with pytest.raises(InvalidRequest, match="to must be"):
                await planet.orders.download(ORDER_ID, to)
            with pytest.raises(InvalidRequest, match="to must be"):
                planet.orders.run([], to)
            with pytest.raises(InvalidRequest, match="to must be"):
                await planet.reports.download("1", to)


async def test_a_folder_may_be_any_path_like_object(tmp_path: Path) -> None:
    """Such as an `os.DirEntry`."""
    (tmp_path / "data").mkdir()
    _, planet = described((f"{ORDER_ID}/a", b"a"))
    with os.scandir(tmp_path) as entries:
        [entry] = entries
    assert await planet.orders.download(ORDER_ID, entry) == [tmp_path / "data" / ORDER_ID / "a"]  # type: ignore[arg-type]
