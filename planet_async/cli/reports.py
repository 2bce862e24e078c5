"""`reports list`, `get` and `download`."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from planet_async import Planet, Report
from planet_async.cli.output import (
    Json,
    ProgressDisplay,
    clean,
    listing,
    panel,
    print_json,
    stdout,
    wants_json,
)
from planet_async.cli.runner import Folder, Limit, Overwrite, PageSize, show_list, show_one, with_planet

ReportId = Annotated[str, typer.Argument(metavar="ID", help="The id of a report.")]


def list_(
    context: typer.Context,
    *,
    org_id: Annotated[
        int | None, typer.Option(min=1, metavar="ID", help="Of this organization, if not that of the key.")
    ] = None,
    plan_id: Annotated[int | None, typer.Option(min=1, metavar="ID", help="Of this plan.")] = None,
    report_type: Annotated[str | None, typer.Option(metavar="TYPE", help="detailed or summary.")] = None,
    cadence: Annotated[str | None, typer.Option(help="daily or monthly.")] = None,
    start: Annotated[
        str | None, typer.Option(metavar="DAY", help="From this GMT day, such as 2026-05-01.")
    ] = None,
    end: Annotated[str | None, typer.Option(metavar="DAY", help="To this GMT day, and with it.")] = None,
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="Begin with the report behind this one.")
    ] = None,
    offset: Annotated[int | None, typer.Option(min=0, metavar="N", help="Leave out so many.")] = None,
    limit: Limit = None,
    page_size: PageSize = None,
    json: Json = False,
) -> None:
    """List usage reports; the key must be an administrator's. As JSON: one report a line.

    [dim]planet-async reports list --report-type detailed --start 2026-05-01[/]
    """
    show_list(
        context,
        lambda planet: planet.reports.list(
            org_id=org_id,
            plan_id=plan_id,
            report_type=report_type,
            cadence=cadence,
            start=start,
            end=end,
            page_size=page_size,
            after=after,
            offset=offset,
        ),
        _table,
        limit=limit,
        json=json,
    )


def get(context: typer.Context, report_id: ReportId, json: Json = False) -> None:
    """Show a report.

    [dim]planet-async reports get 739389001 | jq .num_rows[/]
    """
    show_one(context, lambda planet: planet.reports.get(report_id), _panel, json=json)


def download(
    context: typer.Context,
    report_id: ReportId,
    to: Folder,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Download all parts of a report.

    [dim]planet-async reports download 739389001 --to usage[/]
    """

    async def work(planet: Planet) -> bool:
        with ProgressDisplay() as board:
            downloading = board.step("Downloading", 1)
            paths = await planet.reports.download(report_id, to, overwrite=overwrite, progress=board.receive)
            downloading.advance(board.received)
        if wants_json(json):
            print_json({"report_id": report_id, "paths": [str(path) for path in paths]})
        else:
            for path in paths:
                stdout().print(Text(clean(path)), soft_wrap=True)
        return True

    with_planet(context, work)


def _table(reports: Sequence[Report]) -> RenderableType:
    rows = [
        (
            clean(report.report_id),
            _text(report.data_date_start),
            _text(report.data_date_end),
            clean(report.report_type),
            clean(report.cadence),
            _count(report.num_rows),
        )
        for report in reports
    ]
    return listing("reports", ("id", "from", "to", "type", "cadence", "rows"), rows, whole=(0, 1, 2))


def _panel(report: Report) -> RenderableType:
    return panel(
        f"report {report.report_id}",
        (
            ("from", _text(report.data_date_start)),
            ("to", _text(report.data_date_end)),
            ("type", report.report_type),
            ("cadence", report.cadence),
            ("organization", _text(report.org_id)),
            ("plan", _text(report.plan_id)),
            ("status", report.status or ""),
            ("rows", _count(report.num_rows)),
            ("parts", f"{len(report.contents):,}"),
        ),
    )


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
