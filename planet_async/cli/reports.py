"""The commands `planet-async reports`."""

from typing import Annotated

import typer

from planet_async import Report
from planet_async.cli.input import id_argument
from planet_async.cli.options import HERE, AnyPageSize, Folder, Limit, Overwrite, choice, day_option, option
from planet_async.cli.output import TABLE, Format, Formats, View
from planet_async.cli.runner import download_files, named, show_list, show_one

VIEW = View[Report](
    "reports",
    columns={
        "id": "report_id",
        "from": "data_date_start",
        "to": "data_date_end",
        "cadence": "cadence",
        "rows": "num_rows",
        "type": "report_type",
    },
    title=lambda report: f"report {report.report_id}",
    facts={
        "from": "data_date_start",
        "to": "data_date_end",
        "type": "report_type",
        "cadence": "cadence",
        "organization": lambda report: report.org_id and str(report.org_id),  # an id has no thousands
        "plan": lambda report: report.plan_id and str(report.plan_id),
        "status": "status",
        "rows": "num_rows",
        "parts": lambda report: len(report.contents),
    },
)
ReportId = Annotated[str, id_argument("a report")]


def list_(
    context: typer.Context,
    *,
    org_id: Annotated[
        int | None, typer.Option(min=1, metavar="ID", help="Of this organization instead of the key's.")
    ] = None,
    plan_id: Annotated[int | None, typer.Option(min=1, metavar="ID", help="Of this plan.")] = None,
    report_type: Annotated[str | None, option("TYPE", "detailed, summary, ...")] = None,
    cadence: Annotated[str | None, choice("CADENCE", "Made ", "daily", "monthly")] = None,
    start: Annotated[
        str | None, day_option("From this day on, in UTC: 2026-05-01, or 7d for a week ago.")
    ] = None,
    end: Annotated[str | None, day_option("Up to this day, inclusive.")] = None,
    after: Annotated[str | None, option("ID", "Start after the report with this id.")] = None,
    offset: Annotated[int | None, typer.Option(min=0, metavar="N", help="Skip the first N.")] = None,
    limit: Limit = None,
    page_size: AnyPageSize = None,
    form: Formats = TABLE,
) -> None:
    """List usage reports; the key must be an administrator's.

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
        VIEW,
        limit=limit,
        form=form,
    )


def get(context: typer.Context, report_id: ReportId, form: Format = TABLE) -> None:
    """Show a report.

    [dim]planet-async reports get 739389001 --json | jq .num_rows[/]
    """
    show_one(context, lambda planet: planet.reports.get(report_id), VIEW, form=form)


def download(
    context: typer.Context,
    report_id: ReportId,
    to: Folder = HERE,
    overwrite: Overwrite = False,
    form: Format = TABLE,
) -> None:
    """Download all parts of a report.

    [dim]planet-async reports download 739389001 --to usage[/]
    """
    download_files(
        context,
        report_id,
        lambda planet, progress: planet.reports.download(
            report_id, to, overwrite=overwrite, progress=progress
        ),
        form=form,
    )


COMMANDS = named(list_, get, download)
