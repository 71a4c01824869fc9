/* Fourth step: one row is asked by a form that the model's schema makes, many by a CSV file. */
(function () {
  "use strict";

  const MOST_CHOICES = 50;
  const MOST_BARS = 20;
  const MOST_SHOWN = 20;
  const FORMULA = /^[=+\-@\t\r\n\0＝＋－＠]/;

  const { to, make, ask } = window.moescope;
  const { attempt, byId, count, keep, models, none, offer, rounded, say, scroller, share, steps, table, versions } =
    window.moescope.predict;

  let model = null; // the one that is chosen
  let schema = null; // of the version that is chosen
  let questions = 0; // counts them, so that a late answer is dropped
  let file = ""; // the address of the answers that can be downloaded

  async function open() {
    const { predictors, chosen } = await models(byId("use-model"));
    if (!byId("row")) return;
    [byId("row"), byId("many")].forEach((each) => (each.hidden = true));
    byId("answer").replaceChildren(...(predictors.length ? [] : [none()]));
    byId("answers").replaceChildren();
    window.moescope.predict.router(null);
    if (!chosen) return;
    versions(byId("use-version"), chosen);
    model = chosen;
    if (byId("use-version").options.length) await form();
  }

  const which = () => {
    const { value } = byId("use-version");
    return value ? { version: Number(value) } : {};
  };

  const path = (what) => `models/${encodeURIComponent(byId("use-model").value)}/${what}`;

  async function form() {
    const mine = (questions += 1);
    const query = new URLSearchParams(which());
    const found = await ask(`${path("schema")}?${query}`, { failing: "Not ready" });
    if (mine !== questions || !byId("row")) return;
    schema = found;
    byId("answer").replaceChildren();
    byId("answers").replaceChildren();
    byId("row").replaceChildren(
      make("p", {}, `What is ${schema.target}? Version ${schema.version} answers.`),
      make("div", { className: "fields" }, ...schema.fields.map(fieldOf)),
      make("button", { type: "submit", className: "primary" }, "Predict"),
    );
    byId("row").hidden = false;
    many();
    window.moescope.predict.router(model.versions.find(({ version }) => version === schema.version), schema.fields);
  }

  /* A control for one column, with what the training had as a hint. */
  function fieldOf(column, place) {
    const id = `predict-input-${place}`;
    const label = make("label", { htmlFor: id, className: "quiet" }, column.name);
    const control = controlOf(column);
    Object.assign(control, { id, required: !column.missing });
    control.dataset.input = column.name;
    const words = hint(column);
    if (!words) return make("div", {}, label, control);
    const told = make("span", { id: `${id}-hint`, className: "caption" }, words);
    control.setAttribute("aria-describedby", told.id);
    return make("div", {}, label, control, told);
  }

  function controlOf({ kind, typical, levels, missing, whole, others }) {
    const className = "form-control form-control-sm";
    const value = typical === null ? "" : String(typical);
    if (kind === "number") return make("input", { type: "number", step: whole ? 1 : "any", className, value });
    const listed = levels.length && levels.length <= MOST_CHOICES && others !== "taken";
    if (!listed) return make("input", { type: "text", className, value: levels.includes(value) ? value : "", autocomplete: "off" });
    const list = make("select", { className: "form-select form-select-sm" });
    offer(list, [...(missing ? [["", "(missing)"]] : []), ...levels.map((each) => [each, each])], value);
    return list;
  }

  function hint({ kind, low, high, levels, others, missing }) {
    if (kind === "number" && low !== null) return `${rounded(low)} to ${rounded(high)} in the training${missing ? "; empty: missing" : ""}`;
    if (others === "taken" && levels.length) return `${levels.slice(0, 5).join(", ")}${levels.length > 5 ? ", …" : ""}; others are taken as rare`;
    return "";
  }

  /* The row as it stands in the form; an empty field is a missing value. */
  function row() {
    const found = {};
    byId("row").querySelectorAll("[data-input]").forEach((control) => {
      const { input } = control.dataset;
      found[input] = control.value === "" ? null : control.type === "number" ? control.valueAsNumber : control.value;
    });
    return found;
  }

  async function predict() {
    const mine = (questions += 1);
    const body = { rows: [row()], ...which() };
    const found = await ask(path("predict"), { method: "POST", body, failing: "Not predicted" });
    if (mine !== questions || !byId("answer")) return;
    say("");
    const [prediction] = found.predictions;
    const [probabilities] = found.probabilities;
    byId("answer").replaceChildren(
      make("p", { className: "prediction" }, `${schema.target}: `, make("strong", {}, typeof prediction === "number" ? rounded(prediction) : prediction)),
      ...(probabilities ? [bars(probabilities, prediction)] : []),
      make("p", { className: "caption" }, `By version ${found.version}. The row's id is ${found.ids[0]}; with it the truth can be told later.`),
    );
  }

  /* A bar for each class, the likeliest first. */
  function bars(probabilities, prediction) {
    const sorted = Object.entries(probabilities).sort(([, a], [, b]) => b - a);
    const rows = sorted.slice(0, MOST_BARS).map(([name, p]) => {
      const bar = make("span", { className: "bar" });
      bar.style.width = `${(100 * p).toFixed(1)}%`;
      return [name === prediction ? make("strong", {}, name) : name, share(p), make("span", { className: "bars" }, bar)];
    });
    return table(["Value", "Probability", ""], rows, "found probabilities");
  }

  function many() {
    const input = make("input", { type: "file", id: "predict-many-file", accept: ".csv,text/csv" });
    const names = schema.fields.map(({ name }) => name).join(", ");
    byId("many").replaceChildren(
      make("label", { htmlFor: input.id }, "Many rows"),
      make("span", {}, input),
      make("span", { className: "quiet" }, "or drop a CSV here"),
      make("p", { className: "quiet" }, `A line a row, at most ${schema.most_rows.toLocaleString("en")}, with the columns ${names}. Others are left out.`),
    );
    byId("many").hidden = false;
  }

  async function predictMany(chosen) {
    const mine = (questions += 1);
    say(`Predicting the rows of ${chosen.name}`);
    const text = await chosen.text();
    const query = new URLSearchParams(which());
    let answer, found;
    try {
      answer = await fetch(to(`/api/v1/${path("predict")}?${query}`), { method: "POST", headers: { "Content-Type": "text/csv" }, body: text });
      found = await answer.json();
    } catch (error) {
      throw new Error("The server does not answer. Try again in a moment.");
    }
    if (mine !== questions || !byId("answers")) return;
    if (!answer.ok) throw new Error(`Not predicted: ${found.detail}.`);
    say(`${count(found.predictions.length, "row")} of ${chosen.name} predicted.`);
    showMany(found);
  }

  function showMany(found) {
    const classes = Object.keys(found.probabilities[0] || {});
    const head = ["Row", "Prediction", ...classes.map((each) => `probability of ${each}`), "id"];
    const rows = found.predictions.map((each, i) => [i + 1, each, ...classes.map((name) => found.probabilities[i][name]), found.ids[i]]);
    const shown = rows.slice(0, MOST_SHOWN).map(([at, each, ...rest]) => [
      String(at),
      typeof each === "number" ? rounded(each) : each,
      ...rest.map((p) => (typeof p === "number" ? share(p) : p)),
    ]);
    if (file) URL.revokeObjectURL(file);
    file = URL.createObjectURL(new Blob([csv([head, ...rows])], { type: "text/csv" }));
    const save = make("a", { href: file, download: `predictions-${found.model}.csv`, className: "action" }, "Download as CSV");
    byId("answers").replaceChildren(
      ...(classes.length ? [counts(found.predictions)] : []),
      scroller("Predictions", table(head, shown)),
      ...(rows.length > MOST_SHOWN ? [make("p", { className: "quiet" }, `The first ${MOST_SHOWN} of ${count(rows.length, "row")}.`)] : []),
      make("div", { className: "actions" }, save),
    );
  }

  /* How often each value was predicted. */
  function counts(predictions) {
    const found = {};
    predictions.forEach((each) => (found[each] = (found[each] || 0) + 1));
    const sorted = Object.entries(found).sort(([, a], [, b]) => b - a).slice(0, MOST_BARS);
    const rows = sorted.map(([name, n]) => {
      const bar = make("span", { className: "bar" });
      bar.style.width = `${(100 * n) / predictions.length}%`;
      return [name, n.toLocaleString("en"), make("span", { className: "bars" }, bar)];
    });
    return table(["Value", "Rows", ""], rows, "found probabilities");
  }

  /* As CSV in which no cell is a formula to a spreadsheet, as app/tables/safe_csv.py does it. */
  function csv(rows) {
    const cell = (value) => {
      const text = typeof value === "string" && FORMULA.test(value) ? `'${value}` : String(value);
      return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
    };
    return rows.map((each) => `${each.map(cell).join(",")}\n`).join("");
  }

  document.addEventListener("change", ({ target }) => {
    if (target.id === "predict-use-model") {
      keep({ model: target.value, version: "" });
      attempt(open);
    }
    if (target.id === "predict-use-version") {
      keep({ version: target.value });
      attempt(form);
    }
    if (target.id === "predict-many-file" && target.files.length) attempt(() => predictMany(target.files[0]));
  });

  document.addEventListener("submit", (event) => {
    if (event.target.id !== "predict-row") return;
    event.preventDefault();
    attempt(predict);
  });

  ["dragover", "dragleave", "drop"].forEach((kind) =>
    document.addEventListener(kind, (event) => {
      const place = byId("many");
      if (!place || !place.offsetParent || !event.dataTransfer || ![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      place.classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files.length) attempt(() => predictMany(event.dataTransfer.files[0]));
    }),
  );

  steps.use = { start: () => (questions += 1), open };
})();
