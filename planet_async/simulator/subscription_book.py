"""The subscriptions that the simulator holds, and how they move with the time."""

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
from planet_async.simulator.subscription_rules import is_catalog
from planet_async.simulator.world import Context, after, parse, render

FinalStatus = Literal["completed", "failed", "invalid"]

_ACTIVE = frozenset({"preparing", "pending", "running"})
_NEXT = {"preparing": "pending", "pending": "running"}


@frozen(kw_only=True)
class SubscriptionPlan:
    """What becomes of a subscription: seconds of each status, the status it ends in, and its results.

    ``math.inf`` seconds are for ever.  One that ends ``"invalid"`` does so without running.  While it runs,
    a result begins every `result_seconds`, and takes as long; there are `results` of them, of which the last
    `failed` fail.  `refuse` is a message: the subscription is not accepted, with a 400 that says so.

        Simulator(subscription_plan=SubscriptionPlan(run_seconds=math.inf, results=100))
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
        """Give how long it has a status, not counting what it is suspended."""
        each = {
            "preparing": self.prepare_seconds,
            "pending": self.pending_seconds,
            "running": self.run_seconds,
        }
        return each.get(status, math.inf)

    def after(self, status: str) -> str:
        """Give the status that follows on one."""
        if status == "running" or (status == "preparing" and self.status == "invalid"):
            return self.status
        return _NEXT[status]


Plan = SubscriptionPlan | Callable[[Mapping[str, Any], int], SubscriptionPlan]
"""One plan for all subscriptions, or a function of the request's JSON and its number, which counts from 0."""


@define
class Subscription:
    """One subscription: what was asked for, without its secrets, and where it stands."""

    number: int
    id: str
    created: int
    body: dict[str, Any] = field(repr=False)
    plan: SubscriptionPlan
    updated: int
    status: str = "preparing"
    runs: list[tuple[int, int]] = field(factory=list, repr=False)  # each: when it began, how far it had run
    ran: int = 0  # microseconds, until the run that is under way
    due: float = 0.0  # when the status changes, if nobody does anything
    _since: int = 0
    _spent: int = 0  # microseconds of the status that it was suspended in
    _active: str = "preparing"

    def __attrs_post_init__(self) -> None:
        self._enter(self.status, self.created)

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.body["name"])

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What is subscribed to."""
        found: Mapping[str, Any] = self.body["source"]["parameters"]
        return found

    def moment(self, name: str) -> int | None:
        """Give the start or the end, where it has one."""
        text = self.parameters.get(name)
        return None if text is None else parse(text)

    def has_run(self, now: int) -> int:
        """Give the microseconds that it has run for."""
        return self.ran + (now - self._since if self.status == "running" else 0)

    def advance(self, now: int) -> None:
        """Let happen what is due, each change at its own moment."""
        while self.due <= now:
            self._enter(self.plan.after(self.status), int(self.due))

    def suspend(self, now: int) -> bool:
        """Halt it, or say that it is not in a status for that."""
        if self.status not in _ACTIVE:
            return False
        self._active, spent = self.status, self._spent + now - self._since
        self._enter("suspended", now, spent)
        return True

    def reactivate(self, now: int) -> bool:
        """Let it go on, or say that it is not suspended."""
        if self.status != "suspended":
            return False
        self._enter(self._active, now, self._spent)
        return True

    def cancel(self, now: int) -> bool:
        """End it, or say that it is not in a status for that [H]."""
        if self.status not in {"pending", "running", "failed", "suspended"}:
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


class SubscriptionStore:
    """All subscriptions, in the order of creation."""

    def __init__(self) -> None:
        self.by_id: dict[str, Subscription] = {}
        self._lock = threading.Lock()  # a test may look at them while another thread serves them

    def add(
        self, subscription_id: str, body: dict[str, Any], plan: SubscriptionPlan, now: int
    ) -> Subscription:
        """Take in a new one."""
        with self._lock:
            number = len(self.by_id)
            found = Subscription(number, subscription_id, now, body, plan, now)
            self.by_id[subscription_id] = found
        return found

    def advance(self, now: int) -> None:
        """Let happen what is due."""
        with self._lock:
            for subscription in self.by_id.values():
                if subscription.due <= now:  # of a thousand, hardly any
                    subscription.advance(now)

    def all(self) -> Iterable[Subscription]:
        """Give them, the oldest first."""
        return self.by_id.values()


SUBSCRIPTIONS = "/subscriptions/v1"

_SHOWN = ("name", "source", "delivery", "hosting", "tools", "notifications")
_FEATURE = [[[7.0, 46.5], [7.1, 46.5], [7.1, 46.6], [7.0, 46.5]]]  # what every reference leads to
_TYPES = {
    "BIOMASS": "biomass_proxy",
    "LST": "land_surface_temperature",
    "SWC": "soil_water_content",
    "VOD": "vegetation_optical_depth",
}


def completed(body: Mapping[str, Any]) -> dict[str, Any]:
    """Give what was asked for as it will be shown: with the type and the defaults, and without secrets."""
    found = {name: body[name] for name in _SHOWN if body.get(name) is not None}
    parameters = dict(found["source"]["parameters"])
    kind = found["source"].get("type")
    if is_catalog(found["source"]):
        kind = "catalog"
        parameters.setdefault("publishing_stages", ["standard", "finalized"])  # [H, recorded]
        parameters.setdefault("time_range_type", "acquired")  # [H, recorded]
    geometry = parameters["geometry"]
    if geometry["type"] == "ref":  # expanded, with the reference beside it [H, recorded]
        parameters["geometry"] = {"type": "Polygon", "coordinates": _FEATURE}
        parameters["geom_ref"] = geometry.get("content")
    # Which types follow from which ids is not documented: a few that were seen [M].
    kind = kind or _TYPES.get(str(parameters["id"]).partition("-")[0], "planetary_variable")
    found["source"] = {"type": kind, "parameters": parameters}
    if "delivery" in found:
        found["delivery"] = redacted(found["delivery"])
    return found


def shown(subscription: Subscription, world: Context) -> dict[str, Any]:
    """Describe a subscription."""
    url = f"{world.base_url}{SUBSCRIPTIONS}/{subscription.id}"
    found = {
        **subscription.body,
        "id": subscription.id,
        "status": subscription.status,
        "created": render(subscription.created),
        "updated": render(subscription.updated),
        "_links": {"_self": url, "results": f"{url}/results"},
    }
    if subscription.status in {"failed", "invalid"}:
        found["error_hints"] = {
            "message": "It failed, as planned"
        }  # an object; what is in it is not known [L]
    if "hosting" in found and subscription.runs:
        hosting = found["hosting"]
        collection = str(uuid5(NAMESPACE_URL, f"collection:{subscription.id}"))
        found["hosting"] = {**hosting, "parameters": {"collection_id": collection, **hosting["parameters"]}}
    return found


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
