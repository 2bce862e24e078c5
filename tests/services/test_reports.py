"""Reports: each method against the simulator, or against recorded responses."""

import contextlib
import csv
import gzip
import io
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planet_async import (
    ApiKey,
    BadRequest,
    Config,
    ConnectionLost,
    DecodeError,
    DownloadError,
    Forbidden,
    InvalidRequest,
    NotFound,
    Planet,
    PlanetError,
    Progress,
    Report,
    Request,
    Response,
)
from planet_async.downloads.remote_file import safe_path
from planet_async.http import NO_HEADERS
from planet_async.layers.compression import Gunzip
from planet_async.models.codec import decode
from planet_async.services.reports import file_name
from planet_async.simulator import Fault, Limits, ReportPlan, Simulator
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

PAGE = msgspec.json.decode((Path(__file__).parents[1] / "samples/reports/page.json").read_bytes())
BASE = "https://api.planet.com/reports/v1"
CSV = b'date,note\r\n2026-05-01,one\r\n2026-05-02,"two\nlines, and a \xe2\x82\xac"\r\n'
PACKED = gzip.compress(CSV, mtime=0)
ROWS = [
    {"date": "2026-05-01", "note": "one"},
    {"date": "2026-05-02", "note": "two\nlines, and a €"},
]


def simulated(**plan: Any) -> tuple[Simulator, Planet]:
    clock = FakeClock()
    simulator = Simulator(clock=clock, limits=Limits.unlimited(), report_plan=ReportPlan(**plan))
    return simulator, Planet(Config(), credentials=ApiKey("any"), transport=simulator, clock=clock)


def replying(*replies: object) -> tuple[FakeTransport, Planet]:
    transport = FakeTransport(replies)  # type: ignore[arg-type]
    return transport, Planet(
        Config(rates={}), credentials=ApiKey("any"), transport=transport, clock=FakeClock()
    )


def report(*names: str, **fields: Any) -> Report:
    """Compose a report with one part for each name."""
    contents = [f"{BASE}/77/{name}" for name in names]
    return decode(Report, msgspec.json.encode({"report_id": "77", "contents": contents, **fields}))


def part(body: bytes = CSV, name: str = "", headers: Mapping[str, str] = NO_HEADERS) -> Response:
    called = {"content-disposition": f'attachment; filename="{name}"'} if name else {}
    return reply(body=body, headers={"content-type": "text/csv", **called, **headers})


async def content(simulator: Simulator, found: Report) -> bytes:
    """Read a part past the faults."""
    simulator.faults.clear()
    planet = Planet(credentials=ApiKey("any"), transport=simulator, clock=simulator.clock)
    async with planet.reports.open(found) as file:
        return b"".join([chunk async for chunk in file])


async def monthly(planet: Planet) -> Report:
    found = await planet.reports.list(report_type="detailed", cadence="monthly").first()
    assert found is not None
    return found


# --- the list


async def test_list_follows_the_pages(planet: Planet, simulator: Simulator) -> None:
    """All reports come, in order and once, however the pages fall."""
    found = await planet.reports.list(report_type="detailed", cadence="daily", page_size=7).collect()
    assert len(found) == 40
    assert [report.data_date_start for report in found] == sorted(
        report.data_date_start for report in found if report.data_date_start
    )
    assert simulator.requests["reports.list"] == 6
    assert (found[0].org_id, found[0].plan_id, found[0].num_rows) == (31743, 5120, 25)


@pytest.mark.parametrize("key", ["_next", "next"])
async def test_both_names_of_the_next_page_are_followed(key: str) -> None:
    """The guide says `_next`, the reference `next`; where there are both, `_next` counts."""
    links: dict[str, str] = {key: f"{BASE}/?after=90210"}
    if key == "_next":
        links["next"] = f"{BASE}/?after=wrong"
    transport, planet = replying(reply(json={**PAGE, "_links": links}), reply(json={"reports": []}))
    found = await planet.reports.list().collect()
    assert [report.report_id for report in found] == ["90210", "8c1f6a40-0d62-4c38-9b0a-55c1f3a2d7e9"]
    assert transport.requests[1].url == links[key]


