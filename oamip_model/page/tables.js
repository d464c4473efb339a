"use strict";
// Tables of the class sortable: a click on a head sorts; words and ticked values in the bar above choose rows. Whenever
// rows are chosen, the table sends an event "chosen" with the numbers, in the order of the page, of those shown.
{
  const numberOf = (text) => {
    const found = text.replace(/,/g, "").match(/^-?\d+(\.\d+)?(e[+-]?\d+)?/i);
    return found ? Number(found[0]) : NaN;
  };
  const element = (name, attributes = {}, ...inside) => {
    const made = Object.assign(document.createElement(name), attributes);
    made.append(...inside);
    return made;
  };
  const sort = (table, head, k) => {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    const down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down === 1 ? "ascending" : "descending");
    const keyed = [...body.rows].map((row) => {
      const text = row.cells[k].textContent;
      return { row, text, number: numberOf(text) };
    });
    keyed.sort((a, b) => {
      // Texts stand behind numbers, whichever way these are sorted.
      if (isNaN(a.number) !== isNaN(b.number)) return isNaN(a.number) ? 1 : -1;
      const texts = a.text.localeCompare(b.text, "en");
      return down * (isNaN(a.number) ? texts : a.number - b.number || texts);
    });
    body.append(...keyed.map((entry) => entry.row));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells], all = [...body.rows];
    const bar = element("div", { className: "choose faint" });
    const box = element("input", { type: "search", placeholder: "rows with these words" });
    const count = element("span", { role: "status" }), ticks = [];
    const texts = all.map((row) => row.textContent.toLowerCase());
    const choose = () => {
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean), shown = [];
      all.forEach((row, n) => {
        const fits = ticks.every(([k, on]) => on.get(row.cells[k].textContent).checked);
        row.hidden = !(fits && words.every((word) => texts[n].includes(word)));
        if (!row.hidden) shown.push(n);
      });
      count.textContent = ` ${shown.length} of ${all.length} rows`;
      table.dispatchEvent(new CustomEvent("chosen", { bubbles: true, detail: shown }));
    };
    heads.forEach((head, k) => {
      const button = element("button", { textContent: head.textContent });
      head.replaceChildren(button);
      button.addEventListener("click", () => sort(table, head, k));
    });
    box.setAttribute("aria-label", "rows with these words");
    bar.append(element("div", {}, box, count));
    for (const k of (table.dataset.choose || "").split(",").filter(Boolean).map(Number)) {
      const values = [...new Set(all.map((row) => row.cells[k].textContent))], on = new Map();
      const set = element("fieldset", {}, element("legend", { textContent: heads[k].textContent }));
      for (const value of values) {
        const tick = element("input", { type: "checkbox", checked: true, value });
        on.set(value, tick);
        set.append(element("label", {}, tick, ` ${value}`));
      }
      ticks.push([k, on]);
      bar.append(set);
    }
    bar.addEventListener("input", choose);
    table.parentElement.before(bar);
    choose();
  }
}
