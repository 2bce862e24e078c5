"""A service with one finished order, whose files are named and filled as a test wants them."""

import hashlib
import json
from urllib.parse import quote

from planet_async import ApiKey, Planet
from planet_async.testing import FakeClock, FakeTransport, reply

ORDER_ID = "7a1c0f0e-4b6d-4f55-9a76-1f0a1d6f0c11"
BASE = "https://api.planet.com/compute/ops/download/?token="


def described(*files: tuple[str, bytes], **order: object) -> tuple[FakeTransport, Planet]:
    """Return a service with one finished order of these files, and a client of it."""
    links = {name: BASE + quote(name) for name, _ in files}
    results = [{"name": name, "delivery": "success", "location": links[name]} for name, _ in files]
    body = {"id": ORDER_ID, "state": "success", "_links": {"results": results}, **order}
    contents = {links[name]: content for name, content in files}
    transport = FakeTransport(
        lambda request: reply(body=contents[request.url]) if request.url in contents else reply(json=body)
    )
    return transport, Planet(credentials=ApiKey("any"), transport=transport, clock=FakeClock())


def manifest(**files: bytes) -> bytes:
    entries = [
        {"path": name, "size": len(content), "digests": {"md5": hashlib.md5(content).hexdigest()}}
        for name, content in files.items()
    ]
    return json.dumps({"files": entries}).encode()
