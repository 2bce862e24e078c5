"""Destinations: the buckets and containers that deliveries of an organization refer to."""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from operator import attrgetter
from typing import Any, Unpack

import msgspec

from planet_async.errors import InvalidRequest, NotFound
from planet_async.exactly_once import ResourceKind
from planet_async.models.codec import checked_body, to_json, to_mapping
from planet_async.models.destinations import (
    REFERENCE,
    CloudDestination,
    DestinationRequest,
    name_of,
    name_problem,
)
from planet_async.paging import DESTINATIONS_PAGES, Paginator
from planet_async.redaction import refuse_redacted
from planet_async.services._api import Api
from planet_async.services._query import filter_params, path_part, text
from planet_async.services.filters import DestinationFilters

_DESTINATIONS = "/destinations/v1"
_DEFAULT = f"{_DESTINATIONS}/default"


class Destinations:
    """The destinations of an organization: `planet.destinations`.

    `create`, `get`, `list` and `update`; `archive` and `unarchive`; `get_default`, `set_default` and
    `unset_default`.  A delivery refers to one by its reference: ``Destination(ref=destination.ref)``.

    What holds for every method:

    - A destination is a `CloudDestination`, its id, or its reference.
    - Secrets are in no message, repr or log.  One that the API has redacted (``"<REDACTED>"``) is refused: it
      would replace the real one.
    - Only the owner of a destination and administrators can change it.

    Raises:
        InvalidRequest: an argument cannot be right; nothing was sent.
        StatusError: the API refuses the request.
        TransportError: no response came.
        DecodeError: the response is not what the API documents.

    See https://docs.planet.com/develop/apis/destinations/
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._creating = api.exactly_once(
            ResourceKind[CloudDestination](
                "destination",
                "parameters",
                lambda _: self.list().pages(),
                lambda _start, _end: self.list().pages(),
                attrgetter("created"),
                attrgetter("raw"),
                self.archive,
            )
        )

    async def create(self, request: DestinationRequest | Mapping[str, Any]) -> CloudDestination:
        """Create a destination, and return it; Planet writes a small file there and deletes it again.

        It is created once: where the response is lost, the destination is looked for by its name, and the
        request is sent again only if it is not there.

            destination = await planet.destinations.create(
                DestinationRequest(
                    AmazonS3(
                        bucket="fields",
                        aws_region="eu-central-1",
                        aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
                        aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
                    ),
                    name="fields of 2026",
                )
            )

        Raises:
            UnsettledCreate: whether it was created cannot be found out.
        """
        body = checked_body(DestinationRequest, request)
        del request  # a mapping may hold secrets, and tracebacks of Sentry and Rich show locals
        requested = msgspec.json.decode(body)
        wanted = to_json({**requested, "name": name_of(requested)})
        del requested
        post = self._api.request("POST", _DESTINATIONS, "destinations.create", body=body)
        return await self._creating.create(wanted, partial(self._api.fetch, CloudDestination, post))

    async def get(self, destination: CloudDestination | str) -> CloudDestination:
        """Return one destination."""
        return await self._api.call(CloudDestination, "GET", _path(destination), "destinations.get")

    def list(self, **filters: Unpack[DestinationFilters]) -> Paginator[CloudDestination]:
        """List the destinations of the organization; without filters, all that are not archived.

            async for destination in planet.destinations.list(can_write=True):
                print(destination.name, destination.ref)

        Args:
            **filters: See `DestinationFilters`; all of them have to hold.
        """
        query = filter_params(DestinationFilters, filters)
        first = self._api.request("GET", _DESTINATIONS, "destinations.list", params=query)
        return self._api.paginate(CloudDestination, first, DESTINATIONS_PAGES, unique=True)

    async def update(
        self,
        destination: CloudDestination | str,
        *,
        name: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> CloudDestination:
        """Change the name or the credentials of a destination, and return it.

        The bucket, the region and the like cannot change.

            await planet.destinations.update(destination, parameters={"sas_token": os.environ["SAS_TOKEN"]})

        Args:
            destination: The destination.
            name: The new name, 3 to 63 characters.
            parameters: The new credentials, all that its type has, under the API's own names: such as
                ``aws_access_key_id`` and ``aws_secret_access_key``.
        """
        changes: dict[str, object] = {}
        if name is not None:
            if problem := name_problem(name):
                raise InvalidRequest(f"name: {problem}; nothing was sent")
            changes["name"] = name
        if parameters is not None:
            changes["parameters"] = to_mapping(parameters)
            refuse_redacted(changes)
        if not changes:
            raise InvalidRequest("an update needs a name or parameters; nothing was sent")
        body = to_json(changes)
        del parameters, changes  # see `create`
        return await self._patch(destination, body, "destinations.update")

    async def archive(self, destination: CloudDestination | str) -> CloudDestination:
        """Archive a destination, and return it; there is no way to delete one."""
        return await self._patch(destination, b'{"archive":true}', "destinations.archive")

    async def unarchive(self, destination: CloudDestination | str) -> CloudDestination:
        """Restore an archived destination, and return it."""
        return await self._patch(destination, b'{"archive":false}', "destinations.unarchive")

    async def get_default(self) -> CloudDestination:
        """Return the default destination of the organization, to which ``pl:destinations/default`` refers.

        Raises:
            NotFound: there is none.
        """
        return await self._api.call(CloudDestination, "GET", _DEFAULT, "destinations.get_default")

    async def set_default(self, destination: CloudDestination | str) -> CloudDestination:
        """Make a destination the default of the organization, and return it."""
        body = to_json({"destination_id": _id(destination)})
        return await self._api.call(CloudDestination, "PUT", _DEFAULT, "destinations.set_default", body=body)

    async def unset_default(self) -> None:
        """Leave the organization without a default destination; it is no error if it has none."""
        with suppress(NotFound):
            await self._api.delete(_DEFAULT, "destinations.unset_default")

    async def _patch(
        self, destination: CloudDestination | str, body: bytes, operation: str
    ) -> CloudDestination:
        # The same values twice are the same as once.
        return await self._api.call(
            CloudDestination, "PATCH", _path(destination), operation, body=body, repeatable=True
        )


def _id(destination: CloudDestination | str) -> str:
    id_ = destination.id if isinstance(destination, CloudDestination) else text("destination", destination)
    return id_.removeprefix(REFERENCE)


def _path(destination: CloudDestination | str) -> str:
    return f"{_DESTINATIONS}/{path_part('destination', _id(destination))}"
