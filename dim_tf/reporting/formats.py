"""A table of text cells in the formats that people want it in."""

import csv
import io
import json
import pathlib
import re

import rich.markup
import rich.table

Rows = list[tuple[str, ...]]
_LATEX_SPECIAL = str.maketrans(
    {
        **{character: f"\\{character}" for character in "%_&#${}"},
        "\\": r"\textbackslash{}",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
    }
)


def plain(row) -> list[str]:
    """The cells of a row without Markdown's marks; `*` marks gaps."""
    return [re.sub(r"\*\*|`", "", cell).strip() for cell in row]


def to_rich(rows: Rows) -> rich.table.Table:
    """A table for terminals, without Markdown's marks."""
    # An interval such as [inf, inf] is a tag to rich.
    header, *body = ([*map(rich.markup.escape, plain(row))] for row in rows)
    table = rich.table.Table(*header)
    for row in body:
        table.add_row(*row)
    return table


def to_markdown(rows: Rows) -> str:
    """A Markdown table of rows whose first is the header."""
    header, *body = (
        tuple(cell.replace("|", r"\|") for cell in row) for row in rows
    )
    lines = [" | ".join(row) for row in (header, ["--"] * len(header), *body)]
    return "\n".join(f"| {line} |" for line in lines)


def to_csv(rows: Rows) -> str:
    """Comma-separated values, without Markdown's marks."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(plain, rows))
    return text.getvalue()


def to_json(rows: Rows) -> str:
    """A list of objects whose keys are the header's."""
    header, *body = map(plain, rows)
    header = [name or "row" for name in header]
    objects = [dict(zip(header, row, strict=True)) for row in body]
    return json.dumps(objects, indent=1) + "\n"


def to_latex(rows: Rows) -> str:
    r"""A `tabular`; rules as in booktabs."""
    lines = [
        " & ".join(cell.translate(_LATEX_SPECIAL) for cell in plain(row))
        for row in rows
    ]
    header, *body = (line + r" \\" for line in lines)
    columns = "l" + "r" * (len(rows[0]) - 1)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            header,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


FORMATS = {
    ".md": lambda rows: to_markdown(rows) + "\n",
    ".csv": to_csv,
    ".json": to_json,
    ".tex": to_latex,
}


def listing(notes: list[tuple[str, str]]) -> str:
    """A Markdown list of what `diagnostics` says."""
    return "".join(f"- {level}: {sentence}\n" for level, sentence in notes)


def check(path: pathlib.Path, formats) -> None:
    """Raises ValueError unless a file's name ends like one of the formats."""
    if path.suffix not in formats:
        raise ValueError(
            f"a report ends with one of {', '.join(formats)}, got {path}"
        )
