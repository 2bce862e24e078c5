"""Destinations: each method against responses as Planet was seen to send them."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from planet_async import (
    AmazonS3,
    ApiKey,
    AzureBlobStorage,
    BadRequest,
    CloudDestination,
    Config,
    ConnectionLost,
    Delivery,
    DestinationRequest,
    GoogleCloudStorage,
    InvalidRequest,
    NotFound,
    OracleCloudStorage,
    Planet,
    PlanetFolders,
    Request,
    S3Compatible,
)
from planet_async.simulator import Fault, Simulator
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

DATE = {"date": "Thu, 01 Jan 2026 00:00:01 GMT"}
BASE = "https://api.planet.com/destinations/v1"
KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
S3 = {
    "bucket": "fields",
    "aws_region": "eu-central-1",
    "aws_access_key_id": KEY,
    "aws_secret_access_key": KEY,
}
CLOUDS: list[Delivery] = [
    AmazonS3(bucket="fields", aws_region="eu", aws_access_key_id=KEY, aws_secret_access_key=KEY),
    AzureBlobStorage(account="a", container="fields", sas_token=KEY),
    GoogleCloudStorage(bucket="fields", credentials=KEY),
    OracleCloudStorage(
        bucket="fields", region="eu", namespace="n", customer_access_key_id=KEY, customer_secret_key=KEY
    ),
    S3Compatible(
        endpoint="https://s3.example.com",
        bucket="fields",
        region="eu",
        access_key_id=KEY,
        secret_access_key=KEY,
        use_path_style=True,
    ),
]
DESTINATION = {
    "id": "fields-4abc",
    "name": "fields",
    "type": "amazon_s3",
    "parameters": {**S3, "aws_access_key_id": "<REDACTED>", "aws_secret_access_key": "<REDACTED>"},
    "pl:ref": "pl:destinations/fields-4abc",
    "created": "2026-01-01T00:00:01.659959594Z",
    "updated": "2026-01-01T00:00:01.659959594Z",
    "archived": None,
    "ownership": {"is_owner": True, "owner_id": 7},
    "permissions": {"can_write": True},
    "_links": {"_self": f"{BASE}/fields-4abc"},
}


def answering(*answers: Any) -> tuple[FakeTransport, Planet]:
    transport = FakeTransport(answers)
    return transport, Planet(
        Config(rates={}), credentials=ApiKey("any"), transport=transport, clock=FakeClock()
    )


def body(request: Request) -> Any:
    return msgspec.json.decode(request.body or b"null")


@pytest.mark.parametrize("cloud", CLOUDS, ids=lambda cloud: cloud.block)
async def test_a_destination_is_created_in_each_cloud(cloud: Delivery) -> None:
    """The record of a delivery says its type and its parameters; no secret of it is shown."""
    transport, planet = answering(reply(201, json=DESTINATION))
    request = DestinationRequest(cloud, name="fields of 2026")
    created = await planet.destinations.create(request)
    assert body(transport.requests[0]) == {
        "type": cloud.block,
        "name": "fields of 2026",
        "parameters": cloud.set_fields(),
    }
    assert created.created == datetime(2026, 1, 1, 0, 0, 1, 659960, tzinfo=UTC)
    assert (created.ref, created.archived) == ("pl:destinations/fields-4abc", None)
    assert KEY not in repr(request) + repr(created) + repr(transport.requests)


async def test_a_mapping_is_sent_as_it_is() -> None:
    """With the parameters that have no attribute here, of clouds that are known or not."""
    transport, planet = answering(reply(201, json=DESTINATION), reply(201, json=DESTINATION))
    request = {"type": "amazon_s3", "parameters": {**S3, "explicit_sse": True}}
    await planet.destinations.create(request)
    await planet.destinations.create({"type": "new_cloud", "parameters": {"bucket": "fields"}})
    assert body(transport.requests[0]) == request


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"type": "amazon_s3", "parameters": {"bucket": "fields"}}, "aws_region: missing"),
        ({"parameters": S3}, "type: missing"),
        ({"type": "amazon_s3", "parameters": S3, "name": "ab"}, "3 to 63"),
        ({"type": "amazon_s3", "parameters": {**S3, "aws_access_key_id": "<REDACTED>"}}, "redacted"),
        ({"type": "amazon_s3", "parameters": 7}, "parameters"),
    ],
)
async def test_what_the_api_would_refuse_is_refused(request_: Any, says: str) -> None:
    """Before it is sent, and without its secrets in the message."""
    transport, planet = answering(reply())
    with pytest.raises(InvalidRequest, match=says) as caught:
        await planet.destinations.create(request_)
    assert KEY not in str(caught.value)
    assert transport.requests == []


@pytest.mark.parametrize("name", ["ab", "x" * 64, 7])
async def test_a_name_is_checked(name: Any) -> None:
    """In the request of a new destination, and where it changes."""
    transport, planet = answering(reply())
    with pytest.raises(InvalidRequest, match="name: expected"):
        DestinationRequest(CLOUDS[0], name=name)
    with pytest.raises(InvalidRequest, match="name: expected"):
        await planet.destinations.update("fields-4abc", name=name)
    assert transport.requests == []


def test_a_delivery_is_not_always_a_destination() -> None:
    """Folders of Planet are none, and the prefix of a path belongs to a single delivery."""
    with pytest.raises(InvalidRequest, match="no cloud"):
        DestinationRequest(PlanetFolders())
    with pytest.raises(InvalidRequest, match="path_prefix"):
        DestinationRequest(GoogleCloudStorage(bucket="fields", credentials=KEY, path_prefix="2026/"))
    with pytest.raises(InvalidRequest, match="amazon_s3"):
        DestinationRequest(CLOUDS[1], type="amazon_s3")


@pytest.mark.parametrize("name", [None, "fields"])
async def test_a_destination_whose_response_was_lost_is_found_by_its_name(name: str | None) -> None:
    """By that of its bucket, where it has none of its own; the redacted secrets are no difference."""
    other = {**DESTINATION, "id": "woods", "name": "woods", "created": "2025-01-01T00:00:00Z"}
    transport, planet = answering(
        ConnectionLost("lost"),
        reply(json={"destinations": [other, DESTINATION], "_links": {}}, headers=DATE),
    )
    created = await planet.destinations.create({"type": "amazon_s3", "parameters": S3, "name": name})
    assert created.id == "fields-4abc"
    assert [request.method for request in transport.requests] == ["POST", "GET"]


async def test_list_sends_the_filters() -> None:
    """Booleans are lower case; there is one page."""
    transport, planet = answering(reply(json={"destinations": [DESTINATION], "_links": {"_self": BASE}}))
    found = await planet.destinations.list(archived=True, can_write=False).collect()
    assert [destination.id for destination in found] == ["fields-4abc"]
    assert dict(transport.requests[0].params) == {"archived": "true", "can_write": "false"}


async def test_an_update_sends_only_what_changes() -> None:
    """The name, the credentials, or whether it is archived; what was redacted is never sent back."""
    transport, planet = answering(*[reply(json=DESTINATION)] * 4)
    destination = await planet.destinations.get("pl:destinations/fields-4abc")
    await planet.destinations.update(destination, name="woods", parameters={"sas_token": KEY})
    await planet.destinations.archive(destination)
    await planet.destinations.unarchive(destination.id)
    assert [body(request) for request in transport.requests[1:]] == [
        {"name": "woods", "parameters": {"sas_token": KEY}},
        {"archive": True},
        {"archive": False},
    ]
    assert {request.url for request in transport.requests} == {f"{BASE}/fields-4abc"}
    with pytest.raises(InvalidRequest, match="redacted"):
        await planet.destinations.update(destination, parameters=destination.parameters)
    with pytest.raises(InvalidRequest, match="nothing was sent"):
        await planet.destinations.update(destination)


async def test_the_default_is_set_and_unset() -> None:
    """A reference is sent as the id; without a default, getting it is NotFound and unsetting it no error."""
    missing = {"code": 404, "message": "no default destination"}
    transport, planet = answering(
        reply(json=DESTINATION), reply(204), reply(404, json=missing), reply(404, json=missing)
    )
    found = await planet.destinations.set_default("pl:destinations/fields-4abc")
    assert isinstance(found, CloudDestination)
    await planet.destinations.unset_default()
    await planet.destinations.unset_default()
    with pytest.raises(NotFound, match="no default destination"):
        await planet.destinations.get_default()
    assert body(transport.requests[0]) == {"destination_id": "fields-4abc"}
    assert {request.url for request in transport.requests} == {f"{BASE}/default"}


async def test_a_refusal_that_repeats_a_secret_does_not_show_it() -> None:
    """The service may quote what it was sent."""
    _, planet = answering(reply(400, json={"code": 400, "message": f"cannot use {KEY}"}))
    with pytest.raises(BadRequest) as caught:
        await planet.destinations.update("fields-4abc", parameters={"aws_secret_access_key": KEY})
    assert KEY not in str(caught.value) + caught.value.body


# --- on a simulated Planet


@pytest.mark.parametrize("acted", [True, False])
async def test_a_lost_create_makes_one_destination(acted: bool, planet: Planet, simulator: Simulator) -> None:
    """Whether the service has acted on the first request or not; two of one name it would refuse."""
    simulator.faults.add(Fault(operation="destinations.create", drop=True, after=acted, times=1))
    destination = await planet.destinations.create(DestinationRequest(CLOUDS[0]))
    assert [each.id for each in await planet.destinations.list().collect()] == [destination.id]
    assert destination.parameters["aws_secret_access_key"] == "<REDACTED>"
    assert simulator.requests["destinations.create"] == 2 - acted


async def test_from_a_default_to_an_archive(planet: Planet) -> None:
    """One is made the default, changed, archived and restored."""
    destination = await planet.destinations.create(DestinationRequest(CLOUDS[1], name="fields"))
    await planet.destinations.set_default(destination)
    assert (await planet.destinations.get_default()).id == destination.id
    await planet.destinations.unset_default()
    changed = await planet.destinations.update(destination, name="woods", parameters={"sas_token": KEY})
    assert changed.name == "woods"
    assert (await planet.destinations.archive(destination)).archived is not None
    assert await planet.destinations.list().collect() == []
    assert (await planet.destinations.unarchive(destination)).archived is None
