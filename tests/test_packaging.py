"""What is written about the package in several files is the same everywhere."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import metadata

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
    """Addresses within the repository are at its end, where the build makes them absolute."""
    text, *_ = README.partition("\n[architecture]: ")
    assert not re.findall(r"\]\((?!https?://|#)[^)]*\)", text)
    links = dict(_links())
    for name, target in links.items():
        assert (ROOT / target).exists(), target
        assert f"[{name}]" in text, name
    assert {*re.findall(r"\]\[([\w-]+)\]", text)} <= links.keys()


def test_the_page_of_an_index_has_absolute_links_only() -> None:
    """What is built turns the README's links into addresses of its own version's files."""
    page = metadata("planet-async").get_payload()
    assert isinstance(page, str)
    links = re.findall(r"^\[[\w-]+\]: (\S+)$", page, re.MULTILINE)
    assert len(links) == len(dict(_links()))
    home = PROJECT["urls"]["Homepage"]
    for link in links:
        assert link.startswith(f"{home}/blob/v{__version__}/"), link


def test_one_home_is_named_everywhere() -> None:
    """It is written into four files, see docs/release.md."""
    home = PROJECT["urls"]["Homepage"]
    assert f"home: {home}\n" in RECIPE
    assert f'repository-code: "{home}"\n' in (ROOT / "CITATION.cff").read_text()
    site = PROJECT["urls"]["Documentation"]
    assert f"doc_url: {site}\n" in RECIPE
    assert f"\nsite_url: {site}\n" in (ROOT / "docs/mkdocs/mkdocs.yml").read_text()


def _links() -> Iterator[tuple[str, str]]:
    for found in re.finditer(r"^\[([\w-]+)\]: (\S+)$", README, re.MULTILINE):
        yield found[1], found[2]


def test_the_readme_is_short() -> None:
    """It is an overview, with links to the rest."""
    assert len(README.splitlines()) < 220
    assert {example.file for example in examples(ROOT / "README.md")} >= {"first.py", "app.py"}