async def test_every_filter_is_sent_by_its_own_name() -> None:
    """Dates may be dates or texts, and go as days; what is not given is not sent."""
    transport, planet = replying(reply(json={"reports": []}), reply(json={"reports": []}))
    await planet.reports.list(
        org_id=31743, plan_id=5, report_type="summary", cadence="monthly", start=date(2026, 5, 1),
        end="2026-05-31", page_size=9, after=118203, offset=0,
    ).collect()  # fmt: skip
    assert transport.requests[0].url == f"{BASE}/"
    assert dict(transport.requests[0].params) == {
        "org_id": "31743",
        "plan_id": "5",
        "report_type": "summary",
        "cadence": "monthly",
        "start": "2026-05-01",
        "end": "2026-05-31",
        "page_size": "9",
        "after": "118203",
        "offset": "0",
    }
    await planet.reports.list().collect()
    assert transport.requests[1].params == ()


async def test_the_days_are_inclusive(planet: Planet) -> None:
    """From a day to the same day, the reports of that day are listed."""
    found = await planet.reports.list(start="2025-12-25", end=date(2025, 12, 25)).collect()
    assert {report.data_date_end for report in found} == {date(2025, 12, 25)}


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"page_size": 0}, "page_size must be at least 1"),
        ({"org_id": 0}, "org_id must be at least 1"),
        ({"plan_id": -5}, "plan_id must be at least 1"),
        ({"offset": -1}, "offset must be at least 0"),
        ({"after": "../x"}, "no report id"),
        ({"after": ""}, "no report id"),
        ({"start": "May"}, "start: 'May' is no day like 2026-05-01"),
        ({"end": 5}, "end: 5 is no day"),
        ({"start": datetime(2026, 5, 1, tzinfo=UTC)}, "start: a day was expected, not a time"),
        ({"start": datetime(2026, 5, 1)}, "start: a day was expected, not a time"),  # noqa: DTZ001 - the point
        ({"start": "2026-05-02", "end": "2026-05-01"}, r"the end \(2026-05-01\) is before the start"),
    ],
)
async def test_a_wrong_filter_is_refused_first(filters: dict[str, Any], says: str) -> None:
    """Nothing that cannot be right is sent."""
    transport, planet = replying()
    with pytest.raises(InvalidRequest, match=says):
        planet.reports.list(**filters)
    assert transport.requests == []


async def test_a_filter_that_does_not_exist_is_refused(planet: Planet) -> None:
    """It is named."""
    with pytest.raises(InvalidRequest, match="no filter 'colour'"):
        planet.reports.list(colour="red")  # type: ignore[call-arg]


async def test_a_refusal_has_the_message_of_the_api(planet: Planet) -> None:
    """The reason, without the space that it comes with."""
    with pytest.raises(BadRequest, match=r"reports\.list: 400 Invalid Type \["):
        await planet.reports.list(report_type="weekly").first()


async def test_a_403_says_whose_key_is_needed() -> None:
    """Reports are for administrators, which the API does not say."""
    _, planet = simulated(administrator=False)
    with pytest.raises(Forbidden, match=r"403 Forbidden .*an Organization Administrator's key is needed"):
        await planet.reports.list().first()


# --- models


