"""Requests and ids: from files of one or many, JSON Lines, arrays, standard input and the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.commanded import Ran, Run
from planet_async.simulator import Simulator

UNKNOWN = "4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11"
RequestFile = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("base_url")


def body(name: str, **fields: Any) -> dict[str, Any]:
    product = {"item_ids": ["20221221_084022_18_2414"], "item_type": "PSScene", "product_bundle": "visual"}
    return {"name": name, "products": [product], **fields}


ONE, TWO = body("one"), body("two")


@pytest.mark.parametrize(
    "text",
    [
        f"{json.dumps(ONE)}\n{json.dumps(TWO)}\n",
        f"\n{json.dumps(ONE)}\r\n\r\n{json.dumps(TWO)}",
        f"{json.dumps(ONE, indent=2)}\n{json.dumps(TWO, indent=2)}",
        f"{json.dumps(ONE)}{json.dumps(TWO)}",
        f"\x1e{json.dumps(ONE)}\n\x1e{json.dumps(TWO)}\n",
        json.dumps([ONE, TWO]),
        json.dumps([ONE, TWO], indent=2),
        f"[{json.dumps(ONE)}]\n[{json.dumps(TWO)}]",
        f"\ufeff[{json.dumps(ONE)},{json.dumps(TWO)}]",
    ],
)
def test_many_requests_in_one_text(text: str, run: Run, tmp_path: Path, simulator: Simulator) -> None:
    """As `jq -c .` writes them, indented, in an array, or as a JSON text sequence; in a file and piped."""
    file = tmp_path / "plan.jsonl"
    file.write_bytes(text.encode())
    for ran in (run("orders", "create", file), run("orders", "create", "-", stdin=text)):
        assert (ran.code, ran.err) == (0, "")
        assert sorted(order["name"] for order in ran.json_lines) == ["one", "two"]
    assert len(simulator.orders) == 4


def test_utf_16(run: Run, tmp_path: Path) -> None:
    """What PowerShell's `>` writes is read too."""
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(ONE), encoding="utf-16")
    assert run("orders", "create", file).json["name"] == "one"


def test_each_wrong_one_has_its_line(run: Run, tmp_path: Path, simulator: Simulator) -> None:
    """Of many requests in a file, each that is wrong is named by its line; nothing is sent; exit code 2."""
    file = tmp_path / "plan.jsonl"
    file.write_text("\n".join(map(json.dumps, (ONE, {"name": 7}, TWO, [3]))))
    ran = run("orders", "create", file)
    assert ran.code == 2
    first, second = ran.err.splitlines()
    assert first.startswith(f"planet-async: {file}:2: $.name: expected a text, got 7")
    assert second.startswith(f"planet-async: {file}:4: $: expected an object, got 3")
    file.write_text(f"{json.dumps(ONE)}\n{{'name'")
    ran = run("orders", "create", file)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "line 2 column 2" in ran.err
    file.write_text(json.dumps([ONE, {"name": 7}], indent=1))
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if text == " {" and n > 2)
    assert f"{file}:{line}: $.name" in run("orders", "create", file).err
    file.write_text("[]")
    ran = run("orders", "create", file)
    assert (ran.code, ran.err) == (2, f"planet-async: {file}: holds no request. Nothing was sent.\n")
    assert not simulator.requests


def test_inline_json(run: Run, simulator: Simulator) -> None:
    """Requests may stand on the command line; what is wrong with one is named by its position."""
    assert len(run("orders", "create", json.dumps([ONE, TWO])).json_lines) == 2
    ran = run("orders", "create", json.dumps(TWO), '{"name": 7}')
    assert ran.code == 2
    assert ran.err.startswith("planet-async: argument 2: $.name: expected a text, got 7")
    assert sorted(order.name for order in simulator.orders.values()) == ["one", "two"]


