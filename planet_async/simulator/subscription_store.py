"""The subscriptions that the simulator holds, how they move with the time, and their results."""

import csv
import io
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

import msgspec
from attrs import define, field, frozen, validators

from planet_async.simulator.catalog import redacted
from planet_async.simulator.context import Context, after, parse, render
from planet_async.simulator.rules import is_catalog

SUBSCRIPTIONS = "/subscriptions/v1"

FinalStatus = Literal["completed", "failed", "invalid"]

_ACTIVE = frozenset({"preparing", "pending", "running"})
_CANCELLABLE = frozenset({"pending", "running", "failed", "suspended"})  # [H]
_NEXT = {"preparing": "pending", "pending": "running"}
_SHOWN = ("name", "source", "delivery", "hosting", "tools", "notifications")
_FEATURE = [[[7.0, 46.5], [7.1, 46.5], [7.1, 46.6], [7.0, 46.5]]]  # what every reference leads to
# Which types follow from which ids is not documented: a few that were seen [M].
_TYPES = {
    "BIOMASS": "biomass_proxy",
    "LST": "land_surface_temperature",
    "SWC": "soil_water_content",
    "VOD": "vegetation_optical_depth",
}
_STEPS = ("created", "queued", "processing")  # of a result
_ENDED = {"completed": "success", "failed": "failed", "cancelled": "cancelled"}
_NO_VALUE = 3  # each third value of a variable is missing, as under clouds
_CSV = ("id", "item_datetime", "status", "created", "updated", "errors", "item_id")
_CATALOG_CSV = (*_CSV, "outputs")
_VARIABLE_CSV = (*_CSV, "local_solar_time", "band-1.mean", "band-1.valid_percent", "source_id")


@frozen(kw_only=True)
class SubscriptionPlan:
    """The course of a subscription, and its results.

    ``math.inf`` seconds are for ever.  One that ends ``"invalid"`` does so without running.

        Simulator(subscription_plan=SubscriptionPlan(run_seconds=math.inf, results=100))

    Args:
        prepare_seconds: How long it is preparing.
        pending_seconds: How long it is pending.
        run_seconds: How long it runs.
        status: The status in which it ends.
        results: How many results it has.
        result_seconds: The time from the start of one result to that of the next; each takes as long.
        failed: How many of the results fail, the last ones.
        refuse: A message: the subscription is not accepted, with a 400 that says so.
    """

    prepare_seconds: float = field(default=5.0, validator=validators.ge(0.0))
    pending_seconds: float = field(default=5.0, validator=validators.ge(0.0))
    run_seconds: float = field(default=60.0, validator=validators.ge(0.0))
    status: FinalStatus = field(
        default="completed", validator=validators.in_(("completed", "failed", "invalid"))
    )
    results: int = field(default=6, validator=validators.ge(0))
    result_seconds: float = field(default=5.0, validator=validators.ge(0.0))
    failed: int = field(default=0, validator=validators.ge(0))
    refuse: str | None = None

    def seconds(self, status: str) -> float:
        """Return how long it has a status, without the time in which it is suspended."""
        active = {
            "preparing": self.prepare_seconds,
            "pending": self.pending_seconds,
            "running": self.run_seconds,
        }
        return active.get(status, math.inf)

    def following(self, status: str) -> str:
        """Return the status that follows."""
        if status == "running" or (status == "preparing" and self.status == "invalid"):
            return self.status
        return _NEXT[status]


Plan = SubscriptionPlan | Callable[[Mapping[str, Any], int], SubscriptionPlan]
"""One plan for all subscriptions, or a function of the request's JSON and its number, which counts from 0."""


