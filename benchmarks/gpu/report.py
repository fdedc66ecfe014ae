"""The rows as tables in Markdown."""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.gpu import choice
from benchmarks.gpu.processes import DETERMINISTIC
from benchmarks.gpu.programs import BASELINES
from benchmarks.gpu.rows import MEASURED, Row

FURTHER = ("size", "precision", "seeds", "steps", "dtype", "process")  # labels of some rows
HEADINGS = {
    "correctness": "1. Correctness, against float64 on the CPU",
    "speed": "2. Forward passes and training steps",
    "repeatability": f"3. Bitwise repeatability, with and without `{DETERMINISTIC}`",
    "seeds": "4. Seeds at once",
    "dispatch": "5. Steps per dispatch",
    "bf16": "6. bfloat16",
    "memory": "7. Peak memory of a training step",
}
NOTES = {
    "correctness": "Of implementations: outputs, last carries and the gradients of all arguments, "
    "forwards, and in reverse with lengths; of the others: logits. The error is the greatest, by "
    "the greatest value of its array; precision is that of products, `highest` or the default.",
    "speed": "SGD, float32, products at the default precision. What stands beside a time is its "
    "ratio to that of `deferred`, or of `scan` where that is not there. torch has a process of its "
    "own; the others take turns in one.",
    "repeatability": "Params after ten steps, bit by bit: taken twice by one program, and by "
    "another process that compiles it anew.",
    "seeds": "One step of all seeds in one program, divided by their number.",
    "dispatch": "Steps in one program, one after the other: what one of them takes.",
    "bf16": "Products in bfloat16, of ours with parameters in float32, of torch all. The error is "
    "that of the logits against float64 on the CPU.",
    "memory": "As XLA plans it, and the peak that the device counts, with what compiling took. "
    "Each in a process of its own.",
}


def label_of(facts: Mapping[str, Any]) -> str:
    """Returns what the figures are of."""
    if facts["backend"] == "gpu":
        return facts["device"]
    return f"{facts['backend'].upper()}, small; not a measurement of a GPU"