async def test_a_report_keeps_all_that_came() -> None:
    """What has no field here is in `raw`, and a report of another kind is one too."""
    _, planet = replying(reply(json=PAGE))
    first, second = list(await anext(planet.reports.list().pages()))
    assert [first.raw, second.raw] == PAGE["reports"]
    assert (first.data_date_start, first.data_date_end) == (date(2026, 3, 1), date(2026, 3, 31))
    assert (first.num_rows, first.has_footprint, first.status) == (1500, False, None)
    assert (second.status, second.line_item_id, second.contents) == ("in progress", 12, ())
    assert "90210/1" not in repr(first)


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"data_date_start": "2026-05-01T00:00:00Z"}, "data_date_start", date(2026, 5, 1)),
        ({"data_date_start": "May"}, "data_date_start", None),
        ({"data_date_start": 5}, "data_date_start", None),
        ({"contents": None}, "contents", ()),
        ({"num_rows": "many"}, "num_rows", None),
    ],
)
def test_odd_fields_cost_nothing_else(fields: dict[str, Any], name: str, value: object) -> None:
    """A field of another kind than documented counts as not given."""
    found = decode(Report, msgspec.json.encode({"report_id": "77", "cadence": "daily", **fields}))
    assert getattr(found, name) == value
    assert (found.report_id, found.cadence) == ("77", "daily")
    assert found.raw[name] == fields[name]


def test_a_report_without_an_id_is_none() -> None:
    """The error says what is missing, and what came."""
    with pytest.raises(DecodeError, match=r"`\$\.report_id` is missing \(the object has: cadence\)"):
        decode(Report, b'{"cadence": "daily"}')


@pytest.mark.no_cover
@settings(max_examples=50, deadline=None)
@given(
    st.fixed_dictionaries(
        {"report_id": st.text(min_size=1)},
        optional={
            "data_date_start": st.dates().map(date.isoformat),
            "data_date_end": st.none() | st.dates().map(date.isoformat),
            "num_rows": st.integers(0, 10**9),
            "contents": st.lists(st.text()),
            "status": st.text(),
            "later": st.dictionaries(st.text(), st.integers(-5, 5)),
        },
    )
)
def test_decoded_encoded_decoded(body: dict[str, Any]) -> None:
    """A report survives the way there and back, whatever is in it."""
    found = decode(Report, msgspec.json.encode(body))
    again = decode(Report, msgspec.json.encode(found.raw))
    assert found.raw == again.raw == body
    assert found == again
    assert found.contents == again.contents == tuple(body.get("contents", ()))


# --- one report


async def test_get(planet: Planet) -> None:
    """By its id, as text or number."""
    listed = await monthly(planet)
    assert await planet.reports.get(listed.report_id) == listed
    assert await planet.reports.get(int(listed.report_id)) == listed
    with pytest.raises(NotFound, match=r"reports\.get: 404 Not Found"):
        await planet.reports.get("5")


@pytest.mark.parametrize("bad", ["", "a/b", "..", "1?x=2", "1 2", "é"])
async def test_an_id_that_is_none_is_refused_first(tmp_path: Path, bad: str) -> None:
    """No wrong id reaches the network, where it would become another path."""
    transport, planet = replying()
    with pytest.raises(InvalidRequest, match="no report id"):
        await planet.reports.get(bad)
    with pytest.raises(InvalidRequest, match="no report id"):
        await planet.reports.download(bad, tmp_path)
    with pytest.raises(InvalidRequest, match="no report id"):
        planet.reports.rows(bad)
    with pytest.raises(InvalidRequest, match="no report id"):
        async with planet.reports.open(bad):
            pass
    assert transport.requests == []


# --- download


@pytest.mark.parametrize("packed", [False, True])
async def test_every_part_is_downloaded(tmp_path: Path, packed: bool) -> None:
    """All parts, in order, under the server's names; with what the service sent in them."""
    simulator, planet = simulated(rows=25, part_rows=10, packed=packed)
    found = await monthly(planet)
    paths = await planet.reports.download(found, tmp_path / "new")
    ending = ".csv.gz" if packed else ".csv"
    stem = "5120_detailed_2025-12-01_2025-12-31"
    assert [path.name for path in paths] == [f"{stem}_{number}{ending}" for number in (1, 2, 3)]
    texts = [gzip.decompress(path.read_bytes()) if packed else path.read_bytes() for path in paths]
    rows = [row for text in texts for row in csv.DictReader(text.decode().splitlines())]
    assert len(rows) == 25
    assert rows == [row for number in range(3) async for row in planet.reports.rows(found, number)]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)
    assert simulator.open_responses == 0


