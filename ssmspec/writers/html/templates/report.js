"use strict";
(() => {
  const collator = new Intl.Collator("en", { numeric: true });

  // What a cell is sorted by: a number, a text, or nothing where it is not applicable.
  const keyOf = (cell) => {
    if (cell.classList.contains("na")) return null;
    const text = cell.dataset.v ?? cell.textContent.trim();
    if (text === "") return null;
    const number = Number(text);
    return Number.isNaN(number) ? text : number;
  };

  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b);

  const sort = (table, column, descending) => {
    const body = table.tBodies[0];
    const keyed = Array.from(body.rows, (row) => [keyOf(row.cells[column]), row]);
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return descending ? compare(b, a) : compare(a, b);
    });
    body.append(...keyed.map(([, row]) => row));
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = Array.from(table.tHead.rows[0].cells);
    headings.forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      heading.ariaSort = column === 0 ? "ascending" : "none";
      button.addEventListener("click", () => {
        const descending = heading.ariaSort === "ascending";
        headings.forEach((other) => { other.ariaSort = "none"; });
        heading.ariaSort = descending ? "descending" : "ascending";
        sort(table, column, descending);
      });
    });
  }

  // Paper has no scroll box and opens nothing: name each number, and open what is folded.
  const folded = () => document.querySelectorAll("details:not([open])");
  let opened = [];
  addEventListener("beforeprint", () => {
    for (const table of document.querySelectorAll("table.numbers:not(.named)")) {
      const headings = Array.from(table.tHead.rows[0].cells, (cell) => {
        const unit = cell.querySelector("small")?.textContent.trim() ?? "";
        return { name: cell.textContent.trim().slice(0, -unit.length || undefined).trim(), unit };
      });
      for (const row of table.querySelectorAll("tbody tr, tfoot tr")) {
        Array.from(row.cells).forEach((cell, i) => { Object.assign(cell.dataset, headings[i]); });
      }
      table.classList.add("named");
    }
    opened = Array.from(folded());
    opened.forEach((details) => { details.open = true; });
  });
  addEventListener("afterprint", () => {
    opened.forEach((details) => { details.open = false; });
  });
})();