def test_run_names_the_request_of_each_result(run: Run, tmp_path: Path, request_file: RequestFile) -> None:
    """Each result says in which file and line its request is, also where no order came of it."""
    many = tmp_path / "many.jsonl"
    many.write_text(
        "\n".join(map(json.dumps, (body("good"), body("bad", source_type="moon"), body("fails"))))
    )
    ran = run("orders", "run", request_file("alone"), many, "--to", tmp_path / "data")
    assert ran.code == 1
    assert {(each["name"], each["file"], each["line"], each["id"] is None) for each in ran.json_lines} == {
        ("alone", str(tmp_path / "alone.json"), 1, False),
        ("good", str(many), 1, False),
        ("bad", str(many), 2, True),
        ("fails", str(many), 3, False),
    }
    assert f"planet-async: {many}:2: orders.create: 400" in ran.err
    assert f"planet-async: {many}:3: order " in ran.err
    ran = run("orders", "run", request_file("alone"), json.dumps(body("alone")), "--to", tmp_path / "data")
    assert {each["file"] for each in ran.json_lines} == {str(tmp_path / "alone.json"), "argument 2"}


def place(run: Run, *names: str) -> list[str]:
    return [run("orders", "create", json.dumps(body(name))).json["id"] for name in names]


@pytest.mark.parametrize("form", ["words", "lines", "texts", "objects", "array"])
def test_ids_of_standard_input(form: str, run: Run, tmp_path: Path) -> None:
    """`-` reads ids: as words, as JSON texts, or as the objects that other commands print."""
    ids = place(run, "one", "two")
    stdin = {
        "words": " ".join(ids).upper(),
        "lines": "".join(f"{id_}\r\n" for id_ in [*ids, *ids]),
        "texts": "\n".join(map(json.dumps, ids)),
        "objects": "\n".join(json.dumps({"id": id_, "state": "queued"}) for id_ in ids),
        "array": json.dumps(ids),
    }[form]

    def ids_of(ran: Ran) -> list[str]:
        assert (ran.code, ran.err) == (0, "")
        return sorted(each["id"] for each in ran.json_lines)

    assert ids_of(run("orders", "wait", "-", stdin=stdin)) == sorted(ids)
    assert ids_of(run("orders", "download", "-", "--to", tmp_path, stdin=stdin)) == sorted(ids)
    assert run("orders", "get", "-", stdin=ids[0]).json["id"] == ids[0]


def test_a_list_goes_into_other_commands(run: Run) -> None:
    """`orders list | orders cancel -` needs nothing in between."""
    ids = place(run, "waits", "waits too")
    listed = run("orders", "list", "--state", "queued")
    assert run("orders", "cancel", "-", stdin=listed.out).json["succeeded"] == len(ids)