async def test_download_by_id_with_progress(tmp_path: Path) -> None:
    """An id is looked up; progress ends with the whole of each part."""
    _, planet = simulated(rows=25, part_rows=10)
    found = await monthly(planet)
    seen: list[Progress] = []
    paths = await planet.reports.download(int(found.report_id), str(tmp_path), progress=seen.append)
    last = {progress.name: progress for progress in seen}
    assert {path.name for path in paths} == last.keys()
    for path in paths:
        assert last[path.name].received == last[path.name].size == path.stat().st_size


async def test_the_links_of_the_server_are_followed(tmp_path: Path) -> None:
    """Whatever path they have; relative ones too, and elsewhere without the credential."""
    links = ["https://storage.example/one?signature=5", "/reports/v1/other/two", "three"]
    found = decode(Report, msgspec.json.encode({"report_id": "77", "contents": links}))
    transport, planet = replying(part(), part(), part())
    await planet.reports.download(found, tmp_path, concurrency=1)
    assert {request.url: "authorization" in request.headers for request in transport.requests} == {
        links[0]: False,
        "https://api.planet.com/reports/v1/other/two": True,
        f"{BASE}/three": True,
    }
    assert {request.headers["accept"] for request in transport.requests} == {"*/*"}
    assert all(request.stream for request in transport.requests)


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"content-disposition": 'attachment; filename="usage may.csv"'}, "usage may.csv"),
        ({"content-disposition": "attachment; filename=usage.csv"}, "usage.csv"),
        ({"content-disposition": "attachment; filename*=UTF-8''gebrauch%20%C3%BC.csv"}, "gebrauch ü.csv"),
        ({"content-disposition": "attachment"}, "77_0.csv"),
        ({}, "77_0.csv"),
        ({"content-disposition": 'attachment; filename="../../evil.csv"'}, "77_0.csv"),
        ({"content-disposition": 'attachment; filename="/etc/passwd"'}, "77_0.csv"),
        ({"content-disposition": 'attachment; filename="a/b.csv"'}, "77_0.csv"),
        ({"content-disposition": 'attachment; filename="a\\b.csv"'}, "77_0.csv"),
        ({"content-disposition": 'attachment; filename=".bashrc"'}, "77_0.csv"),
        ({"content-disposition": "attachment; filename*=UTF-8''a%00b"}, "77_0.csv"),
        ({"content-disposition": f'attachment; filename="{"x" * 201}"'}, "77_0.csv"),
        ({"content-type": "application/gzip"}, "77_0.csv.gz"),
        ({"content-type": "application/zip; x=y"}, "77_0.zip"),
        ({"content-type": "Application/JSON"}, "77_0.json"),
        ({"content-type": "application/x-new"}, "77_0"),
        ({"content-encoding": "gzip"}, "77_0.csv.gz"),
        ({"content-encoding": "gzip", "content-disposition": 'x; filename="a.csv.gz"'}, "a.csv.gz"),
    ],
)
async def test_what_a_file_is_called(tmp_path: Path, headers: dict[str, str], name: str) -> None:
    """By the server where that is safe, else by the report and the kind of content."""
    _, planet = replying(part(headers=headers))
    assert await planet.reports.download(report("1"), tmp_path) == [tmp_path / name]
    assert (tmp_path / name).read_bytes() == CSV
    assert [path.name for path in tmp_path.rglob("*")] == [name]


@pytest.mark.no_cover
@given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n")))
def test_no_header_leads_out_of_the_folder(value: str) -> None:
    """Whatever a server says, the file lands right in the folder, under a name that shows."""
    for disposition in (value, f'attachment; filename="{value}"', f"attachment; filename*=UTF-8''{value}"):
        name = file_name(report("1"), 0, Response(200, {"content-disposition": disposition}))
        assert safe_path(Path("to"), name).parent == Path("to")
        assert not name.startswith(".")
        assert len(name.encode()) <= 203


