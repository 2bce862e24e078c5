"""What every transport does with the headers of an answer."""

from collections.abc import Iterable, Mapping


def joined_headers(raw: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """Give them by their names in lower case, those that came more than once joined."""
    found: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("utf-8", "replace")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found
