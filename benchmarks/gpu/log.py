"""What the processes tell: a file to which each appends lines of JSON.

A line is `{"facts": ...}` of what measures, `{"row": ..., "case": 3}`, or `{"begin": 3}` or
`{"end": 3}`, of a case by its number.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.gpu.rows import Row


class Log(NamedTuple):
    path: Path

    def write(self, record: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def read(self, name: str) -> list[Any]:
        """Returns what has been written by this name."""
        return [record[name] for record in self._records() if name in record]

    def rows(self, case: int | None = None) -> list[dict[str, Any]]:
        """Returns all rows, or those of a case."""
        records = [record for record in self._records() if "row" in record]
        return [record["row"] for record in records if case in (None, record["case"])]

    def end(self, case: int, part: str, arguments: dict[str, Any], rest: Row) -> None:
        """Ends a case, with a row for each contender that has none; `rest` is the end of them."""
        labels = {name: value for name, value in arguments.items() if name != "contenders"}
        for name in self.without_row(case, arguments):
            self.write({"row": {"part": part, **labels, "contender": name, **rest}, "case": case})
        self.write({"end": case})

    def without_row(self, case: int, arguments: dict[str, Any]) -> list[str]:
        """Returns the contenders of a case that have no row."""
        there = {row["contender"] for row in self.rows(case)}
        several = "contenders" in arguments
        contenders = arguments["contenders"] if several else [arguments["contender"]]
        return [name for name in contenders if name not in there]

    def begun(self) -> list[int]:
        """Returns the cases that have begun and not ended, and so the one that runs."""
        ended = {*self.read("end")}
        return [number for number in self.read("begin") if number not in ended]

    def _records(self) -> list[dict[str, Any]]:
        """Returns all lines but one that is not whole."""
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