def table(header: str, rows: list[list[str]]) -> str:
    columns = header.split(" | ")
    lines = [f"| {header} |", "|---" * len(columns) + "|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def size(row: Row) -> str:
    return ", ".join(map(str, row["size"]))


def to_markdown(facts: Mapping[str, Any], rows: list[Row], seconds: float) -> str:
    """Returns the report: what measured, a table for each part, and what "auto" should take."""
    title, is_gpu = f"# {label_of(facts)}", facts["backend"] == "gpu"
    what = ", ".join(f"{name} {value}" for name, value in facts.items() if value not in ("", None))
    parts = [title, f"`python -m benchmarks.gpu`, {seconds:.0f} s. {what}."]
    for part, heading in HEADINGS.items():
        of_part = [row for row in rows if row["part"] == part]
        if not of_part:
            continue
        header, lines = TABLES[part]([row for row in of_part if row["status"] == MEASURED])
        parts += [f"## {heading}", NOTES[part]]
        parts += [table(header, lines)] if lines else ["Nothing was measured."]
        parts += others(of_part)
    return "\n\n".join([*parts, "## What `auto` should take", *of_choice(rows, is_gpu)]) + "\n"


def others(rows: list[Row]) -> list[str]:
    """Returns what was not measured, and why: those with the same reason in one row."""
    reasons: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["status"] != MEASURED:
            reasons.setdefault((row["status"], row["reason"]), []).append(row)
    lines = [
        [status, _names(of, "contender"), _names(of, "kind"), _names(of, *FURTHER), reason]
        for (status, reason), of in reasons.items()
    ]
    return [table("not measured | contender | network | of | reason", lines)] if lines else []


def _names(rows: list[Row], *labels: str) -> str:
    """Returns the values of labels, each once."""
    lists = [row[label] for label in labels for row in rows if row.get(label) is not None]
    texts = [f"({', '.join(map(str, v))})" if isinstance(v, list) else str(v) for v in lists]
    return ", ".join(dict.fromkeys(texts))


def of_correctness(rows: list[Row]) -> tuple[str, list[list[str]]]:
    return "cell | contender | precision | error | at most", [
        [r["kind"], r["contender"], r["precision"], f"{r['error']:.1e}", f"{r['tolerance']:.0e}"]
        for r in rows
    ]


def of_speed(rows: list[Row]) -> tuple[str, list[list[str]]]:
    baselines: dict[Any, Row] = {}
    for name in reversed(BASELINES):
        baselines |= {(r["kind"], size(r)): r for r in rows if r["contender"] == name}

    order = [*dict.fromkeys((row["kind"], size(row)) for row in rows)]

    def times(row: Row, what: str) -> list[str]:
        baseline = baselines.get((row["kind"], size(row)))
        ratio = row[what] / baseline[what] if baseline else None
        return [f"{row[what]:.3f}", number(ratio, ".2f")]

    return "network | H, B, T, F | contender | forward ms | ratio | step ms | ratio | MiB", [
        [
            *(r["kind"], size(r), r["contender"]),
            *times(r, "forward_ms"),
            *times(r, "step_ms"),
            number(r["planned_mib"], ".0f"),
        ]
        for r in sorted(rows, key=lambda r: order.index((r["kind"], size(r))))
    ]


def of_repeatability(rows: list[Row]) -> tuple[str, list[list[str]]]:
    digests: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        digests.setdefault((row["kind"], row["contender"]), {})[row["process"]] = row
    lines = []
    for (kind, contender), by_process in digests.items():
        flagged = [r for process, r in by_process.items() if process != "default"]
        plain = [r for process, r in by_process.items() if process == "default"]
        same = len({r["digest"] for r in flagged}) == 1 if len(flagged) > 1 else None
        cells = [_all_same(flagged), _yes(same), _all_same(plain)]
        lines.append([kind, contender, *cells])
    return (
        "cell | contender | with it, one process | two processes | without it, one process",
        lines,
    )


def _all_same(rows: list[Row]) -> str:
    return _yes(all(row["same_in_the_process"] for row in rows) if rows else None)


def _yes(is_so: bool | None) -> str:
    return {True: "equal", False: "differ", None: ""}[is_so]


def of_count(label: str) -> Callable[[list[Row]], tuple[str, list[list[str]]]]:
    def of(rows: list[Row]) -> tuple[str, list[list[str]]]:
        ones = {(r["kind"], r["contender"]): r["step_ms"] for r in rows if r[label] == 1}
        return f"cell | H, B, T, F | contender | {label} | ms of one | to alone", [
            [
                *(r["kind"], size(r), r["contender"], str(r[label]), f"{r['step_ms']:.3f}"),
                number(
                    r["step_ms"] / ones[key]
                    if (key := (r["kind"], r["contender"])) in ones
                    else None,
                    ".2f",
                ),
            ]
            for r in rows
        ]

    return of


def of_bf16(rows: list[Row]) -> tuple[str, list[list[str]]]:
    return "cell | H, B, T, F | contender | dtype | forward ms | step ms | error | MiB", [
        [
            *(r["kind"], size(r), r["contender"], r["dtype"]),
            *(f"{r['forward_ms']:.3f}", f"{r['step_ms']:.3f}", number(r["error"], ".1e")),
            number(r["planned_mib"], ".0f"),
        ]
        for r in rows
    ]


def of_memory(rows: list[Row]) -> tuple[str, list[list[str]]]:
    return "cell | H, B, T, F | contender | planned MiB | peak MiB", [
        [
            *(r["kind"], size(r), r["contender"]),
            *(number(r["planned_mib"], ".1f"), number(r["peak_mib"], ".1f")),
        ]
        for r in rows
    ]


def of_choice(rows: list[Row], is_gpu: bool) -> list[str]:
    """Returns what was weighed, and the rows of the table in the code."""
    found = choice.candidates(rows)
    lines = [
        [
            *(c.cell, c.name, f"{len(c.steps)} of {c.planned}"),
            f"{c.mean:.2f} ({min(c.steps):.2f}-{max(c.steps):.2f})" if c.steps else "",
            f"{min(c.forward):.2f}-{max(c.forward):.2f}" if c.steps else "",
            c.objection or "can be taken",
        ]
        for c in found
    ]
    where = "`FASTEST` in `rnnjax/recurrent/implementations.py`"
    if not is_gpu or not found:
        return [f"Nothing was measured that could say. {where} stays as it is."]
    weighed = [table("cell | implementation | measured | step | forward | verdict", lines)]
    wrong = choice.without_deferred(rows)
    if wrong:
        weighed.append(
            '`deferred` is wrong, to which "auto" falls back from all but `scan`, for '
            f"{', '.join(wrong)}: there it should take `scan`."
        )
    code = choice.as_code(choice.choose(found) | dict.fromkeys(wrong, "scan"), found)
    return [*weighed, f"As {where} has it:", f"```python\n{code}\n```"]


TABLES: dict[str, Callable[[list[Row]], tuple[str, list[list[str]]]]] = {
    "correctness": of_correctness,
    "speed": of_speed,
    "repeatability": of_repeatability,
    "seeds": of_count("seeds"),
    "dispatch": of_count("steps"),
    "bf16": of_bf16,
    "memory": of_memory,
}
