/* What the page does by itself: which text is asked for next, when it is recorded, what the
   status says, the selection, keys and theme. Everything else is the server's. */
(function () {
  "use strict";

  const REST_MS = 2000; // a text that rests this long is an analysis
  const STALE_MS = 8000; // a request unanswered this long was lost
  const SETTLE_MS = 350; // the table follows once typing pauses

  let seen = {}; // text and model as last typed
  let rest = null;
  let settling = null;
  let due = null; // an analysis to record once it is drawn
  let busySince = 0;
  let sentAt = 0;
  let shown = null; // the last outcome, for keys
  let pinned = null; // the selection, for keys
  let edits = 0; // how often text or model were changed

  const skip = () => window.dash_clientside.no_update;
  const set = (id, props) => window.dash_clientside.set_props(id, props);
  const blank = (text) => !text || !text.trim();
  const same = (a, b) => a && b && a.text === b.text && a.model === b.model;

  function commitDue() {
    if (due && shown && shown.state === "shown" && same(due, shown)) {
      set("commit", { data: { text: due.text, model: due.model, at: Date.now() } });
      due = null;
    }
  }

  function commitNow() {
    clearTimeout(rest);
    if (!blank(seen.text)) {
      due = { ...seen };
      commitDue();
    }
  }

  /* One request in flight, the newest text next, and none that would be out of date. */
  function gate(text, model, busy, _pulse, request, outcome) {
    if (request && request.run) return skip();
    if (text !== seen.text || model !== seen.model) {
      seen = { text, model };
      due = null;
      clearTimeout(rest);
      rest = setTimeout(commitNow, REST_MS);
    }
    const now = Date.now();
    busySince = busy ? busySince || now : 0;
    if (blank(text) || (busy && now - busySince < STALE_MS)) return skip();
    if (request && same(request, seen)) {
      const answered = outcome && !outcome.gone && [request.n, undefined].includes(outcome.n);
      if (answered && outcome.state !== "loading") return skip();
      if (!answered) {
        if (now - sentAt < STALE_MS) return skip();
        set("outcome", {
          data: {
            state: "error",
            gone: true,
            message: "The server does not answer. Your text is kept; trying again.",
          },
        });
      }
    }
    busySince = 0;
    sentAt = now;
    return { text, model, n: (request ? request.n : 0) + 1 };
  }

  /* Resolves once the diagrams have been painted. A page in the background paints nothing,
     so this does not wait for ever. */
  async function painted() {
    const frame = () =>
      Promise.race([
        new Promise((next) => requestAnimationFrame(next)),
        new Promise((next) => setTimeout(next, 100)),
      ]);
    const missing = () => document.querySelectorAll(".js-plotly-plot .main-svg").length === 0;
    for (let tries = 0; missing() && tries < 100; tries += 1) await frame();
    await frame();
    await frame();
  }

  /* What the status says must never be about an older text, not even for a moment. */
  function mark(state, id) {
    const element = document.getElementById("status");
    if (!element) return;
    element.dataset.state = state;
    element.dataset.runId = id;
  }

  async function status(outcome, recorded, request, text) {
    const kept = recorded && outcome && same(recorded, outcome) ? recorded : null;
    const [state, message] = stateOf(outcome, kept, request, text);
    shown = outcome || null;
    commitDue();
    const before = edits;
    if (state === "shown" || state === "recorded") await painted();
    if (edits !== before) return Array(6).fill(skip()); // the newer text has its own say
    const id = state === "recorded" ? kept.run_id : "";
    mark(state, id);
    const href = id ? `/runs/${id}` : undefined;
    return [message, state, id, href, id ? `/api/v1/analyses/${id}/routing.csv` : undefined, !id];
  }

  /* Called when text or model become something else: what stood there is out of date at once. */
  function edited() {
    edits += 1;
    mark("working", "");
  }

  function stateOf(outcome, kept, request, text) {
    if (blank(text)) return ["idle", "Type a sentence. The last diagrams stay."];
    if (!outcome || !request) return ["working", "Getting ready"];
    if (outcome.state === "loading") return ["working", outcome.message];
    const current = outcome.n === undefined || (outcome.n === request.n && outcome.text === text);
    if (!current) return ["working", "Tracing"];
    if (outcome.state === "error") return ["error", outcome.message];
    const drawn = request.run ? "As recorded" : `Shown, ${outcome.message}`;
    if (!kept) return ["shown", drawn];
    if (kept.status === "failed") return ["error", `Not recorded: ${kept.detail}.`];
    if (kept.status === "pending") return ["shown", `${drawn}, being recorded`];
    return ["recorded", request.run ? drawn : `Recorded, ${outcome.message}`];
  }

  function newest(receipt, recorded) {
    return recorded && recorded.at > receipt.at ? skip() : receipt;
  }

  function polling(recorded) {
    return !(recorded && recorded.status === "pending");
  }

  function settle(outcome, settled) {
    clearTimeout(settling);
    if (outcome && outcome.state === "shown" && !(same(outcome, settled) && settled.run === outcome.run)) {
      const { text, model, run } = outcome;
      const data = run ? { text, model, run } : { text, model };
      settling = setTimeout(() => set("settled", { data }), SETTLE_MS);
    }
    return skip();
  }

  /* Clicking pins; clicking the same again frees. */
  function select(flow, load, grid, current) {
    const [id] = window.dash_clientside.callback_context.triggered[0].prop_id.split(".");
    const click = { "flow-figure": flow, "heatmap-figure": load, "token-grid": grid }[id];
    if (!click) return skip();
    set(id, { clickData: null });
    const point = click.points[0];
    let next = point.customdata;
    if (id === "heatmap-figure") next = { layer: point.y, expert: point.x };
    if (id === "token-grid") next = { token: point.x, layer: point.y };
    if (!next) return skip();
    pinned = JSON.stringify(next) === JSON.stringify(current) ? null : next;
    return pinned;
  }

  function currentTheme() {
    pinned = null;
    shown = null;
    due = null;
    seen = {};
    return document.documentElement.dataset.bsTheme;
  }

  function applyTheme(theme) {
    document.documentElement.dataset.bsTheme = theme;
    document.documentElement.dataset.agThemeMode = theme;
    if (document.getElementById("flow-figure")) set("theme", { data: theme });
  }

  function pin(next) {
    pinned = next;
    set("selection", { data: next });
  }

  function moveSelection(key) {
    if (!shown || !shown.tokens) return;
    const clamp = (value, size) => Math.max(0, Math.min(size - 1, value));
    const from = pinned && pinned.token !== undefined ? pinned : null;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    const next = from
      ? { token: clamp(from.token + step[0], shown.tokens), layer: clamp((from.layer || 0) + step[1], shown.layers) }
      : { token: 0, layer: 0 };
    pin(next);
    const frame = document.getElementById("grid-frame");
    const column = frame.scrollWidth / shown.tokens;
    frame.scrollLeft = Math.max(0, next.token * column - frame.clientWidth / 2);
  }

  async function copyLink(button) {
    const link = document.getElementById("run-link").href;
    try {
      await navigator.clipboard.writeText(link);
    } catch (error) {
      // Without https browsers offer no clipboard: the older way still works.
      const field = document.createElement("textarea");
      field.value = link;
      button.after(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy link"), 1500);
  }

  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches && event.target.matches("input, textarea, select");
    if (event.target.id === "text-input") {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        commitNow();
      }
    } else if (event.target.closest && event.target.closest("#grid-frame") && event.key.startsWith("Arrow")) {
      event.preventDefault();
      moveSelection(event.key);
    }
    if (event.key === "Escape" && pinned && !document.querySelector("dialog[open]")) pin(null);
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && document.getElementById("text-input")) {
      event.preventDefault();
      document.getElementById("text-input").focus();
    }
    if (event.key === "?") document.getElementById("keys-dialog").showModal();
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("button");
    if (!button) return;
    if (button.id === "theme-toggle") {
      const theme = document.documentElement.dataset.bsTheme === "dark" ? "light" : "dark";
      localStorage.setItem("theme", JSON.stringify(theme));
      applyTheme(theme);
    }
    if (button.id === "keys-open") document.getElementById("keys-dialog").showModal();
    if (button.id === "analyse-button") commitNow();
    if (button.id === "copy-link") copyLink(button);
    if (button.dataset.example && button.dataset.example !== seen.text) {
      edited();
      set("text-input", { value: button.dataset.example });
    }
  });

  document.addEventListener("input", (event) => {
    const known = { "text-input": seen.text, "model-select": seen.model };
    const { id, value } = event.target;
    if (id in known && value !== known[id]) edited();
  });

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
    if (!localStorage.getItem("theme")) applyTheme(event.matches ? "dark" : "light");
  });

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    moescope: { gate, status, newest, polling, settle, select, currentTheme },
  });
})();