async def test_parts_that_are_called_alike_do_not_meet(tmp_path: Path) -> None:
    """Each keeps its content, also where names differ by case only, or one is the part of another."""
    names = {"1": "usage.csv", "2": "usage.csv", "3": "USAGE.csv", "4": "usage.csv.part"}
    contents = {number: f"a\r\n{number}\r\n".encode() for number in names}
    transport = FakeTransport(lambda request: part(contents[request.url[-1]], names[request.url[-1]]))
    planet = Planet(Config(rates={}), credentials=ApiKey("any"), transport=transport, clock=FakeClock())
    paths = await planet.reports.download(report(*names), tmp_path)
    assert [path.read_bytes() for path in paths] == list(contents.values())
    ends = ("", ".part", ".part.ranges")
    assert len({path.name.casefold() + end for path in paths for end in ends}) == len(names) * len(ends)
    assert transport.open_responses == 0


async def test_a_report_may_be_downloaded_twice(tmp_path: Path) -> None:
    """Files that are there and right are kept, however they are requested again; others are an error."""
    simulator, planet = simulated(rows=25, part_rows=10)
    found = await monthly(planet)
    paths = await planet.reports.download(found, tmp_path)
    before = {path: (path.stat().st_ino, path.read_bytes()) for path in paths}
    for options in ({}, {"overwrite": True}, {"concurrency": 1}):
        assert await planet.reports.download(found.report_id, tmp_path, **options) == paths
    assert {path: (path.stat().st_ino, path.read_bytes()) for path in paths} == before
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    size = paths[1].stat().st_size
    paths[1].write_bytes(b"x" * size)
    with pytest.raises(DownloadError, match="overwrite=True"):
        await planet.reports.download(found, tmp_path)
    assert await planet.reports.download(found, tmp_path, overwrite=True) == paths
    assert {path: path.read_bytes() for path in paths} == {path: body for path, (_, body) in before.items()}
    assert simulator.open_responses == 0


async def test_a_file_in_the_way_is_an_error_unless_overwrite(tmp_path: Path) -> None:
    """There is no checksum to know it by."""
    (tmp_path / "usage.csv").write_text("mine")
    transport, planet = replying(part(name="usage.csv"), part(name="usage.csv"))
    with pytest.raises(DownloadError, match=r"usage\.csv exists.*overwrite=True"):
        await planet.reports.download(report("1"), tmp_path)
    assert (tmp_path / "usage.csv").read_text() == "mine"
    await planet.reports.download(report("1"), tmp_path, overwrite=True)
    assert (tmp_path / "usage.csv").read_bytes() == CSV
    assert transport.open_responses == 0


async def test_what_an_earlier_try_left_is_not_mixed_in(tmp_path: Path) -> None:
    """Without a checksum it cannot be known whether it belongs to this report."""
    (tmp_path / "usage.csv.part").write_bytes(b"another report")
    _, planet = replying(part(name="usage.csv"))
    (path,) = await planet.reports.download(report("1"), tmp_path)
    assert path.read_bytes() == CSV


async def test_all_parts_are_tried_before_an_error(tmp_path: Path) -> None:
    """The others are there; the error tells of each that is not."""
    replies = {"1": reply(404), "2": part(name="two.csv"), "3": reply(404)}
    transport = FakeTransport(lambda request: replies[request.url[-1]])
    planet = Planet(Config(rates={}), credentials=ApiKey("any"), transport=transport, clock=FakeClock())
    with pytest.raises(NotFound) as caught:
        await planet.reports.download(report("1", "2", "3"), tmp_path)
    assert len(caught.value.__notes__) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["two.csv"]


