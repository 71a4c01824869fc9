/* The page that trains models and uses them: which of its five steps is shown, and what they
   share. The address keeps the step and what is chosen. */
(function () {
  "use strict";

  const STEPS = ["data", "train", "models", "use", "watch"];
  const METRICS = {
    accuracy: "accuracy",
    log_loss: "log loss, nats",
    mean_per_class_error: "mean error of a class",
    auc: "area under the ROC curve",
    rmse: "root mean square error",
    mae: "mean absolute error",
    r2: "R²",
  };
  const FEW_DIGITS = { maximumSignificantDigits: 3 };

  const { skip, make, ask } = window.moescope;
  const byId = (id) => document.getElementById(`predict-${id}`);
  const asked = () => Object.fromEntries(new URLSearchParams(location.search));
  const whole = (n) => n.toLocaleString("en");
  const rounded = (n) => (n === null || n === undefined ? "–" : n.toLocaleString("en", FEW_DIGITS));
  /* A probability; what is nearly 0 or 1 is not shown as such. */
  const share = (p) => (p > 0 && p < 0.0001 ? "< 0.0001" : p < 1 && p > 0.9995 ? "> 0.999" : rounded(p));
  const count = (n, noun) => `${whole(n)} ${noun}${n === 1 ? "" : "s"}`;
  const time = (iso) => `${iso.slice(0, 16).replace("T", " ")} UTC`;
  const metric = (name) => METRICS[name] || name;

  const steps = {}; // by name what each does: `open` when it is shown, `theme` when colours change

  /* Sets names of the address, and takes those away that have no value. */
  function keep(values) {
    const found = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(values)) {
      if (value) found.set(name, value);
      else found.delete(name);
    }
    const query = found.toString();
    history.replaceState(history.state, "", location.pathname + (query ? `?${query}` : ""));
  }

  /* The page may have been left meanwhile. */
  function say(words, problem = "") {
    if (!byId("status")) return;
    byId("status").textContent = words;
    byId("problem").textContent = problem;
  }

  /* Does something that may fail, and tells why it did; gives whether it went well. */
  async function attempt(does) {
    try {
      await does();
      return true;
    } catch (error) {
      say("", error.message);
      return false;
    }
  }

  const now = () => (STEPS.includes(asked().step) ? asked().step : STEPS[0]);

  /* Shows a step; `values` are what is chosen for it. */
  function go(step, values = {}) {
    keep({ ...values, step: step === STEPS[0] ? "" : step });
    say("");
    open();
    byId(`${step}-title`).focus();
  }

  function open() {
    const step = now();
    STEPS.forEach((each) => {
      byId(each).hidden = each !== step;
      const button = byId("steps").querySelector(`[data-step=${each}]`);
      if (each === step) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
    });
    attempt(() => steps[step].open());
  }

  /* A table of words and elements: its head, if it has one, then its rows, whose first cell names
     them. */
  function table(head, rows, className = "found") {
    const cell = (tag, scope, each) => Object.assign(make(tag, {}, each), scope ? { scope } : {});
    const heads = head.map((each) => (each ? cell("th", "col", each) : cell("td", "", "")));
    const lines = rows.map(([first, ...rest]) =>
      make("tr", {}, cell("th", "row", first), ...rest.map((each) => cell("td", "", each))),
    );
    const top = head.some(Boolean) ? [make("thead", {}, make("tr", {}, ...heads))] : [];
    return make("table", { className }, ...top, make("tbody", {}, ...lines));
  }

  /* What may be wider than the page scrolls by itself. */
  function scroller(label, ...content) {
    const place = make("div", { className: "scroller", tabIndex: 0 }, ...content);
    place.setAttribute("role", "region");
    place.setAttribute("aria-label", label);
    return place;
  }

  function button(words, does, label) {
    const made = make("button", { type: "button", className: "action" }, words);
    made.dataset.does = does;
    if (label) made.setAttribute("aria-label", label);
    return made;
  }

  /* Options of a list; the one that was chosen stays. */
  function offer(list, options, chosen = list.value) {
    list.replaceChildren(
      ...options.map(([value, words]) => make("option", { value, selected: value === chosen }, words)),
    );
  }

  const themeNow = () => document.documentElement.dataset.bsTheme;

  /* Draws a figure of the API; `words` say the same to those who can't see it. */
  async function draw(place, { data, layout }, words) {
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", words);
    const plotly = await window.Plotly; // assets/libraries.js fetches it when it is asked for
    plotly.react(place, data, layout, { responsive: true, displayModeBar: false });
  }

  /* The registered models, for the steps that begin with one; the address' choice is kept. */
  async function models(list) {
    const { predictors } = await ask("predictors");
    const chosen = predictors.find(({ name }) => name === asked().model) || predictors[0];
    if (list) offer(list, predictors.map(({ name }) => [name, name]), chosen && chosen.name);
    if (chosen) keep({ model: chosen.name });
    return { predictors, chosen };
  }

  /* The versions of a model that can be asked, the champion first. */
  function versions(list, { champion, versions: all }) {
    const numbers = all.filter(({ role }) => role !== "retired");
    const known = numbers.some(({ version }) => String(version) === asked().version);
    offer(
      list,
      [
        ...(champion ? [["", `champion (${champion})`]] : []),
        ...numbers.map(({ version, role }) => [String(version), `${version}, ${role}`]),
      ],
      known ? asked().version : "",
    );
    return list.value;
  }

  const none = () =>
    make("p", { className: "told" }, "No model is registered yet. The best one of each training is, by itself.");

  document.addEventListener("click", ({ target }) => {
    const to = target.closest && target.closest("#predict-steps [data-step]");
    if (to) go(to.dataset.step);
  });

  new MutationObserver(() => {
    if (byId("steps") && steps[now()].theme) attempt(() => steps[now()].theme());
  }).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });

  function start() {
    // The page is drawn a moment after Dash tells of it.
    requestAnimationFrame(() => {
      Object.values(steps).forEach(({ start: begin }) => begin && begin());
      if (!byId("steps")) return;
      attempt(async () => {
        const { refusal } = await ask("trainings?limit=1");
        if (!byId("refusal") || !refusal) return;
        byId("refusal").textContent = `Nothing can be trained here: ${refusal}. Models that are registered stay.`;
        byId("refusal").hidden = false;
      });
      open();
    });
    return skip();
  }

  window.moescope.predict = {
    ...{ asked, attempt, button, byId, count, draw, go, keep, metric, models, none, now, offer, rounded },
    ...{ say, scroller, share, steps, table, themeNow, time, versions, whole },
  };
  window.dash_clientside = Object.assign({}, window.dash_clientside, { predict: { start } });
})();
