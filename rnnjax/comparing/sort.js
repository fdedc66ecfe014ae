// A click on a heading sorts its table: numbers the highest first, then the other way round. What
// has no number comes last both times.
for (const table of document.querySelectorAll(".sortable")) {
  table.createCaption().textContent = "A click on a heading sorts.";
}
for (const heading of document.querySelectorAll(".sortable thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...heading.childNodes);
  heading.append(button);
  button.addEventListener("click", () => sortBy(heading));
}

function sortBy(heading) {
  const body = heading.closest("table").tBodies[0], column = heading.cellIndex;
  const text = (row) => row.cells[column].textContent;
  const number = (row) => parseFloat(text(row).replace(/,|^<\s/g, ""));
  const rows = [...body.rows], isText = rows.every((row) => isNaN(number(row)));
  const first = isText ? "ascending" : "descending", second = isText ? "descending" : "ascending";
  const order = heading.ariaSort === first ? second : first;
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.ariaSort = order;
  const sign = order === "ascending" ? 1 : -1;
  rows.sort((one, other) => {
    if (isText) return sign * text(one).localeCompare(text(other), "en", { numeric: true });
    const [a, b] = [number(one), number(other)];
    return isNaN(a) || isNaN(b) ? isNaN(a) - isNaN(b) : sign * (a - b);
  });
  body.append(...rows);
}