@define
class Subscription:
    """One subscription: what was requested, without its secrets, and its status."""

    number: int
    id: str
    created: int
    body: dict[str, Any] = field(repr=False)
    plan: SubscriptionPlan
    updated: int
    status: str = "preparing"
    runs: list[tuple[int, int]] = field(factory=list, repr=False)  # when each began, how long it had run
    ran: int = 0  # microseconds, until the current run
    due: float = 0.0  # when the status changes by itself
    _since: int = 0
    _spent: int = 0  # microseconds of the status in which it was suspended
    _active: str = "preparing"

    def __attrs_post_init__(self) -> None:
        self._enter(self.status, self.created)

    @property
    def name(self) -> str:
        return str(self.body["name"])

    @property
    def source_type(self) -> str:
        return str(self.body["source"]["type"])

    @property
    def is_catalog(self) -> bool:
        return is_catalog(self.body["source"])

    @property
    def parameters(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.body["source"]["parameters"]
        return found

    @property
    def hosted(self) -> bool:
        return "hosting" in self.body

    @property
    def destination_ref(self) -> str | None:
        ref: str | None = self.body.get("delivery", {}).get("parameters", {}).get("ref")
        return ref

    @property
    def start_time(self) -> int:
        return parse(self.parameters["start_time"])

    @property
    def end_time(self) -> int | None:
        text = self.parameters.get("end_time")
        return None if text is None else parse(text)

    def has_run(self, now: int) -> int:
        """Return for how many microseconds it has run."""
        return self.ran + (now - self._since if self.status == "running" else 0)

    def advance(self, now: int) -> None:
        """Make the changes that are due, each at its own moment."""
        while self.due <= now:
            self._enter(self.plan.following(self.status), int(self.due))

    def suspend(self, now: int) -> bool:
        """Suspend it; return False where its status does not allow that."""
        if self.status not in _ACTIVE:
            return False
        self._active, spent = self.status, self._spent + now - self._since
        self._enter("suspended", now, spent)
        return True

    def reactivate(self, now: int) -> bool:
        """Reactivate it; return False if it is not suspended."""
        if self.status != "suspended":
            return False
        self._enter(self._active, now, self._spent)
        return True

    def cancel(self, now: int) -> bool:
        """End it; return False where its status does not allow that."""
        if self.status not in _CANCELLABLE:
            return False
        self._enter("cancelled", now)
        return True

    def _enter(self, status: str, moment: int, spent: int = 0) -> None:
        self.ran = self.has_run(moment)
        if status == "running":
            self.runs.append((moment, self.ran))
        self.status, self.updated, self._since, self._spent = status, moment, moment, spent
        seconds = self.plan.seconds(status)
        self.due = math.inf if math.isinf(seconds) else after(moment, seconds) - spent

    def results(self, now: int) -> Iterator["Result"]:
        """Yield the results that there are, the oldest first."""
        plan, ran = self.plan, self.has_run(now)
        step_seconds = plan.result_seconds / len(_STEPS)
        for number in range(plan.results if self.runs else 0):
            begin = after(number, number * plan.result_seconds)  # a page begins after a moment: no two in one
            if begin > ran:
                return
            steps = [after(begin, step * step_seconds) for step in range(len(_STEPS) + 1)]
            step = max(index for index, moment in enumerate(steps) if moment <= ran)
            created, updated = self._ran_until(begin), self._ran_until(steps[step])
            if step == len(_STEPS):
                status = "failed" if number >= plan.results - plan.failed else "success"
            elif (status := _ENDED.get(self.status, _STEPS[step])) != _STEPS[step]:
                updated = self.updated
            completed = updated if status in {"success", "failed"} else None
            yield Result(number, self, status, created, updated, completed)

    def _ran_until(self, ran: int) -> int:
        """Return the moment when it had run that long; it may have been suspended in between."""
        began, before = next(run for run in reversed(self.runs) if run[1] <= ran)
        return began + ran - before

    def json(self, context: Context) -> dict[str, Any]:
        url = f"{context.base_url}{SUBSCRIPTIONS}/{self.id}"
        found = {
            **self.body,
            "id": self.id,
            "status": self.status,
            "created": render(self.created),
            "updated": render(self.updated),
            "_links": {"_self": url, "results": f"{url}/results"},
        }
        if self.status in {"failed", "invalid"}:
            found["error_hints"] = {"message": "It failed, as planned"}  # its fields are not known [L]
        if self.hosted and self.runs:
            hosting = self.body["hosting"]
            collection = str(uuid5(NAMESPACE_URL, f"collection:{self.id}"))
            parameters = {"collection_id": collection, **hosting.get("parameters", {})}
            found["hosting"] = {**hosting, "parameters": parameters}
        return found


class SubscriptionStore:
    """All subscriptions, in the order of creation."""

    def __init__(self) -> None:
        self.by_id: dict[str, Subscription] = {}
        self._lock = threading.Lock()  # a test may read them while another thread serves them

    def add(
        self, subscription_id: str, body: dict[str, Any], plan: SubscriptionPlan, now: int
    ) -> Subscription:
        with self._lock:
            found = Subscription(len(self.by_id), subscription_id, now, body, plan, now)
            self.by_id[subscription_id] = found
        return found

    def advance(self, now: int) -> None:
        """Make the changes that are due."""
        with self._lock:
            for subscription in self.by_id.values():
                if subscription.due <= now:  # of a thousand, hardly any
                    subscription.advance(now)

    def all(self) -> Iterable[Subscription]:
        """Return them, the oldest first."""
        return self.by_id.values()


def completed(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request as it will be shown: with its type and the defaults, and without secrets."""
    found = {name: body[name] for name in _SHOWN if body.get(name) not in (None, {})}
    parameters = dict(found["source"]["parameters"])
    kind = found["source"].get("type")
    if is_catalog(found["source"]):
        kind = "catalog"
        parameters.setdefault("publishing_stages", ["standard", "finalized"])  # [H, recorded]
        parameters.setdefault("time_range_type", "acquired")  # [H, recorded]
    geometry = parameters["geometry"]
    if geometry["type"] == "ref":  # expanded, with the reference added [H, recorded]
        parameters["geometry"] = {"type": "Polygon", "coordinates": _FEATURE}
        parameters["geom_ref"] = geometry.get("content")
    kind = kind or _TYPES.get(str(parameters["id"]).partition("-")[0], "planetary_variable")
    found["source"] = {"type": kind, "parameters": parameters}
    if "delivery" in found:
        found["delivery"] = redacted(found["delivery"])
    return found


@frozen
class Result:
    """One result as it is now; `completed` is the moment it succeeded or failed."""

    number: int
    subscription: Subscription
    status: str
    created: int
    updated: int
    completed: int | None

    @property
    def id(self) -> str:
        return str(uuid5(NAMESPACE_URL, f"{self.subscription.id}/{self.number}"))

    @property
    def item_datetime(self) -> int:
        """When the image was taken, or the value measured: one a day from the start on."""
        return after(self.subscription.start_time, self.number * 86_400.0)

    @property
    def item_id(self) -> str:
        return f"{render(self.item_datetime)[:10].replace('-', '')}_{self.number:06d}_00_2414"

    @property
    def errors(self) -> Mapping[str, Any]:
        return {"message": 'It "failed", as planned'} if self.status == "failed" else {}

    @property
    def outputs(self) -> list[str]:
        """The paths of the files."""
        if self.status != "success" or not self.subscription.is_catalog:
            return []
        assets = [f"{asset}.tif" for asset in self.subscription.parameters["asset_types"]]
        start = f"{self.subscription.id}/{self.item_id}/{self.item_id}"
        return [f"{start}_{ending}" for ending in ("metadata.json", *assets)]

    def json(self) -> dict[str, Any]:
        """Return the result as JSON [H, recorded]."""
        properties: dict[str, Any] = {"item_id": self.item_id}
        if self.subscription.is_catalog:
            properties["item_types"] = self.subscription.parameters["item_types"]
        found = {
            "id": self.id,
            "status": self.status,
            "properties": properties,
            "created": render(self.created),
            "updated": render(self.updated),
            "errors": self.errors,
            "outputs": self.outputs,
        }
        return found if self.completed is None else {**found, "completed": render(self.completed)}

    def row(self) -> dict[str, str]:
        """Return the result as a row of CSV; the status is in upper case [H, recorded]."""
        row = {
            "id": self.id,
            "item_datetime": render(self.item_datetime),
            "status": self.status.upper(),
            "created": render(self.created),
            "updated": render(self.updated),
            "errors": msgspec.json.encode(self.errors).decode(),
            "item_id": self.item_id,
        }
        if self.subscription.is_catalog:
            return {**row, "outputs": "\n".join(self.outputs)}  # how a list is written is not known [L]
        missing = self.number % _NO_VALUE == _NO_VALUE - 1
        return {
            **row,
            "local_solar_time": render(self.item_datetime)[:16],
            "band-1.mean": "" if missing else f"{270 + self.number % 20}.5",
            "band-1.valid_percent": "0" if missing else "100",
            "source_id": str(self.subscription.parameters["id"]),
        }


def csv_of(subscription: Subscription, results: Iterable[Result]) -> bytes:
    """Return results as CSV, with the columns of the product."""
    text = io.StringIO()
    columns = _CATALOG_CSV if subscription.is_catalog else _VARIABLE_CSV
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(result.row() for result in results)
    return text.getvalue().encode()
