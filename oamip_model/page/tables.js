"use strict";
// Tables of the class sortable: a click on a head sorts, words in the box above choose rows.
const numberOf = (text) => {
  const found = text.replace(/,/g, "").match(/^-?\d+(\.\d+)?(e[+-]?\d+)?/i);
  return found ? Number(found[0]) : NaN;
};
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, k) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down === 1 ? "ascending" : "descending");
      const compare = (one, other) => {
        const [a, b] = [one, other].map((row) => row.cells[k].textContent), x = numberOf(a), y = numberOf(b);
        // Texts stand behind numbers, whichever way these are sorted.
        if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1;
        return down * (isNaN(x) ? a.localeCompare(b) : x - y || a.localeCompare(b));
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
  const box = document.createElement("input"), count = document.createElement("span");
  box.type = "search";
  box.placeholder = "rows with these words";
  box.setAttribute("aria-label", "rows with these words");
  const choose = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.rows) {
      row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
      shown += !row.hidden;
    }
    count.textContent = ` ${shown} of ${body.rows.length} rows`;
  };
  box.addEventListener("input", choose);
  const bar = document.createElement("p");
  bar.className = "choose faint";
  bar.append(box, count);
  table.parentElement.before(bar);
  choose();
}
