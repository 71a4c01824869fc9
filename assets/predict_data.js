/* First step: a table, what is in its columns, and what is learnt from them. */
(function () {
  "use strict";

  const USES = { number: "number", category: "category", hash: "category, hashed", drop: "left out" };
  const MOST_EXAMPLES = 3;

  const { make, ask, uploader } = window.moescope;
  const { asked, attempt, byId, count, go, keep, offer, rounded, say, steps, whole } = window.moescope.predict;

  let table = null; // what the server says of the table that is chosen
  let plan = null; // what would be learnt of the target
  let uses = {}; // how columns are used that are not as guessed
  let routers = []; // the passes that can be explained
  let questions = 0; // counts them, so that a late answer is dropped

  const files = uploader("predict", "tables", choose, () => (questions += 1));

  async function open() {
    if (!routers.length) await listRouters();
    if (asked().follows && !asked().table) say("Hand in the new rows, with the same columns as before.");
    const id = asked().table;
    if (id && (!table || table.id !== id)) await look(id);
  }

  async function listRouters() {
    ({ routers } = await ask("tables"));
    if (!byId("router")) return;
    byId("router-none").hidden = routers.length > 0;
    byId("router-form").hidden = !routers.length;
    offer(byId("router"), routers.map(({ id, name, model, tokens }) => [id, `${name} · ${model} · ${count(tokens, "token")}`]));
    listLayers();
  }

  function listLayers() {
    const chosen = routers.find(({ id }) => id === byId("router").value);
    if (!chosen) return;
    offer(byId("layer"), chosen.layers.map(({ table: id, stack, block, experts }) => [id, `${stack}, block ${block} · ${count(experts, "expert")}`]));
  }

  async function look(id) {
    const mine = (questions += 1);
    say("Reading the table");
    const found = await ask(`tables/${encodeURIComponent(id)}`, { failing: "Not read" });
    if (mine === questions && byId("table")) choose(found);
  }

  /* Shows a table and what is guessed of it. */
  function choose(found) {
    table = found;
    uses = {};
    keep({ table: found.id });
    byId("table-title").textContent = `${found.name} · ${count(found.rows, "row")} · ${count(found.columns.length, "column")}`;
    skipped(found);
    preview(found);
    const names = found.target ? [found.target] : found.columns.map(({ name }) => name);
    const last = found.columns[found.columns.length - 1].name;
    const chosen = names.includes(asked().target) ? asked().target : found.target || last;
    offer(byId("target"), names.map((name) => [name, name]), chosen);
    byId("table").hidden = false;
    say("");
    byId("table-title").focus();
    attempt(async () => {
      await think("");
      if (asked().follows) await inherit(asked().follows);
    });
  }

  /* A table that renews a model is used as the one before it was. */
  async function inherit(follows) {
    const { table: before, name } = await ask(`trainings/${encodeURIComponent(follows)}`);
    if (!plan || asked().follows !== follows) return;
    const hashed = new Set(before.hashed);
    for (const { name: column } of table.columns) {
      if (column === plan.target) continue;
      const use = hashed.has(column) ? "hash" : (before.features || {})[column] || "drop";
      if (use !== guessed(column)) uses[column] = use;
    }
    byId("missing").value = before.missing || "keep";
    list();
    say(`Its columns are used as in ${name}.`);
  }

  function skipped({ skipped: n, skips, unread }) {
    const lines = skips.map(({ reason, count: rows, examples }) => {
      const places = examples.slice(0, MOST_EXAMPLES).map(({ file, line }) => `${file}:${line}`);
      return `${reason}: ${whole(rows)}, for example ${places.join(", ")}`;
    });
    lines.push(...Object.entries(unread).map(([name, why]) => `column ${name}: ${why}`));
    byId("skipped").hidden = !lines.length;
    const words = n ? `${count(n, "row")} skipped` : "Columns that can't be read";
    byId("skipped").replaceChildren(
      make("summary", {}, words),
      make("ul", {}, ...lines.map((each) => make("li", {}, each))),
    );
  }

  function preview({ columns, preview: rows }) {
    byId("preview").replaceChildren(
      make("thead", {}, make("tr", {}, ...columns.map(({ name }) => make("th", { scope: "col" }, name)))),
      make(
        "tbody",
        {},
        ...rows.map((row) => make("tr", {}, ...columns.map(({ name }) => make("td", {}, row[name])))),
      ),
    );
  }

  /* Asks what can be learnt of the target; `task` is guessed where it is "". */
  async function think(task) {
    const mine = (questions += 1);
    const target = byId("target").value;
    keep({ target });
    const query = new URLSearchParams({ target, ...(task ? { task } : {}) });
    const found = await ask(`tables/${encodeURIComponent(table.id)}/plan?${query}`, { failing: "Not planned" });
    if (mine !== questions || !byId("plan")) return;
    plan = found;
    byId("task").value = plan.task;
    byId("task").disabled = Boolean(table.target);
    tell();
    list();
  }

  /* What is predicted, what stands against it, and what is worth knowing. */
  function tell() {
    const classes = plan.classes.slice(0, 8).map(({ name, rows }) => `${name} (${whole(rows)})`);
    if (plan.classes.length > 8) classes.push(`and ${whole(plan.classes.length - 8)} more`);
    const of = plan.task === "regression" ? `numbers in ${count(plan.rows, "row")}` : `${count(plan.classes.length, "value")}: ${classes.join(", ")}`;
    byId("plan").replaceChildren(
      make("p", {}, make("strong", {}, plan.target), ` has ${of}.`),
      ...plan.notes.map((note) => make("p", { className: "quiet" }, `${note}.`)),
      ...plan.problems.map((problem) => make("p", { className: "problem" }, `▲ ${problem}.`)),
    );
    byId("table").querySelector("[type=submit]").disabled = plan.problems.length > 0;
  }

  const guessed = (name) => plan.features[name] || "drop";

  function list() {
    const rows = table.columns.filter(({ name }) => name !== plan.target && name in { ...plan.features, ...plan.dropped });
    byId("columns").replaceChildren(
      make("thead", {}, make("tr", {}, ...["Column", "Use as", "Why", "Found", "Missing", "Different", "Values"].map((each) => make("th", { scope: "col" }, each)))),
      make("tbody", {}, ...rows.map(lineOf)),
    );
  }

  function lineOf(column) {
    const { name, kind, personal, missing, distinct, low, high, examples } = column;
    const use = make("select", { className: "form-select form-select-sm" });
    use.setAttribute("aria-label", `Use ${name} as`);
    use.dataset.column = name;
    offer(use, Object.entries(USES), uses[name] || guessed(name));
    const head = make("th", { scope: "row" }, name);
    if (personal) head.append(make("span", { className: "tag" }, `${personal}?`));
    const values = low === null ? examples.slice(0, MOST_EXAMPLES).join(", ") : `${rounded(low)} to ${rounded(high)}`;
    const share = missing ? `${whole(missing)} (${rounded((100 * missing) / table.rows)} %)` : "none";
    const cells = [use, why(name), kind, share, whole(distinct), values];
    return make("tr", {}, head, ...cells.map((each) => make("td", {}, each)));
  }

  /* Why a column is used as it is. */
  function why(name) {
    const use = uses[name] || guessed(name);
    if (use === "hash") return "by a secret key";
    if (use === "drop") return guessed(name) === "drop" ? plan.dropped[name] : "by hand";
    return "";
  }

  function change(select) {
    const { column } = select.dataset;
    if (select.value === guessed(column)) delete uses[column];
    else uses[column] = select.value;
    select.parentElement.nextElementSibling.textContent = why(column);
  }

  document.addEventListener("change", ({ target }) => {
    if (target.id === "predict-router") listLayers();
    if (target.id === "predict-target") attempt(() => think(""));
    if (target.id === "predict-task") attempt(() => think(target.value));
    if (target.dataset && target.dataset.column) change(target);
  });

  document.addEventListener("submit", (event) => {
    if (event.target.id === "predict-router-form") {
      event.preventDefault();
      attempt(() => look(byId("layer").value));
    }
    if (event.target.id === "predict-table") {
      event.preventDefault();
      go("train");
    }
  });

  /* What is to be trained as it was chosen here; null before that. */
  function chosen() {
    if (!table || !plan || plan.problems.length) return null;
    const router = routers.find(({ layers }) => layers.some(({ table: id }) => id === table.id));
    const least = byId("least-rows").valueAsNumber;
    const order = { table: table.id, target: plan.target, task: plan.task, uses, missing: byId("missing").value };
    if (least > 1) order.least_rows = least;
    if (asked().follows) order.follows = asked().follows;
    const features = table.columns.filter(({ name }) => name !== plan.target && (uses[name] || guessed(name)) !== "drop");
    return { order, table, plan, features: features.length, layers: router ? router.layers : [] };
  }

  function start() {
    questions += 1;
    table = plan = null;
    routers = [];
    files.start();
  }

  steps.data = { start, open };
  Object.assign(window.moescope.predict, { chosen });
})();