async def test_a_part_that_breaks_off_is_fetched_again(tmp_path: Path) -> None:
    """A cut connection costs the caller nothing; the file is whole."""
    simulator, planet = simulated(rows=25)
    simulator.faults.add(Fault(operation="reports.download", cut=300, times=2))
    found = await monthly(planet)
    (path,) = await planet.reports.download(found, tmp_path)
    assert len(path.read_text().splitlines()) == 26
    assert simulator.requests["reports.download"] == 3
    assert simulator.open_responses == 0


async def test_concurrency_is_kept(tmp_path: Path) -> None:
    """No more parts are open at once than requested; and at least one must be."""
    inside = most = 0

    class Counting:
        async def send(self, request: Request) -> Response:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await anyio.lowlevel.checkpoint()

            async def close() -> None:
                nonlocal inside
                inside -= 1

            return Response(200, {"content-type": "text/csv"}, CSV, close=close)

        async def aclose(self) -> None: ...

    planet = Planet(Config(rates={}), credentials=ApiKey("any"), transport=Counting(), clock=FakeClock())
    await planet.reports.download(report(*"123456"), tmp_path, concurrency=3)
    assert most == 3
    with pytest.raises(InvalidRequest, match="concurrency must be at least 1"):
        await planet.reports.download(report("1"), tmp_path, concurrency=0)


async def test_a_report_without_contents_is_looked_up(tmp_path: Path) -> None:
    """One made on demand may have been unfinished when it was last seen."""
    transport, planet = replying(
        reply(json={"report_id": "77", "contents": [f"{BASE}/77/1"]}), part(name="a.csv")
    )
    assert await planet.reports.download(report(status="running"), tmp_path) == [tmp_path / "a.csv"]
    assert transport.requests[0].url == f"{BASE}/77"


async def test_a_report_that_stays_without_contents_is_an_error(tmp_path: Path) -> None:
    """Nothing is not downloaded in silence."""
    _, planet = replying(reply(json={"report_id": "77", "status": "running"}))
    with pytest.raises(DownloadError, match=r"report 77 has no part 0: it has 0.*Its status is running\."):
        await planet.reports.download(report(), tmp_path)


async def test_a_report_without_rows_has_nothing_to_download(tmp_path: Path) -> None:
    """That is no error, and costs no request."""
    transport, planet = replying()
    assert await planet.reports.download(report(num_rows=0), tmp_path) == []
    assert transport.requests == []


# --- streams and rows


async def test_open_yields_the_bytes_as_they_come() -> None:
    """With name and size; the connection is given back on the way out, also early."""
    transport, planet = replying(part(name="a.csv", headers={"content-length": "5"}), part())
    async with planet.reports.open(report("1", "2"), part=1) as file:
        assert (file.name, file.size) == ("a.csv", 5)
        assert b"".join([chunk async for chunk in file]) == CSV
    assert transport.requests[0].url == f"{BASE}/77/2"
    with contextlib.suppress(ZeroDivisionError):
        async with planet.reports.open(report("1")):
            raise ZeroDivisionError
    assert transport.open_responses == 0


@pytest.mark.parametrize(
    ("number", "error", "says"),
    [
        (2, DownloadError, "has no part 2: it has 2, counted from 0"),
        (-1, InvalidRequest, "part must be at least 0, not -1"),
    ],
)
async def test_a_part_that_does_not_exist(number: int, error: type[PlanetError], says: str) -> None:
    """The error says how many there are; nothing is sent."""
    transport, planet = replying()
    with pytest.raises(error, match=says):
        async with planet.reports.open(report("1", "2"), number):
            pass
    with pytest.raises(error, match=says):
        await anext(planet.reports.rows(report("1", "2"), number))
    assert transport.requests == []


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("body", [CSV, PACKED, b"\xef\xbb\xbf" + CSV, CSV.rstrip()])
async def test_rows(size: int, body: bytes) -> None:
    """Mappings by column, however the bytes are cut up and whether or not they are packed."""
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    transport, planet = replying(reply(chunks=chunks))
    assert [row async for row in planet.reports.rows(report("1"))] == ROWS
    assert transport.open_responses == 0


