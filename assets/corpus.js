/* A corpus is handed in: a file is sent, its columns are chosen, a pass begins. */
(function () {
  "use strict";

  const { make, ask, megabytes, uploader } = window.moescope;

  const byId = (id) => document.getElementById(`corpora-${id}`);
  const sizeOf = (bytes) => (bytes < 1e5 ? `${Math.ceil(bytes / 1e3)} kB` : `${megabytes(bytes)} MB`);

  let asked = 0; // counts what was asked for, so that a late answer to something older is dropped
  let corpus = null; // what the server says of the file whose columns are chosen

  const files = uploader("corpora", "uploads", choose, () => (asked += 1));
  const { say } = files;

  async function example() {
    files.leave();
    const mine = (asked += 1);
    say("Looking into the example corpus");
    try {
      const found = await ask("uploads/example");
      if (mine === asked && byId("form")) choose(found);
    } catch (error) {
      if (mine === asked && byId("form")) say("", error.message);
    }
  }

  /* Shows the columns of a file and what is guessed of them. */
  function choose(found) {
    corpus = found;
    const what = [found.name, sizeOf(found.size), found.format, found.encoding];
    if (found.compressed) what.push("compressed");
    byId("title").textContent = what.filter(Boolean).join(" · ");
    byId("name").placeholder = found.name;
    byId("text").replaceChildren(
      ...found.columns.map((name) => make("option", { value: name, selected: name === found.text }, name)),
    );
    offer(found.labels);
    byId("form").hidden = false;
    say(`${found.name} can be read. Choose its columns, then start.`);
    byId("title").focus();
  }

  /* A check mark for every column that may be a label, and the preview beside it. */
  function offer(checked) {
    const text = byId("text").value;
    const checks = corpus.columns
      .filter((name) => name !== text)
      .map((name) =>
        make(
          "label",
          {},
          make("input", { type: "checkbox", className: "form-check-input", value: name, checked: checked.includes(name) }),
          name,
        ),
      );
    byId("labels").replaceChildren(...(checks.length ? checks : ["This file has no other columns."]));
    byId("preview").replaceChildren(
      make("thead", {}, make("tr", {}, ...corpus.columns.map((name) => heading(name, text)))),
      make(
        "tbody",
        {},
        ...corpus.preview.map((row) =>
          make(
            "tr",
            {},
            ...corpus.columns.map((name) => make("td", { className: name === text ? "text" : "" }, row[name] || "")),
          ),
        ),
      ),
    );
  }

  function heading(name, text) {
    const cell = make("th", { scope: "col" }, name);
    if (name === text) cell.append(make("span", { className: "tag" }, "text"));
    return cell;
  }

  const labels = () => [...byId("labels").querySelectorAll("input:checked")].map((check) => check.value);

  async function begin() {
    const button = byId("form").querySelector("[type=submit]");
    if (button.disabled) return;
    const most = byId("max-tokens").valueAsNumber;
    const order = {
      upload: corpus.id,
      text: byId("text").value,
      labels: labels(),
      model: byId("model").value,
      name: byId("name").value.trim(),
      tokens: byId("tokens").checked,
      ...(Number.isNaN(most) ? {} : { max_tokens: most }),
    };
    button.disabled = true;
    say("Starting");
    try {
      const line = await ask("corpora", { method: "POST", body: order, failing: "Not started" });
      if (!byId("form")) return;
      byId("form").hidden = true;
      say(`${line.name} is in the list below.`);
      window.moescope.passes.show(line);
    } catch (error) {
      if (byId("form")) say("", error.message);
    } finally {
      button.disabled = false;
    }
  }

  document.addEventListener("click", ({ target }) => {
    if (target.id === "corpora-example") example();
  });

  document.addEventListener("change", ({ target }) => {
    if (target.id === "corpora-text") offer(labels());
  });

  document.addEventListener("submit", (event) => {
    if (event.target.id !== "corpora-form") return;
    event.preventDefault();
    begin();
  });

  /* The page is there anew, or was left. */
  function start() {
    asked += 1;
    corpus = null;
    files.start();
    if (byId("form")) byId("form").hidden = true;
  }

  window.moescope.corpus = { start, say };
})();
