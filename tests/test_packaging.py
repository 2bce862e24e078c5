"""What is written about the package in several files is the same everywhere."""

import re
import tomllib
from collections.abc import Iterator

from documents import ROOT, examples

from planet_async import __version__

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPE = (ROOT / "packaging/conda/meta.yaml").read_text()
README = (ROOT / "README.md").read_text()


def test_the_version_is_the_same_everywhere() -> None:
    """A release sets it in three files."""
    assert f'version = "{__version__}"' in RECIPE
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_recipe_of_conda_requires_what_the_package_does() -> None:
    """Conda has no extras: the command and the simulator are part of its package."""
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["cli"], *extras["simulator"]]
    run = RECIPE.partition("  run:\n")[2].partition("\ntest:")[0]
    found = {line.split()[1]: line.split()[2] for line in run.splitlines() if line.startswith("    - ")}
    assert found.pop("python") == ">={{"
    assert found == dict(map(_split, wanted))


def _split(requirement: str) -> tuple[str, str]:
    found = re.match(r"([\w-]+)([^;]*)", requirement)
    assert found is not None
    return found[1], found[2].strip()


def test_the_readme_has_its_links_in_one_place() -> None:
    """Addresses within the repository are at its end, where a release makes them absolute."""
    text, *_ = README.partition("\n[architecture]: ")
    assert not re.findall(r"\]\((?!https?://|#)[^)]*\)", text)
    links = dict(_links())
    for name, target in links.items():
        assert (ROOT / target).exists(), target
        assert f"[{name}]" in text, name
    assert {*re.findall(r"\]\[([\w-]+)\]", text)} <= links.keys()


def _links() -> Iterator[tuple[str, str]]:
    for found in re.finditer(r"^\[([\w-]+)\]: (\S+)$", README, re.MULTILINE):
        yield found[1], found[2]


def test_the_readme_is_short() -> None:
    """It is an overview, with links to the rest."""
    assert len(README.splitlines()) < 220
    assert {example.file for example in examples(ROOT / "README.md")} >= {"first.py", "app.py"}
