"""The sessions of `python -m nox`; without `-s` it runs what CI runs."""

import nox

nox.options.sessions = ["tests", "lint", "types"]
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
    side_by_side = ["-n", "auto", "--dist", "worksteal"]
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
def benchmarks(session: nox.Session) -> None:
    """Run a benchmark: `python -m nox -s benchmarks -- main_job`."""
    session.install("-q", ALL, *group("test"))
    for name in session.posargs or ["main_job"]:
        session.run("python", f"benchmarks/{name}.py")
