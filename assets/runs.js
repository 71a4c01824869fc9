/* The history: the address follows the filter, check marks choose runs, deleting can be undone.
   And when the store should be asked how recording goes on. */
(function () {
  "use strict";

  const TYPING_MS = 350; // a search starts once typing pauses
  const UNDO_MS = 10000;
  const PATIENCE_MS = 8000; // a server that is silent for so long is gone
  const PENDING_MS = 2000; // a recording on its way for so long is worth a question

  // As the address names them, and what they say where it says nothing.
  const FIELDS = ["q", "kind", "model", "stack", "tag", "since", "until", "sort", "order"];
  const USUAL = ["", "*", "*", "*", "", "", "", "created", "desc"];
  const INPUTS = FIELDS.map((name) => `runs-${name === "q" ? "search" : name}`);
  const TYPED = ["runs-search", "runs-tag", "runs-since", "runs-until"];

  let fields = []; // what the filter says
  let said = ""; // the same as an address
  let adopting = null; // the address whose values the filter is being set to
  let typing = false; // whether the address in the browser is one of somebody typing
  let pause = null;
  let patience = null;
  let chosenIds = [];
  let lastCheck = null; // where a range begins
  let pendingId = null;
  let pending = null;

  const skip = () => window.dash_clientside.no_update;
  const set = (id, props) => window.dash_clientside.set_props(id, props);
  const byId = (id) => document.getElementById(id);
  const known = (type, index) => ({ index, type });
  const element = (type, index) => byId(JSON.stringify(known(type, index)));
  const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
  const trail = () => (history.state && history.state.trail) || [];
  const cursor = () => new URLSearchParams(location.search).get("cursor") || "";

  /* The address of what the filter says, as app/pages/runs/address.py writes it. */
  function address(values) {
    const found = new URLSearchParams();
    FIELDS.forEach((name, i) => {
      const value = (values[i] || "").trim();
      if (value && value !== USUAL[i]) found.set(name, value);
    });
    return found.size ? `?${found}` : "";
  }

  function filter(...values) {
    const triggered = window.dash_clientside.callback_context.triggered.map((t) => t.prop_id.split(".")[0]);
    fields = values;
    clearTimeout(pause);
    const next = address(values);
    if (adopting !== null) {
      if (next === adopting) adopting = null;
      return;
    }
    // The first call comes with the page, whose address may say more than the filter can.
    if (!triggered.some((id) => INPUTS.includes(id))) {
      said = next;
      typing = false;
    }
    if (next === said) return;
    const typed = triggered.some((id) => TYPED.includes(id));
    pause = setTimeout(
      () => {
        if (!byId("runs-list")) return; // another page was opened meanwhile
        said = next;
        go(next, { replace: typed && typing });
        typing = typed;
      },
      typed ? TYPING_MS : 0,
    );
  }

  function go(search, { replace = false, path = [] } = {}) {
    history[replace ? "replaceState" : "pushState"]({ trail: path }, "", location.pathname + search);
    ask();
  }

  function ask(chosen = []) {
    lastCheck = null;
    wait();
    set("runs-list", { className: "runs-list busy" });
    set("runs-asked", { data: { search: location.search, chosen, at: Date.now() } });
  }

  function wait(after = () => {}) {
    clearTimeout(patience);
    patience = setTimeout(() => {
      if (!byId("runs-list")) return;
      rested(false);
      after();
    }, PATIENCE_MS);
  }

  /* Nothing is under way any more, because of an answer or for want of one. */
  function rested(answered) {
    clearTimeout(patience);
    set("runs-gone", { hidden: answered });
    set("runs-list", { className: "runs-list" });
  }

  /* Sets the filter to the address, and lists that. */
  function adopt() {
    const wanted = new URLSearchParams(location.search);
    const next = FIELDS.map((name, i) => wanted.get(name) || USUAL[i]);
    clearTimeout(pause);
    said = address(next);
    typing = false;
    if (said !== address(fields)) adopting = said;
    FIELDS.forEach((_name, i) => {
      if (next[i] !== (fields[i] || "")) set(INPUTS[i], { value: next[i] });
    });
    ask();
  }

  /* Dash draws the page again for an address unless it believes to be there already: what is
     pushed here it does not get to know. */
  function moved() {
    clearTimeout(pause);
    if (!byId("runs-list")) return;
    const dash = window.dash_component_api.getLayout("_pages_location").props;
    if (dash.pathname === location.pathname && dash.search === location.search) adopt();
  }

  function listed(following) {
    rested(true);
    const here = cursor();
    const at = (place) => {
      const found = new URLSearchParams(location.search);
      if (place) found.set("cursor", place);
      else found.delete("cursor");
      return location.pathname + (found.size ? `?${found}` : "");
    };
    const newer = here && trail().length ? at(trail().at(-1)) : undefined;
    const older = following.cursor ? at(following.cursor) : undefined;
    return [at(""), !here, newer, !newer, older, !older];
  }

  function chosen(values, ids, waits, kinds) {
    const picked = ids
      .map(({ index }, i) => ({ index, waits: waits[i], corpus: kinds[i] === "corpus" }))
      .filter((_, i) => values[i]);
    const n = picked.length;
    chosenIds = picked.map(({ index }) => index);
    const all = byId("runs-all");
    if (all) {
      const shown = checks().length;
      set("runs-all", { value: n > 0 && n === shown, disabled: shown === 0 });
      all.indeterminate = n > 0 && n < shown;
    }
    problem("");
    if (n === 0) close(false);
    const waiting = picked.filter((run) => run.waits).length;
    // Passes over corpora keep no routing by token that could stand beside that of texts.
    const texts = picked.filter((run) => !run.corpus).map(({ index }) => index);
    const corpora = n - texts.length;
    const file = (format) =>
      texts.length ? `${byId("runs-bar").dataset.export}?ids=${list(texts)}&format=${format}` : undefined;
    const because = waiting ? "Runs that wait for the store can't be named or tagged yet" : "";
    const notes = [because, elsewhere(corpora)].filter(Boolean);
    const mixed = n === 2 && corpora === 1 ? "A text and a corpus can't be compared" : "";
    const [a, b] = chosenIds.map(encodeURIComponent);
    return [
      chosenIds,
      n === 0,
      n ? [`${n} selected`, ...notes].join(". ") + (notes.length ? "." : "") : "",
      n === 2 && !mixed ? `${byId("runs-compare").dataset.page}?a=${a}&b=${b}` : undefined,
      mixed || (n === 2 ? "" : "Choose exactly two runs"),
      file("csv"),
      file("parquet"),
      waiting > 0,
      waiting > 0 || n !== 1,
      because,
      because || (n === 1 ? "" : "Choose exactly one run"),
    ];
  }

  const list = (ids) => ids.map(encodeURIComponent).join(",");

  /* Where the files are that CSV and Parquet leave out. */
  function elsewhere(corpora) {
    if (!corpora) return "";
    return corpora === 1
      ? "The files of the corpus pass are on its own page"
      : `The files of ${corpora} corpus passes are on their own pages`;
  }

  const checks = () =>
    [...document.querySelectorAll(".runs-list tbody tr:not([hidden]) input[type=checkbox]")];

  const indexOf = (check) => JSON.parse(check.id).index;

  function mark(which, value) {
    which.forEach((check) => set(known("run-check", indexOf(check)), { value }));
  }

  /* With shift, everything between the last check mark and this one. */
  function checked(check, range) {
    const all = checks();
    const [from, to] = [all.findIndex((each) => indexOf(each) === lastCheck), all.indexOf(check)];
    if (range && from >= 0) mark(all.slice(Math.min(from, to), Math.max(from, to) + 1), check.checked);
    lastCheck = indexOf(check);
  }

  function problem(text) {
    if (byId("runs-problem")) set("runs-problem", { children: text });
  }

  function act(what, ids, text) {
    problem("");
    wait(() => what === "delete" && hide(ids, false));
    set("runs-action", { data: { do: what, ids, text, at: Date.now() } });
  }

  function hide(ids, hidden) {
    ids.filter((id) => element("run-row", id)).forEach((id) => {
      set(known("run-row", id), { hidden });
      if (hidden) set(known("run-check", id), { value: false });
    });
  }

  function told(answer) {
    if (!answer || !byId("runs-list")) return;
    rested(true);
    const { do: what, ids, done } = answer;
    problem(answer.problem);
    if (what === "delete") {
      hide(ids.filter((id) => !done.includes(id)), false);
      if (done.length) toast(done);
      if (!checks().length) ask();
    } else if (what === "restore") {
      if (done.every((id) => element("run-row", id))) hide(done, false);
      else ask();
    } else {
      if (!answer.problem) close(true);
      if (done.length) ask(chosenIds);
    }
  }

  function toast(ids) {
    const line = document.createElement("div");
    const undo = document.createElement("button");
    line.textContent = `${count(ids.length, "run")} deleted. `;
    undo.textContent = "Undo";
    undo.className = "action";
    line.append(undo);
    const drop = () => {
      if (line.contains(document.activeElement)) byId("runs-all")?.focus();
      line.remove();
    };
    const end = setTimeout(drop, UNDO_MS);
    undo.addEventListener("click", () => {
      clearTimeout(end);
      drop();
      act("restore", ids);
    });
    byId("runs-toasts").append(line);
    // The button that was pressed is gone with the bar.
    undo.focus();
  }

  /* The two small forms of the bar: a tag for some runs, a name for one. */
  function open(form) {
    close(false);
    const rows = chosenIds.map((id) => element("run-row", id).dataset);
    const input = `${form}-input`;
    if (form === "runs-rename") set(input, { value: rows[0].name });
    else {
      const tags = new Set(rows.flatMap((row) => (row.tags ? row.tags.split(",") : [])));
      byId("runs-tags").replaceChildren(
        ...[...tags].map((tag) => Object.assign(document.createElement("option"), { value: tag })),
      );
    }
    set(`${form}-form`, { hidden: false });
    setTimeout(() => byId(input).select(), 50);
  }

  function close(focus) {
    ["runs-tag", "runs-rename"].forEach((form) => {
      const element = byId(`${form}-form`);
      if (!element || element.hidden) return;
      const button = byId(`${form}-open`);
      set(`${form}-form`, { hidden: true });
      set(`${form}-input`, { value: "" });
      if (focus && button) button.focus();
    });
    problem("");
  }

  const ACTIONS = {
    // As Dash's own links do, without loading the page again.
    visit: (link) => {
      history.pushState({}, "", link.href);
      window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
      scrollTo(0, 0);
    },
    go: (link) => {
      history.pushState({ trail: [] }, "", link.href);
      adopt();
    },
    newer: (link) => turn(link, trail().slice(0, -1)),
    older: (link) => turn(link, [...trail(), cursor()]),
    clear: () => {
      history.pushState({ trail: [] }, "", location.pathname);
      adopt();
      byId("runs-search").focus();
    },
    again: () => ask(),
    "tag-open": () => open("runs-tag"),
    "rename-open": () => open("runs-rename"),
    "tag-add": () => act("tag-add", chosenIds, byId("runs-tag-input").value),
    "tag-remove": () => act("tag-remove", chosenIds, byId("runs-tag-input").value),
    rename: () => act("rename", chosenIds, byId("runs-rename-input").value),
    cancel: () => close(true),
    delete: () => {
      const ids = chosenIds;
      hide(ids, true);
      act("delete", ids);
    },
  };

  function turn(link, path) {
    go(new URL(link.href).search, { path });
    scrollTo(0, 0);
    byId("runs-list").focus();
  }

  document.addEventListener("click", (event) => {
    const at = event.target.closest ? event.target : event.target.parentElement;
    if (!at || !byId("runs-list")) return;
    if (at.id === "runs-all") mark(checks(), at.checked);
    else if (at.matches(".runs-list input[type=checkbox]")) checked(at, event.shiftKey);
    const does = at.closest("[data-runs]");
    if (!does || does.disabled) return;
    const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
    if (does.tagName === "A" && (elsewhere || !does.href)) return;
    event.preventDefault();
    ACTIONS[does.dataset.runs](does);
  });

  document.addEventListener("keydown", (event) => {
    const { id } = event.target;
    if (id === "runs-tag-input" || id === "runs-rename-input") {
      if (event.key === "Escape") close(true);
      if (event.key === "Enter" && !event.isComposing) ACTIONS[id === "runs-tag-input" ? "tag-add" : "rename"]();
    }
    const writing = event.target.matches && event.target.matches("input:not([type=checkbox]), textarea, select");
    if (event.key === "/" && !writing && !event.ctrlKey && !event.metaKey && byId("runs-search")) {
      event.preventDefault();
      byId("runs-search").focus();
    }
  });

  // Before Dash's own listeners, which change what it believes.
  window.addEventListener("popstate", moved, true);
  window.addEventListener("_dashprivate_pushstate", moved, true);

  /* Says when the store should be asked: a recording failed, or waits longer than usual. */
  function hint(recorded) {
    const waits = recorded && recorded.status === "pending";
    const told = byId("store-notice") && !byId("store-notice").hidden;
    if (!waits || recorded.id !== pendingId) clearTimeout(pending);
    if (waits && !recorded.detail && recorded.id !== pendingId) {
      pending = setTimeout(() => set("store-hint", { data: Date.now() }), PENDING_MS);
    }
    pendingId = waits ? recorded.id : null;
    const trouble = recorded && (recorded.status === "failed" || (waits && recorded.detail));
    return trouble && !told ? Date.now() : skip();
  }

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    runs: { filter, listed, chosen, told, hint },
  });
})();
