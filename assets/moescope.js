/* What the page does by itself: which text is asked for next, when it is recorded, what the
   status says, the selection, keys and theme. Everything else is the server's. */
(function () {
  "use strict";

  const REST_MS = 2000; // a text that rests this long is an analysis
  const STALE_MS = 8000; // a request unanswered this long was lost
  const RETRY_MS = 900; // so long after one that failed, or found no room, the next is sent
  const SETTLE_MS = 350; // the table follows once typing pauses

  // Behind a base path every address of ours begins with it.
  const config = JSON.parse(document.getElementById("_dash-config").textContent);
  const to = (path) => config.requests_pathname_prefix.replace(/\/$/, "") + path;
  // Somebody came by the port itself, not through the proxy that the links are made for.
  if (!location.pathname.startsWith(to("/"))) location.replace(to(location.pathname) + location.search + location.hash);

  let seen = {}; // what is asked for now: text, model, view, settings, attempt
  let rest = null;
  let settling = null;
  let due = null; // an analysis to record once it is drawn
  let busySince = 0;
  let freeSince = 0;
  let sentAt = 0;
  let shown = null; // the last outcome, for keys
  let pinned = null; // the selection, for keys
  let edits = 0; // how often text, model or settings were changed
  let own = null; // the model's own expert capacity, once known
  let usual = null; // the one that a recorded run was made at, else the model's own
  const visitor = Math.random().toString(36).slice(2) + Date.now().toString(36);

  const skip = () => window.dash_clientside.no_update;
  // A timer may outlive the page it was set on, with its components.
  const there = (id) => {
    try {
      return window.dash_component_api.getLayout(id) !== undefined;
    } catch (error) {
      return false; // what it does for an id that is nowhere
    }
  };
  const set = (id, props) => there(id) && window.dash_clientside.set_props(id, props);
  const blank = (text) => !text || !text.trim();
  const asked = (x) => JSON.stringify([x.run, x.text, x.model, x.settings || {}, x.attempt || 0]);
  const same = (a, b) => a && b && asked(a) === asked(b);
  const alike = (a, b) => same(a, b) && a.view === b.view;

  /* What the controls say, and which of them go with the model. */
  function settings(view, source, target, tokens, sample, temperature, seed, capacity, again, outcome, current) {
    const box = document.getElementById("controls");
    if (outcome && outcome.kind) {
      box.dataset.kind = outcome.kind;
      box.dataset.capacity = outcome.capacity || "";
      const options = viewOptions(outcome.kind);
      if (box.dataset.options !== outcome.kind) set("stack-view", { options });
      if (view === "decoder" && !options.some(({ value }) => value === view)) {
        view = "both";
        set("stack-view", { value: view });
      }
      box.dataset.options = outcome.kind;
      if (!outcome.capacity) own = null;
      usual = outcome.usual || outcome.capacity;
      if (outcome.capacity && outcome.capacity !== own) {
        const untouched = own === null ? capacity === 64 : capacity === own;
        own = outcome.capacity;
        if (untouched) capacity = own;
        set("capacity-slider", { max: own, value: Math.min(capacity, own) });
      }
    }
    box.dataset.view = view;
    box.dataset.source = source;
    box.dataset.sample = sample;
    // Through React's own state: it drops clicks on a button that it believes disabled.
    set("stop-button", { disabled: !(outcome && outcome.state === "generating") });
    const next = { view, settings: {}, attempt: again || 0 };
    if (view !== "encoder" && !box.dataset.recorded) {
      if (source === "target" && box.dataset.kind !== "decoder-only") next.settings.target = target || "";
      else {
        next.settings.generate = { max_new_tokens: tokens ?? null, do_sample: !!sample };
        if (sample) Object.assign(next.settings.generate, { temperature: temperature ?? null, seed: seed ?? null });
      }
    }
    const room = document.getElementById("capacity-label");
    if (own) room.textContent = `Room for ${capacity} of ${own} tokens per expert`;
    const given = Math.min(Number(capacity), own);
    if (own && given !== usual) next.settings.capacity = given;
    if (current && JSON.stringify(current) === JSON.stringify(next)) return skip();
    if (current && !same(current, next)) edited();
    else if (current) edits += 1; // another view of the same
    return next;
  }

  function viewOptions(kind) {
    if (kind === "decoder-only")
      return [
        { label: "Prompt", value: "encoder" },
        { label: "Prompt and generated", value: "both" },
      ];
    return ["encoder", "decoder", "both"].map((value) => ({
      label: value[0].toUpperCase() + value.slice(1),
      value,
    }));
  }

  function commitDue() {
    if (due && shown && shown.state === "shown" && same(due, shown)) {
      set("commit", { data: { ...due, visitor, at: Date.now() } });
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
  function gate(text, model, settings, busy, _pulse, request, outcome) {
    if (!settings) return skip();
    if (request && request.run) return regard(request, settings, busy, outcome);
    const wanted = { text, model, ...settings };
    if (!same(wanted, seen)) {
      due = null;
      clearTimeout(rest);
      rest = setTimeout(commitNow, REST_MS);
    }
    seen = wanted;
    const now = Date.now();
    busySince = busy ? busySince || now : 0;
    freeSince = busy ? 0 : freeSince || now;
    if (blank(text) || (busy && now - busySince < STALE_MS)) return skip();
    const going = outcome && outcome.state === "generating" && alike(outcome, seen);
    if (request && alike(request, seen)) {
      const answered = outcome && !outcome.gone && [request.n, undefined].includes(outcome.n);
      const later = answered && ["loading", "busy"].includes(outcome.state);
      if (answered && !later && !going) return skip();
      if (!going && now - sentAt < RETRY_MS) return skip();
      if (!answered) {
        // What came back was no answer: the connection was cut, or the server is gone.
        if (!busy && now - freeSince < RETRY_MS) return skip();
        set("outcome", {
          data: {
            state: "error",
            gone: true,
            message: "The server does not answer. Your text is kept; trying again.",
          },
        });
      }
    }
    busySince = freeSince = 0;
    sentAt = now;
    const known = going ? outcome.made : -1;
    return { ...seen, visitor, known, n: (request ? request.n : 0) + 1 };
  }

  /* A recorded run is not computed again; another stack or capacity of it can be looked at. */
  function regard(request, settings, busy, outcome) {
    const next = { ...request, view: settings.view, settings: settings.settings };
    // Before the first drawing the controls don't know yet which capacity is the usual one.
    return busy || !outcome || alike(next, request) ? skip() : next;
  }

  /* Resolves once the diagrams have been painted. A page in the background paints nothing,
     so this does not wait for ever. */
  async function painted() {
    const frame = () =>
      Promise.race([
        new Promise((next) => requestAnimationFrame(next)),
        new Promise((next) => setTimeout(next, 100)),
      ]);
    const missing = () => !document.querySelector(".drawing svg");
    for (let tries = 0; missing() && tries < 100; tries += 1) await frame();
    await frame();
    await frame();
  }

  /* What the status says must never be about an older text, not even for a moment. */
  function mark(state, id) {
    const element = document.getElementById("status");
    if (!element) return;
    element.dataset.state = state;
    element.dataset.streaming = !!(shown && shown.state === "generating");
    element.dataset.runId = id;
  }

  /* The figures in view; those of a second stack have places of their own. */
  function draw(figures) {
    for (const place of document.querySelectorAll(".second")) place.hidden = !figures[place.dataset.figure];
    for (const [id, figure] of Object.entries(figures)) window.moescope.draw(document.getElementById(id), figure);
  }

  async function status(outcome, recorded, request, text, settings) {
    const kept = recorded && outcome && same(recorded, outcome) ? recorded : null;
    const [state, message] = stateOf(outcome, kept, request, text, settings);
    shown = outcome || null;
    commitDue();
    const before = edits;
    if (state === "shown" || state === "recorded") await painted();
    if (edits !== before) return Array(6).fill(skip()); // the newer text has its own say
    mark(state, state === "recorded" ? kept.run_id : "");
    // What waits for the store opens already.
    const id = state === "recorded" || waits(kept) ? kept.run_id || kept.id : "";
    const href = id ? to(`/runs/${id}`) : undefined;
    const csv = id ? to(`/api/v1/analyses/${id}/routing.csv`) : undefined;
    return [message, state, state === "recorded" ? id : "", href, csv, !id];
  }

  /* Called when text, model or settings become something else: what stood there is out of date
     at once. */
  function edited() {
    edits += 1;
    mark("working", "");
  }

  function stateOf(outcome, kept, request, text, settings) {
    if (blank(text)) return ["idle", "Type a sentence. The last diagrams stay."];
    if (!outcome || !request) return ["working", "Getting ready"];
    if (outcome.state === "loading") return ["working", outcome.message];
    const current =
      outcome.run || outcome.n === undefined || (outcome.n === request.n && alike(outcome, { ...outcome, ...settings, text }));
    if (!current) return ["working", "Tracing"];
    if (outcome.state === "error") return ["error", outcome.message];
    if (outcome.state === "generating") return ["working", `Generating, ${outcome.message || "starting"}`];
    const altered = outcome.settings && outcome.settings.capacity;
    const drawn = !request.run ? `Shown, ${outcome.message}` : altered ? "What if, not recorded" : "As recorded";
    if (!kept) return ["shown", drawn];
    if (kept.status === "failed") return ["error", `Not recorded: ${kept.detail}.`];
    if (waits(kept)) return ["shown", kept.detail ? `${drawn}. Kept here, waiting: ${kept.detail}.` : `${drawn}, being recorded`];
    return ["recorded", request.run ? drawn : `Recorded, ${outcome.message}`];
  }

  function newest(receipt, recorded) {
    return recorded && recorded.at > receipt.at ? skip() : receipt;
  }

  function polling(recorded) {
    return !waits(recorded);
  }

  const waits = (recorded) => !!recorded && recorded.status === "pending";

  function settle(outcome, settled) {
    clearTimeout(settling);
    if (outcome && outcome.state === "shown" && !alike(outcome, settled)) {
      const { text, model, view, settings, attempt, run } = outcome;
      const data = { text, model, view, settings, attempt, visitor, ...(run ? { run } : {}) };
      settling = setTimeout(() => set("settled", { data }), SETTLE_MS);
    }
    keepAddress(outcome);
    return skip();
  }

  /* The address opens what is looked at, selection included, once somebody has changed it. */
  function keepAddress(outcome) {
    if (!outcome || !outcome.address || !edits) return;
    if (location.pathname !== to(outcome.run ? `/runs/${outcome.run}` : "/")) return;
    if (outcome.address.length < 12000) history.replaceState(history.state, "", withPin(outcome.address));
  }

  /* An address that opens with what is selected. */
  function withPin(address) {
    if (!pinned) return address;
    const pin = encodeURIComponent(JSON.stringify(pinned));
    return `${address}${address.includes("?") ? "&" : "?"}pin=${pin}`;
  }

  /* Clicking pins; clicking the same again frees. */
  document.addEventListener("choose", ({ target, detail }) => {
    const { x, y } = detail.cell || {};
    const next = { "heatmap-figure": { layer: y, expert: x }, "token-grid": { token: x, layer: y } };
    const chosen = { ...(next[target.id.replace(/-2$/, "")] || detail.data), stack: stackOf(target.id) };
    pin(JSON.stringify(chosen) === JSON.stringify(pinned) ? null : chosen);
  });

  const stackOf = (id) => ((shown && shown.stacks) || ["encoder"])[id.endsWith("-2") ? 1 : 0];

  function currentTheme(_id, selection) {
    pinned = selection || null;
    shown = null;
    due = null;
    seen = {};
    own = null;
    usual = null;
    return document.documentElement.dataset.bsTheme;
  }

  const themeNow = () => document.documentElement.dataset.bsTheme;

  function goToSection() {
    const section = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    // The text of the sections is laid out a moment after they are there.
    if (section) [0, 300, 1000].forEach((wait) => setTimeout(() => section.scrollIntoView(), wait));
    return skip();
  }

  function applyTheme(theme) {
    document.documentElement.dataset.bsTheme = theme;
    document.documentElement.dataset.agThemeMode = theme;
    if (document.getElementById("flow-figure")) set("theme", { data: theme });
    if (document.getElementById("changes-figure")) set("compare-theme", { data: theme });
  }

  function pin(next) {
    pinned = next;
    edits += 1;
    set("selection", { data: next });
    keepAddress(shown);
  }

  function moveSelection(key, frame) {
    const which = frame.id.endsWith("-2") ? 1 : 0;
    const size = shown && shown.sizes && shown.sizes[which];
    if (!size) return;
    const stack = stackOf(frame.id);
    const clamp = (value, most) => Math.max(0, Math.min(most - 1, value));
    const from = pinned && pinned.token !== undefined && pinned.stack === stack ? pinned : null;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    const next = from
      ? { token: clamp(from.token + step[0], size.tokens), layer: clamp((from.layer || 0) + step[1], size.layers) }
      : { token: 0, layer: 0 };
    pin({ ...next, stack });
    const column = frame.scrollWidth / size.tokens;
    frame.scrollLeft = Math.max(0, next.token * column - frame.clientWidth / 2);
  }

  async function copyLink(button) {
    const look = shown && shown.look ? `?${shown.look}` : "";
    const link = withPin(document.getElementById("run-link").href + look);
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
    } else if (event.target.closest && event.target.closest(".grid-frame") && event.key.startsWith("Arrow")) {
      event.preventDefault();
      moveSelection(event.key, event.target.closest(".grid-frame"));
    }
    const closed = event.key === "Escape" && closeHelp(null);
    if (event.key === "Escape" && !closed && pinned && !document.querySelector("dialog[open]")) pin(null);
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && document.getElementById("text-input")) {
      event.preventDefault();
      document.getElementById("text-input").focus();
    }
    if (event.key === "?") document.getElementById("keys-dialog").showModal();
  });

  /* An open «?» or menu closes as other popovers do. */
  function closeHelp(except) {
    const open = [...document.querySelectorAll(".metric-help[open], .menu[open]")].filter(
      (help) => !help.contains(except),
    );
    open.forEach((help) => {
      if (help.contains(document.activeElement)) help.querySelector("summary").focus();
      help.open = false;
    });
    return open.length > 0;
  }

  /* The files of a run have addresses once there is one; the CSV's leads to its others. */
  function offer(csv) {
    const folder = csv ? csv.replace(/routing\.csv$/, "") : "";
    document.querySelectorAll("[data-file]").forEach((link) => {
      if (folder) link.href = folder + link.dataset.file;
      else link.removeAttribute("href");
      link.setAttribute("aria-disabled", !folder);
    });
    const id = folder.split("/").slice(-2)[0] || "";
    document.documentElement.dataset.run = id.slice(0, 8);
    return id;
  }

  /* What a place shows, as a Plotly figure, and its size; null if nothing can be seen there. */
  function shownAt(id) {
    const place = document.getElementById(id);
    if (!place || !place.offsetParent) return null;
    if (place.figure) return { ...place.figure, width: place.geometry.width, height: place.geometry.height };
    const plot = place.querySelector(".js-plotly-plot");
    if (!plot || !plot._fullLayout) return null;
    const { width, height } = plot._fullLayout;
    return { data: plot.data, layout: plot.layout, width, height };
  }

  /* A figure as a file, on the page's ground, at the size it is shown. */
  async function savePicture(button) {
    const { picture, format, name } = button.dataset;
    const { data, layout: own, width, height } = shownAt(picture);
    const ground = getComputedStyle(document.body).backgroundColor;
    const layout = { ...own, paper_bgcolor: ground };
    const run = document.documentElement.dataset.run;
    const filename = run ? `${name}-${run}` : name;
    const options = { format, width, height, scale: format === "png" ? 2 : 1, filename };
    try {
      await window.Plotly.downloadImage({ data, layout }, options);
    } catch (error) {
      const label = button.textContent;
      button.textContent = "The browser could not draw it";
      setTimeout(() => (button.textContent = label), 3000);
    }
  }

  /* A menu opens to where there is room. Graphs that are not shown now can't be saved. */
  function openMenu(menu) {
    menu.classList.toggle("to-right", menu.getBoundingClientRect().right < innerWidth / 2);
    menu.querySelectorAll("[data-picture]").forEach((button) => {
      button.hidden = !shownAt(button.dataset.picture);
    });
  }

  document.addEventListener("click", (event) => {
    closeHelp(event.target);
    const menu = event.target.closest && event.target.closest(".menu");
    if (menu) openMenu(menu);
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
    if (button.dataset.picture) savePicture(button);
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

  window.moescope = Object.assign(window.moescope || {}, { to });
  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    moescope: { settings, gate, status, newest, polling, settle, draw, currentTheme, themeNow, goToSection, offer },
  });
})();
