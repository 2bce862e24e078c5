"""Adding a destination: to mark its secret field is all it takes to keep the secret everywhere."""

import html
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, quote_plus

import pytest
from attrs import field, frozen

from planet_async import ApiKey, BadRequest, InvalidRequest, OrderRequest, Planet, SceneProduct
from planet_async.http import Request, Response
from planet_async.models.delivery import Delivery
from planet_async.redaction import SECRET
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

SECRET_KEY = "K001/sesame+open&go"
PRODUCTS = [SceneProduct(["a"], "PSScene", "visual")]


@frozen(kw_only=True)
class Backblaze(Delivery):
    """A destination that the package does not know."""

    block: ClassVar[str] = "backblaze"

    bucket: str
    application_key: str = field(repr=False, metadata=SECRET)


WRITTEN: dict[str, Callable[[str], str]] = {
    "plain": str,
    "JSON of Go": lambda text: json.dumps(text)[1:-1].replace("&", r"\u0026"),
    "path": lambda text: quote(text, safe=""),
    "query": quote_plus,
    "HTML": html.escape,
}
DELIVERIES: list[Delivery | Mapping[str, Any]] = [
    Backblaze(bucket="b", application_key=SECRET_KEY),
    {"backblaze": {"bucket": "b", "application_key": SECRET_KEY}},
]


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("delivery", DELIVERIES, ids=["record", "mapping"])
async def test_a_new_secret_is_shown_nowhere(
    written: str,
    delivery: Delivery | Mapping[str, Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is in no repr, error, log or ledger, though the server repeats it."""
    caplog.set_level(logging.DEBUG)
    sent: list[bytes] = []

    def repeat(request: Request) -> Response:
        sent.extend([request.body] if request.body else [])
        return reply(400, body=f"no: {WRITTEN[written](SECRET_KEY)}")

    request = OrderRequest("x", PRODUCTS, delivery=delivery)
    ledger = tmp_path / "job.ledger"
    async with Planet(
        credentials=ApiKey("any"), transport=FakeTransport(repeat), clock=FakeClock()
    ) as planet:
        with pytest.raises(BadRequest) as caught:
            await planet.orders.create(request)
        outcomes = [outcome async for outcome in planet.orders.run([request], tmp_path, ledger=ledger)]
    assert len(sent) == 2
    assert all(SECRET_KEY.encode() in body for body in sent)
    files = [file for file in tmp_path.glob("job.ledger*") if file.is_file()]
    kept = "".join(file.read_bytes().decode(errors="replace") for file in files)
    assert "backblaze" in kept
    shown = [
        *(repr(request), repr(outcomes), kept, caplog.text),
        *(str(caught.value), repr(caught.value), repr(vars(caught.value))),
    ]
    if isinstance(delivery, Delivery):
        shown.append(repr(delivery))
    for text in shown:
        assert SECRET_KEY not in text
        assert WRITTEN[written](SECRET_KEY) not in text


async def test_a_new_destination_is_checked_as_the_others_are() -> None:
    """What all deliveries have in common holds for it, too."""
    with pytest.raises(InvalidRequest, match=r"OrderRequest\.hosting: expected hosting or delivery"):
        OrderRequest(
            "x", PRODUCTS, delivery=Backblaze(bucket="b", application_key="k"), hosting={"sentinel_hub": {}}
        )
    zipped = Backblaze(bucket="b", application_key="k", archive_type="zip").to_dict()
    assert zipped["archive_filename"] == "{{name}}_{{order_id}}.zip"
