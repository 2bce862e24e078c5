"""CSV as it arrives: chunks of bytes in, rows out, and no more than one row is held."""

import codecs
import csv
import io
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence

from planet_async._tasks import BackgroundIterator, Send
from planet_async.errors import DecodeError
from planet_async.http import Request, Response
from planet_async.models.json import excerpt

Row = dict[str, str]
"""The cells of a row, by column; an empty cell is an empty text."""

_CELL = re.compile(r'(?:"([^"]*+(?:""[^"]*+)*+)"|(?!")([^,\r\n]*+))(,|\r?\n)')
_LONGEST_ROW = 1 << 22  # characters; a quote that is never closed would swallow the rest


class CsvParser:
    """Turns the chunks of one CSV document into rows; DecodeError for anything else.

    Where the column `needed` is given, the document must have it: a page of HTML is CSV too.
    """

    def __init__(self, request: Request | None = None, *, needed: str | None = None) -> None:
        self._request = request
        self._needed = needed
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._rest = io.StringIO()  # of a line: to join it with each chunk would be quadratic
        self._lines: list[str] = []  # of a row, where a quoted cell has line ends
        self._held = 0
        self.columns: Sequence[str] = ()
        self._number = 1

    def feed(self, chunk: bytes, *, final: bool = False) -> Iterator[Row]:
        """Yield the rows that are complete now."""
        try:
            *lines, rest = self._decode(chunk, final).split("\n")
        except UnicodeDecodeError as error:
            raise self._wrong(f"it is not UTF-8 ({error.reason})") from None
        if lines:
            lines[0] = self._rest.getvalue() + lines[0]
            self._rest = io.StringIO()
        self._rest.write(rest)
        if final and (last := self._rest.getvalue()):
            lines.append(last)
            self._rest = io.StringIO()
        yield from self._rows(f"{line}\n" for line in lines)
        if final and self._lines:
            raise self._wrong("it ends within a quoted cell")
        if self._rest.tell() + self._held > _LONGEST_ROW:
            raise self._wrong("a row does not end")

    def _rows(self, lines: Iterable[str]) -> Iterator[Row]:
        for text in self._whole(lines):
            cells = self._cells(text)
            if not cells:
                continue  # an empty line
            if not self.columns:
                self.columns = cells
                if self._needed is not None and self._needed not in cells:
                    columns = excerpt(", ".join(cells).encode())
                    raise self._wrong(f"it has no column {self._needed!r}; its columns are {columns}")
                continue
            self._number += 1
            if len(cells) != len(self.columns):
                raise self._wrong(f"it has {len(cells)} cells, and the header {len(self.columns)}")
            yield dict(zip(self.columns, cells, strict=True))

    def _whole(self, lines: Iterable[str]) -> Iterator[str]:
        """Yield the text of a row once it has ended: after an even number of quotes."""
        for line in lines:
            if not self._lines and line.count('"') % 2 == 0:
                yield line
                continue
            self._lines.append(line)
            self._held += len(line)
            if len(self._lines) > 1 and line.count('"') % 2:
                text, self._lines, self._held = "".join(self._lines), [], 0
                yield text

    def _cells(self, text: str) -> list[str]:
        try:
            if len(text) <= csv.field_size_limit():
                return next(csv.reader([text], strict=True), [])
            # The limit of the csv module, which is one for the whole process, stays as it is.
            return _long_cells(text)
        except csv.Error as error:
            raise self._wrong(str(error)) from None

    def _wrong(self, problem: str) -> DecodeError:
        return DecodeError(f"row {self._number} of the CSV document: {problem}", request=self._request)


def _long_cells(text: str) -> list[str]:
    """Return the cells of a row of any length."""
    cells, end = list[str](), 0
    while cell := _CELL.match(text, end):
        quoted, plain, delimiter = cell.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        end = cell.end()
        if delimiter != ",":
            return cells
    raise csv.Error("',' expected after '\"'")


class CsvRows(AsyncIterator[Row]):
    """The rows of a response, as they arrive.  No generator: dropping it drops the connection at once.

    `open_` sends the request, when the first row is asked for.  `columns` are known with the first row, or at
    the end where there is none.
    """

    def __init__(
        self, open_: Callable[[], Awaitable[Response]], request: Request, *, needed: str | None = None
    ) -> None:
        self._parser = parser = CsvParser(request, needed=needed)

        async def produce(
            send: Send[list[Row]],
        ) -> None:  # without self, which could not be dropped otherwise
            async def parse(chunk: bytes, *, final: bool = False) -> None:
                rows: list[Row] = []
                try:
                    rows.extend(parser.feed(chunk, final=final))
                finally:  # also what came before something wrong
                    if rows:
                        await send(rows)

            response = await open_()
            try:
                async for chunk in response.chunks():
                    await parse(chunk)
                await parse(b"", final=True)
            finally:
                await response.aclose()

        self._batches: BackgroundIterator[list[Row]] = BackgroundIterator(produce)
        self._rows: Iterator[Row] = iter(())

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns."""
        return self._parser.columns

    async def __anext__(self) -> Row:
        while True:
            for row in self._rows:
                return row
            self._rows = iter(await anext(self._batches))

    async def aclose(self) -> None:
        """Stop, and release the connection."""
        self._rows = iter(())
        await self._batches.aclose()
