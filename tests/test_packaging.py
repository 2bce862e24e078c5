"""What is written about the package in several files is the same everywhere."""

import re
import tomllib

from documents import ROOT, examples

from planet_async import __version__

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
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


def test_the_links_of_the_readme_lead_somewhere() -> None:
    """Those within the repository name a file of it, as they are read there."""
    targets = [target for target in _links(README) if "://" not in target]
    assert len(targets) > 20
    for target in targets:
        assert (ROOT / target).exists(), target


def test_the_page_of_an_index_has_absolute_links_only() -> None:
    """What is built turns the README's links into addresses of its own version's files."""
    (rule,) = PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]
    page = re.sub(rule["pattern"], rule["replacement"].replace("$HFPR_VERSION", __version__), README)
    home = PROJECT["urls"]["Homepage"]
    for here, there in zip(_links(README), _links(page), strict=True):
        assert there == (here if "://" in here else f"{home}/blob/v{__version__}/{here}")


def test_one_home_is_named_everywhere() -> None:
    """It is written into four files, see docs/release.md."""
    home = PROJECT["urls"]["Homepage"]
    assert f"home: {home}\n" in RECIPE
    assert f'repository-code: "{home}"\n' in (ROOT / "CITATION.cff").read_text()
    site = PROJECT["urls"]["Documentation"]
    assert f"doc_url: {site}\n" in RECIPE
    assert f"\nsite_url: {site}\n" in (ROOT / "docs/mkdocs/mkdocs.yml").read_text()


def _links(markdown: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", markdown)


def test_the_readme_is_short() -> None:
    """It is an overview, with links to the rest."""
    assert len(README.splitlines()) <= 160
    assert {example.file for example in examples(ROOT / "README.md")} >= {"first.py", "app.py"}