def test_a_folder_of_requests(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All files of JSON in it, by name; each wrong one is a line; "" is no folder, but a mistake."""
    product = {"item_ids": ["20221221_084022_18_2414"], "item_type": "PSScene", "product_bundle": "visual"}
    folder = tmp_path / "requests"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert "folder without files of JSON" in run("orders", "create", folder).err
    for name, requests in (("b.json", ["b"]), ("a.jsonl", ["a", "c"]), ("notes.txt", ["not this one"])):
        (folder / name).write_text(
            "\n".join(json.dumps({"name": each, "products": [product]}) for each in requests)
        )
    ran = run("orders", "run", folder, "--to", tmp_path)
    found = {each["name"]: (each["file"], each["line"]) for each in ran.json_lines}
    assert found == {
        "a": (f"{folder}/a.jsonl", 1),
        "c": (f"{folder}/a.jsonl", 2),
        "b": (f"{folder}/b.json", 1),
    }
    assert run("orders", "create", "").code == 2
    (folder / "c.json").write_text("{}")
    (folder / "d.json").write_text("nope")
    wrong = run("orders", "create", folder)
    assert (wrong.code, wrong.out) == (2, "")
    assert [line.partition(".json: ")[0][-1] for line in wrong.err.splitlines()] == ["c", "d"]


def test_no_ids_are_nothing_to_do(run: Run, simulator: Simulator) -> None:
    """An empty list cancels nothing, least of all everything; that is said, and is no error."""
    for command in (("orders", "cancel"), ("subscriptions", "suspend"), ("tasking", "cancel")):
        ran = run(*command, "-", stdin="\n")
        assert ran.code == 0
        assert ran.err == "planet-async: standard input holds no ids; nothing is to be done\n"
    assert not simulator.requests


@pytest.mark.parametrize(
    ("args", "stdin", "expected"),
    [
        (("orders", "wait", "-"), "nope", "'nope' is no order id"),
        (("orders", "wait", "-"), '{"id": null}', "standard input:1: there is no id"),
        (("orders", "wait", "-", "-"), UNKNOWN, "can be read only once"),
        (("orders", "get", "-"), f"{UNKNOWN} 5bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11", "expected one id"),
        (("orders", "get", "-"), "", "expected one id"),
        (("subscriptions", "update", "-", "-"), UNKNOWN, "can be read only once"),
        (("tasking", "update", UNKNOWN, "-"), '{"name": "a"}\n{"name": "b"}', "expected one request, got 2"),
        (("reports", "get", "../orders"), "", "is no report id"),
        (("orders", "list", "--created", "2026-01-01T00:00:00"), "", "with its zone"),
        (("orders", "list", "--created-on", "2026-13-01T00:00:00Z"), "", "2026-13-01"),
        (("subscriptions", "results", UNKNOWN, "--created", "yesterday"), "", "yesterday"),
        (("orders", "list", "--state", "runing"), "", "runing"),
        (("tasking", "captures", "--order-id", "nope"), "", "'nope' is no order id"),
        (("subscriptions", "summary", "nope"), "", "'nope' is no subscription id"),
        (("tasking", "pricing", "nope"), "", "'nope' is no order id"),
        (("orders", "download", UNKNOWN, "--to", f"{__file__}/data"), "", "is a file"),
        (("basemaps", "quads", "m", "--bbox", "7,46,8"), "", "west, south, east and north"),
        (("subscriptions", "wait", UNKNOWN, "--state", "runing"), "", "runing"),
        (("quota", "estimate", "--product-id", "1"), "", "expected --aoi-ref or --collection-id"),
        (("reports", "list", "--start", "soon"), "", "soon"),
    ],
)
def test_wrong_input_exits_with_2(
    args: tuple[str, ...], stdin: str, expected: str, *, run: Run, simulator: Simulator
) -> None:
    """What is known to be wrong before anything is sent is exit code 2, with no advice in Python."""
    ran = run(*args, stdin=stdin)
    assert (ran.code, ran.out) == (2, "")
    assert expected in " ".join(ran.err.replace("│", " ").split())
    assert "datetime(" not in ran.err
    assert "Traceback" not in ran.err
    assert not simulator.requests


def test_an_order_with_redacted_secrets_is_not_ordered_again(run: Run, simulator: Simulator) -> None:
    """`orders get ID | orders create -` says which secrets the API has redacted, and sends nothing."""
    keys = {"aws_access_key_id": "AKIA" + "x" * 16, "aws_secret_access_key": "s" * 40}
    s3 = {"amazon_s3": {"bucket": "b", "aws_region": "us-east-1", **keys}}
    [id_] = [run("orders", "create", json.dumps(body("one", delivery=s3))).json["id"]]
    for command in (("orders", "create", "-"), ("orders", "run", "-", "--to", "data")):
        ran = run(*command, stdin=run("orders", "get", id_).out)
        assert ran.code == 2
        assert ran.err.startswith("planet-async: standard input: $.delivery.amazon_s3.aws_access_key_id")
        assert "<REDACTED>" in ran.err
        assert "Nothing was sent" in ran.err
    assert simulator.requests["orders.create"] == 1


def test_orders_are_hosted_by_options(run: Run, simulator: Simulator) -> None:
    """`--hosting` adds to each request what would be written by hand; a wrong one is wrong input."""
    ran = run(
        "orders", "create", json.dumps([ONE, TWO]), "--hosting", "sentinel_hub", "--collection-id", UNKNOWN
    )
    assert ran.code == 0
    assert [order["hosting"] for order in ran.json_lines] == [
        {"sentinel_hub": {"collection_id": UNKNOWN}}
    ] * 2
    requests = dict(simulator.requests)
    assert run("orders", "create", json.dumps(ONE), "--collection-id", UNKNOWN).code == 2
    both = ("--hosting", "sentinel_hub", "--collection-id", UNKNOWN, "--create-configuration")
    assert run("orders", "create", json.dumps(ONE), *both).code == 2
    assert simulator.requests == requests
