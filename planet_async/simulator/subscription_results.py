"""The results of a subscription: what there is of them at a moment, as JSON and as CSV."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec
from attrs import frozen

from planet_async.simulator.subscription_book import Subscription
from planet_async.simulator.subscription_checks import is_catalog
from planet_async.simulator.times import after, render

_ENDED = {"completed": "success", "failed": "failed", "cancelled": "cancelled"}
_STEPS = ("created", "queued", "processing")
_NO_VALUE = 3  # each third value of a variable is missing, as under clouds
_CSV = ("id", "item_datetime", "status", "created", "updated", "errors", "item_id")
_CATALOG_CSV = (*_CSV, "outputs")
_VARIABLE_CSV = (*_CSV, "local_solar_time", "band-1.mean", "band-1.valid_percent", "source_id")


@frozen
class Result:
    """One result as it stands; `completed` is the moment it succeeded or failed."""

    number: int
    subscription: Subscription
    status: str
    created: int
    updated: int
    completed: int | None

    @property
    def item_datetime(self) -> int:
        """When the image was taken, or the value measured: one a day from the start on."""
        return after(self.subscription.moment("start_time") or 0, self.number * 86_400.0)

    @property
    def item_id(self) -> str:
        """The name of the item."""
        return f"{render(self.item_datetime)[:10].replace('-', '')}_{self.number:06d}_00_2414"

    @property
    def id(self) -> str:
        """The id, always the same one."""
        return str(uuid5(NAMESPACE_URL, f"{self.subscription.id}/{self.number}"))

    @property
    def errors(self) -> Mapping[str, Any]:
        """What went wrong."""
        return {"message": 'It "failed", as planned'} if self.status == "failed" else {}

    @property
    def outputs(self) -> list[str]:
        """The files."""
        if self.status != "success" or not is_catalog(self.subscription.body["source"]):
            return []
        folder = f"{self.subscription.id}/{self.item_id}"
        assets = self.subscription.parameters["asset_types"]
        return [
            f"{folder}/{self.item_id}_metadata.json",
            *(f"{folder}/{self.item_id}_{asset}.tif" for asset in assets),
        ]


def results_of(subscription: Subscription, now: int) -> Iterator[Result]:
    """Yield the results that there are, the oldest first."""
    plan, ran = subscription.plan, subscription.has_run(now)
    third = plan.result_seconds / len(_STEPS)
    for number in range(plan.results if subscription.runs else 0):
        # No two in one microsecond: a page begins after a moment.
        begin = after(number, number * plan.result_seconds)
        if begin > ran:
            return
        steps = [after(begin, step * third) for step in range(len(_STEPS) + 1)]
        step = max(index for index, moment in enumerate(steps) if moment <= ran)
        created, updated = _moment(subscription, begin), _moment(subscription, steps[step])
        if step == len(_STEPS):
            status = "failed" if number >= plan.results - plan.failed else "success"
        elif (status := _ENDED.get(subscription.status, _STEPS[step])) != _STEPS[step]:
            updated = subscription.updated
        done = updated if status in {"success", "failed"} else None
        yield Result(number, subscription, status, created, updated, done)


def _moment(subscription: Subscription, ran: int) -> int:
    """Give the moment when it had run that long; it may have been suspended in between."""
    began, before = next(run for run in reversed(subscription.runs) if run[1] <= ran)
    return began + ran - before


def shown_result(result: Result) -> dict[str, Any]:
    """Describe a result as JSON [H, recorded]."""
    properties: dict[str, Any] = {"item_id": result.item_id}
    if is_catalog(result.subscription.body["source"]):
        properties["item_types"] = result.subscription.parameters["item_types"]
    found = {
        "id": result.id,
        "status": result.status,
        "properties": properties,
        "created": render(result.created),
        "updated": render(result.updated),
        "errors": result.errors,
        "outputs": result.outputs,
    }
    return found if result.completed is None else {**found, "completed": render(result.completed)}


def csv_of(subscription: Subscription, results: Iterator[Result]) -> bytes:
    """Write results as CSV: columns by product, the status in upper case [H, recorded]."""
    catalog = is_catalog(subscription.body["source"])
    text = io.StringIO()
    writer = csv.DictWriter(text, _CATALOG_CSV if catalog else _VARIABLE_CSV, lineterminator="\n")
    writer.writeheader()
    for result in results:
        row = {
            "id": result.id,
            "item_datetime": render(result.item_datetime),
            "status": result.status.upper(),
            "created": render(result.created),
            "updated": render(result.updated),
            "errors": msgspec.json.encode(result.errors).decode(),
            "item_id": result.item_id,
        }
        if catalog:
            # How a list of files is written is not known: one a line [L].
            row["outputs"] = "\n".join(result.outputs)
        else:
            missing = result.number % _NO_VALUE == _NO_VALUE - 1
            row["local_solar_time"] = render(result.item_datetime)[:16]
            row["band-1.mean"] = "" if missing else f"{270 + result.number % 20}.5"
            row["band-1.valid_percent"] = "0" if missing else "100"
            row["source_id"] = str(subscription.parameters["id"])
        writer.writerow(row)
    return text.getvalue().encode()