async def test_rows_by_id() -> None:
    """The report is requested with the first row."""
    transport, planet = replying(reply(json={"report_id": "77", "contents": [f"{BASE}/77/1"]}), part())
    rows = planet.reports.rows(77)
    assert transport.requests == []
    assert [row async for row in rows] == ROWS


@pytest.mark.parametrize("packed", [False, True])
async def test_a_break_releases_the_connection(packed: bool) -> None:
    """Leaving the loop is enough."""
    lines = b"a\r\n" + b"1\r\n" * 50_000
    body = gzip.compress(lines, 0) if packed else lines
    transport, planet = replying(reply(chunks=[body[at : at + 1000] for at in range(0, len(body), 1000)]))
    rows = planet.reports.rows(report("1"))
    async for row in rows:
        assert row == {"a": "1"}
        break
    del rows
    for _ in range(20):
        await anyio.lowlevel.checkpoint()
    assert transport.open_responses == 0


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (PACKED[:-9], "the compressed body is damaged: it ends early"),
        (PACKED[:-8] + bytes(8), "the compressed body is damaged: .*incorrect data check"),
        (PACKED + b"rubbish", "the compressed body is damaged: .*incorrect header check"),
        (b"a,b\r\n1\r\n", "row 2 .*has 1 cells, and the header 2"),
        (b"PK\x03\x04\x00\xff\xfe", "not UTF-8|row 1"),
    ],
)
async def test_what_is_no_csv(body: bytes, says: str) -> None:
    """A DecodeError says what came instead, and the connection is given back."""
    transport, planet = replying(reply(body=body))
    with pytest.raises(DecodeError, match=says):
        [row async for row in planet.reports.rows(report("1"))]
    assert transport.open_responses == 0


async def test_rows_that_break_off_are_an_error() -> None:
    """No row is invented: what came before is given, then the error."""
    simulator, planet = simulated(rows=1000)
    found = await monthly(planet)
    simulator.faults.add(Fault(operation="reports.download", cut=20_000))
    rows: list[Mapping[str, str]] = []

    async def read() -> None:
        async for row in planet.reports.rows(found):
            rows.append(row)  # noqa: PERF401 - kept when it fails

    with pytest.raises(ConnectionLost):
        await read()
    assert simulator.open_responses == 0
    whole = [
        row async for row in replying(part(await content(simulator, found)))[1].reports.rows(report("1"))
    ]
    assert 0 < len(rows) < len(whole)
    assert rows == whole[: len(rows)]


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=30), st.integers(0, 3))
def test_unpacking_does_not_depend_on_the_chunks(text: bytes, cuts: list[int], members: int) -> None:
    """Packed, in members with padding between, or not at all, and cut anywhere: it is the same text."""
    body = b"".join(gzip.compress(text) + b"\0" * number for number in range(members)) if members else text
    if not members and body.startswith(b"\x1f\x8b"):
        return  # no text begins so
    source, gunzip, found = io.BytesIO(body), Gunzip(), b""
    for size in [*cuts, -1]:
        found += b"".join(gunzip.feed(source.read(size)))
    assert found + gunzip.end() == text * max(members, 1)


async def test_a_small_chunk_that_holds_a_lot_comes_in_pieces() -> None:
    """A megabyte of zeros does not land in memory at once."""
    gunzip = Gunzip()
    pieces = list(gunzip.feed(gzip.compress(b"\0" * (1 << 20))))
    assert max(map(len, pieces)) <= 1 << 16
    assert sum(map(len, pieces)) + len(gunzip.end()) == 1 << 20


async def test_other_endpoints_are_reached_by_request(planet: Planet) -> None:
    """What has no method here shares the pace, retries and errors of the reports."""
    with pytest.raises(NotFound):
        await planet.request("GET", "/reports/v1/tiles/usage/2026")
