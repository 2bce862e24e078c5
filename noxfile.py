"""The sessions of `python -m nox`; without `-s` it runs what CI runs."""

import os
from pathlib import Path

import nox

nox.options.sessions = ["tests", "lint", "types", "docs"]
nox.options.error_on_missing_interpreters = True

ALL = ".[cli,simulator,httpx2,aiohttp,frames,http2,otel,shared,obstore,zstd]"
PYPROJECT = nox.project.load_toml("pyproject.toml")


def group(name: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(PYPROJECT, name)


@nox.session
def demo(session: nox.Session) -> None:
    """Run the main job against the embedded simulator: order, wait, download, verify, cancel."""
    session.install("-q", ".[cli,simulator]")
    session.run("planet-async", "demo", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, with branch coverage; `-- tests/test_paging.py -k cycle` runs some of them."""
    session.install("-q", "-e", ALL, *group("test"))
    # One more than there are processors, since many tests wait for a server or a process.
    side_by_side = ["-n", str((os.cpu_count() or 1) + 1), "--dist", "worksteal"]
    covered = ["--cov", "--cov-report=term-missing:skip-covered", "--cov-fail-under=95"]
    session.run("pytest", *(session.posargs or [*side_by_side, *covered]))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install("-q", *group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package, and of the examples in the README and in docs/ ."""
    session.install("-q", "-e", ALL, *group("test"), *group("types"))
    session.run("mypy")
    examples = session.create_tmp()
    session.run("python", "tests/documents.py", examples)
    session.run("mypy", "--strict", examples)
    session.run("pyright", examples, "tests/typing_as_a_user.py")
    session.run("pyright", "--verifytypes", "planet_async", "--ignoreexternal")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into build/site, warnings being errors, and open it in a browser, if there is one."""
    session.install("-q", "-e", ".[cli,simulator]", *group("docs"), *group("lint"))
    environment = {"NO_MKDOCS_2_WARNING": "1", "SITE": "build/site"}
    # Not --quiet: warnings that are not logged do not count as errors.
    session.run("mkdocs", "build", "--strict", "-f", "docs/mkdocs/mkdocs.yml", env=environment)
    # Without the settings and fixtures of the other tests, which need packages that are not installed here.
    alone = ["-c", os.devnull, "--rootdir", ".", "--noconftest", "-p", "no:cacheprovider"]
    session.run("pytest", "-q", "-rs", *alone, "tests/test_site.py", env=environment)


@nox.session
def package(session: nox.Session) -> None:
    """Build the wheel and the sdist, and use what is installed from each, without this checkout."""
    session.install("-q", "build", "twine")
    dist = Path(session.create_tmp()).resolve() / "dist"
    session.run("python", "-m", "build", "--outdir", str(dist), silent=True)
    files = sorted(map(str, dist.iterdir()))
    session.run("twine", "check", "--strict", *files)
    for number, file in enumerate(files):
        environment = str(dist.with_name(f"environment-{number}"))
        session.run("python", "-m", "venv", "--clear", environment)
        programs = Path(environment, "Scripts" if os.name == "nt" else "bin")
        session.run(str(programs / "pip"), "install", "-q", f"{file}[cli,simulator]", external=True)
        with session.chdir(environment):  # not where the package could be imported from the checkout
            session.run(str(programs / "planet-async"), "--version", external=True)
            session.run(str(programs / "planet-async"), "demo", "--orders", "5", external=True)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Run a benchmark: `python -m nox -s benchmarks -- main_job`."""
    session.install("-q", ALL, *group("test"))
    for name in session.posargs or ["main_job"]:
        session.run("python", f"benchmarks/{name}.py")
