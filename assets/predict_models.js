/* Third step: the registered models with their versions, and which of these answers. */
(function () {
  "use strict";

  const { make, ask } = window.moescope;
  const { attempt, button, byId, count, go, keep, metric, models, none, rounded, say, scroller, steps, table, time } =
    window.moescope.predict;

  async function open() {
    const { predictors, chosen } = await models();
    if (!byId("models-list")) return;
    byId("models-list").replaceChildren(...(predictors.length ? predictors.map(rowOf) : [make("li", {}, none())]));
    if (chosen) mark(chosen.name);
  }

  function mark(name) {
    byId("models-list").querySelectorAll("li[data-model]").forEach((each) => {
      each.toggleAttribute("data-chosen", each.dataset.model === name);
    });
  }

  function rowOf(model) {
    const { name, task, target, champion, previous, versions, events } = model;
    const back = button(`Roll back to ${previous}`, "rollback", `Roll ${name} back to version ${previous}`);
    back.hidden = !previous;
    const use = button("Use it", "use", `Use ${name}`);
    use.hidden = !champion;
    const watch = button("Watch it", "watch", `Watch ${name}`);
    const happened = events.map(({ time: at, action, version }) => make("li", {}, `${time(at)}: version ${version} ${action}`));
    const state = champion ? `Version ${champion} answers` : "No version answers; promote one";
    const element = make(
      "li",
      { tabIndex: -1 },
      make("div", {}, make("h3", {}, name), make("span", { className: "quiet" }, `${task}, predicts ${target}`)),
      make("p", { className: "state" }, state),
      scroller(`Versions of ${name}`, versionsOf(model)),
      make("div", { className: "actions" }, use, watch, back),
      make("div", { className: "sure", hidden: true }),
      make("div", { className: "beside" }),
      make("details", {}, make("summary", {}, "What happened"), make("ul", {}, ...happened)),
    );
    element.dataset.model = name;
    element.dataset.status = champion ? "recorded" : "stopped";
    return element;
  }

  /* Each version beside what its training was compared with. */
  function versionsOf({ name, champion, versions }) {
    const names = Object.keys(versions[0].metrics).filter((each) => !/_(low|high)$/.test(each)).slice(0, 2);
    const head = ["Version", "Role", "Made", "Best model", ...names.map((each) => `${metric(each)}, held out`), ""];
    const rows = versions.map((version) => [
      String(version.version),
      version.role,
      time(version.created),
      version.family,
      ...names.map((each) => `${rounded(version.metrics[each])} (target alone ${rounded(version.baseline[each])})`),
      deeds(name, version, champion),
    ]);
    return table(head, rows);
  }

  function deeds(name, { version, role }, champion) {
    const compare = button("Compare", "compare", `Compare version ${version} of ${name} with the champion`);
    compare.hidden = !champion || ["champion", "retired"].includes(role);
    const promote = button("Promote", "promote", `Promote version ${version} of ${name}`);
    const retire = button("Retire", "ask", `Retire version ${version} of ${name}`);
    promote.hidden = ["champion", "retired"].includes(role);
    retire.hidden = role === "retired";
    [compare, promote, retire].forEach((each) => (each.dataset.version = version));
    return make("span", { className: "actions" }, compare, promote, retire);
  }

  /* A version beside the champion on the same rows. */
  async function compare(element, version) {
    const name = element.dataset.model;
    say("Comparing");
    const found = await ask(`models/${encodeURIComponent(name)}/comparison?version=${version}`, { failing: "Not compared" });
    if (!element.isConnected) return;
    say("");
    const { champion, rows, champion_metrics: before, challenger_metrics: after, better, better_low: low, better_high: high } = found;
    const names = Object.keys(before).filter((each) => !/_(low|high)$/.test(each));
    const loss = "log_loss" in before ? "log loss" : "mean absolute error";
    const told = (mean, from, until) => `${rounded(mean)} (95 %: ${rounded(from)} to ${rounded(until)})`;
    const by = better < 0 ? `higher by ${told(-better, -high, -low)}` : `lower by ${told(better, low, high)}`;
    const words =
      low > 0
        ? `Version ${version} is better: its ${loss} is ${by}`
        : high < 0
          ? `Version ${version} is worse: its ${loss} is ${by}`
          : `No difference can be told: the ${loss} of version ${version} is ${by}`;
    element.querySelector(".beside").replaceChildren(
      make("p", {}, `${words}, on the ${count(rows, "row")} that its training held out.`),
      scroller(
        "Both versions on the same rows",
        table(["", `version ${version}`, `champion, version ${champion}`], names.map((each) => [metric(each), rounded(after[each]), rounded(before[each])])),
      ),
      make("p", { className: "caption" }, "If the two tables share rows, the champion may have been trained on some of these; then it looks better than it is."),
    );
  }

  /* What can't be undone is asked first. */
  function sure(element, version) {
    const place = element.querySelector(".sure");
    const yes = button(`Yes, retire version ${version}`, "retire");
    yes.dataset.version = version;
    const keepIt = button("Keep it", "keep");
    place.replaceChildren(make("p", {}, `Take version ${version} out of service for good?`), yes, keepIt);
    place.hidden = false;
    keepIt.focus();
  }

  async function act(element, does, version) {
    const name = element.dataset.model;
    const body = version ? { version: Number(version) } : undefined;
    say("");
    const done = await attempt(() => ask(`models/${encodeURIComponent(name)}/${does}`, { method: "POST", body }));
    if (!done || !byId("models-list")) return;
    await attempt(open);
    const words = { promote: `Version ${version} of ${name} answers now.`, rollback: `${name} is rolled back.`, retire: `Version ${version} of ${name} is retired.` };
    say(words[does]);
    const row = [...byId("models-list").children].find(({ dataset }) => dataset.model === name);
    if (row) row.focus();
  }

  document.addEventListener("click", ({ target }) => {
    const element = target.closest && target.closest("#predict-models-list [data-model]");
    const { does, version } = target.dataset || {};
    if (!element || !does) return;
    const { model } = element.dataset;
    if (does === "use" || does === "watch") go(does, { model, version: "" });
    else if (does === "ask") sure(element, version);
    else if (does === "compare") attempt(() => compare(element, version));
    else if (does === "keep") element.querySelector(".sure").hidden = true;
    else {
      keep({ model });
      act(element, does, version);
    }
  });

  document.addEventListener("keydown", ({ key, target }) => {
    const place = target.closest && target.closest("#predict-models-list .sure");
    if (key === "Escape" && place) place.hidden = true;
  });

  steps.models = { open };
})();
