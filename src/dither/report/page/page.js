"use strict";
// Draws the pictures and tables of the page from its own data. Text from the data is only ever set as text.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const rowsOf = (table) =>
    table.rows.map((values) => Object.fromEntries(table.columns.map((column, at) => [column.name, values[at]])));

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  // Numbers

  // The forms of `dither.report.content.Column`: an optional +, digits after a point, and one of d f e g %.
  function shown(value, form) {
    if (value === null || value === undefined) return "–";
    const [, plus, digits, kind] = /^(\+?)(?:\.(\d+))?([dfeg%])$/.exec(form) ?? [];
    if (!kind || typeof value !== "number") return String(value);
    const places = Number(digits ?? (kind === "g" ? 6 : 0));
    const text =
      kind === "e" ? value.toExponential(places)
      : kind === "g" ? String(Number(value.toPrecision(places)))
      : kind === "%" ? `${(100 * value).toFixed(places)} %`
      : value.toFixed(places);
    const sign = plus && value > 0 ? "+" : "";
    return /^-[0.]+$/.test(text) ? text.slice(1) : sign + text.replaceAll("-", "−"); // no minus before nothing
  }

  // Tables: sorted by their headings, downloaded whole

  function compared(one, other) {
    if (one === null || other === null) return (one === null) - (other === null);
    if (typeof one === "number" && typeof other === "number") return one - other;
    return String(one).localeCompare(String(other), undefined, { numeric: true });
  }

  function body(table, order) {
    const made = element("tbody");
    for (const values of order) {
      const row = element("tr");
      table.columns.forEach((column, at) => {
        const cell = element("td", column.form ? { class: "number" } : { dir: "auto" });
        cell.textContent = shown(values[at], column.form);
        row.append(cell);
      });
      made.append(row);
    }
    return made;
  }

  function build(id) {
    const table = data.tables[id];
    const made = element("table", {}, element("caption", { class: "hidden" }, table.title));
    const heading = element("tr");
    table.columns.forEach((column, at) => {
      const button = element("button", { type: "button" }, column.title);
      const cell = element("th", { scope: "col", ...(column.form && { class: "number" }) }, button);
      button.addEventListener("click", () => {
        const rising = cell.getAttribute("aria-sort") !== "ascending";
        for (const other of heading.children) other.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const place = (one, other) => {
          const missing = one[at] === null || other[at] === null; // they stay last
          return compared(one[at], other[at]) * (rising || missing ? 1 : -1);
        };
        made.tBodies[0].replaceWith(body(table, [...table.rows].sort(place)));
      });
      heading.append(cell);
    });
    made.append(element("thead", {}, heading), body(table, table.rows));
    const scroll = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": table.title }, made);
    return [downloads(id, table), scroll];
  }

  function downloads(id, table) {
    const offer = (kind, type, text) => {
      const button = element("button", { type: "button" }, kind);
      button.append(element("span", { class: "hidden" }, ` of ${table.title}`));
      button.addEventListener("click", () => save(`${id}.${kind.toLowerCase()}`, type, text()));
      return button;
    };
    return element(
      "div",
      { class: "downloads" },
      offer("CSV", "text/csv", () => csv(table)),
      offer("JSON", "application/json", () => JSON.stringify(rowsOf(table), null, 1)),
    );
  }

  function csv(table) {
    const cell = (value) => {
      if (value === null) return "";
      if (typeof value === "number") return String(value);
      const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value); // no formulas for spreadsheets
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const lines = [table.columns.map((column) => cell(column.name)), ...table.rows.map((row) => row.map(cell))];
    return lines.map((line) => line.join(",") + "\r\n").join("");
  }

  function save(name, type, text) {
    const url = URL.createObjectURL(new Blob([text], { type }));
    element("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }

  // Pictures

  const PANEL_EDGE = 80; // pixels of a panel's axis and of the gap beside it

  const LETTER = 6.8; // pixels, on average

  function sized(config, width, rows) {
    const fitted = structuredClone(config);
    fitted.axis.labelLimit = Math.max(70, Math.min(320, 0.42 * width));
    fitted.axis.titleLimit = 0.9 * width;
    const names = rows.map((row) => String(row.method ?? row.line ?? row.verdict ?? ""));
    const longest = names.reduce((most, name) => Math.max(most, name.length), 16) * LETTER + 30;
    fitted.legend.labelLimit = Math.max(70, 0.75 * width);
    fitted.legend.columns = Math.max(1, Math.floor((0.8 * width) / longest));
    return fitted;
  }

  async function draw(place) {
    const id = place.dataset.figure;
    const rows = rowsOf(data.tables[id]);
    const spec = { ...data.figures[id], datasets: { rows } };
    // Panels keep their size, so that they can be read: as many beside each other as there is room for.
    if (spec.columns) spec.columns = Math.max(1, Math.floor(place.clientWidth / (spec.spec.width + PANEL_EDGE)));
    const options = { actions: false, renderer: "svg", ast: true, config: sized(data.config, place.clientWidth, rows) };
    try {
      await vegaEmbed(place, spec, options);
    } catch (error) {
      place.textContent = "This picture could not be drawn; its numbers are in the table below.";
      console.error(id, error);
    }
  }

  async function drawAll() {
    for (const place of document.querySelectorAll("[data-figure]")) {
      await draw(place);
      await new Promise((resume) => setTimeout(resume)); // the page stays alive in between
    }
    document.documentElement.dataset.drawn = "all";
  }

  // The page

  for (const place of document.querySelectorAll("[data-open]")) place.append(...build(place.dataset.open));
  for (const place of document.querySelectorAll("[data-lazy]")) {
    place.addEventListener("toggle", () => place.append(...build(place.dataset.lazy)), { once: true });
  }

  const themes = ["system", "light", "dark"];
  const theme = document.getElementById("theme");
  theme.addEventListener("click", () => {
    const next = themes[(themes.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % themes.length];
    if (next === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    theme.textContent = `Theme: ${next}`;
  });

  async function copied(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const field = element("textarea", { readonly: "", "aria-hidden": "true" });
      field.value = text;
      document.body.append(field);
      field.select();
      const done = document.execCommand("copy"); // where a file has no clipboard of its own
      field.remove();
      return done;
    }
  }

  const copy = document.getElementById("copy");
  copy?.addEventListener("click", async () => {
    const done = await copied(document.getElementById("command").textContent);
    copy.textContent = done ? "Copied" : "Select it and copy";
    setTimeout(() => (copy.textContent = "Copy"), 3000);
  });

  document.getElementById("everything").addEventListener("click", (event) => {
    event.preventDefault();
    const tables = Object.entries(data.tables).map(([id, table]) => [id, { title: table.title, rows: rowsOf(table) }]);
    save("report.json", "application/json", JSON.stringify(Object.fromEntries(tables), null, 1));
  });

  drawAll();
})();
