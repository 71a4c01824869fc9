/* The live page and a recorded run's: what is asked for next, what the status says, when a text
   is recorded, the selection and the address. A drawing is asked for by a plain request, not by
   a callback of Dash, which would take longer from the key to the request than the server does
   to answer it. */
(function () {
  "use strict";

  const REST_MS = 2000; // a text that rests this long is an analysis
  const STALE_MS = 8000; // a request unanswered this long was lost
  const RETRY_MS = 900; // so long after one that was lost, or found no room, the next is sent
  const SETTLE_MS = 500; // table and measures follow once typing pauses
  const LATE_MS = 1000; // what Dash says of the text this long after a key is news
  const KEPT = "moescope-text"; // the text survives a reload, and a visit to another page
  const WRITTEN = "moescope-address"; // what this page wrote there last: it is no newer than the text
  const GONE = "The server does not answer. Your text is kept; trying again.";
  const FAILED = "Something went wrong on the server; its log says more. Your text and the last diagrams are kept.";

  const { to, set, skip } = window.moescope;
  const visitor = Math.random().toString(36).slice(2) + Date.now().toString(36);

  let seen = null; // what the page asks for now: text, model, view, settings, attempt, or a run
  let given = null; // the request that a recorded run's page came with
  let theme = "light";
  let pinned = null; // the selection
  let typed = null; // the last text that came from the keyboard, until Dash knows it too
  let typedAt = 0;
  let edits = 0; // how often text, model or settings were changed
  let flight = null; // aborts the request that is under way
  let standing = ""; // what was asked when the answer that stands was given
  let outcome = null; // that answer, once it is painted
  let asked = 0; // requests so far
  let painted = 0; // the newest of them that was painted
  let visit = 0; // which page this is since the browser came
  let retry = null, rest = null, settling = null;
  let due = null; // an analysis to record once it is drawn
  let recorded = null; // where its recording stands
  let told = ""; // what the controls know of the model
  let own = null; // the model's own expert capacity, once known
  let usual = null; // the one that a recorded run was made at, else the model's own

  const blank = (text) => !text || !text.trim();
  const key = (x) => JSON.stringify([x.run, x.text, x.model, x.settings || {}, x.attempt || 0]);
  const same = (a, b) => !!a && !!b && key(a) === key(b);
  const alike = (a, b) => same(a, b) && a.view === b.view;

  /* A page opens: what the last one knew is of no use to it. */
  function open(_id, request, selection, kept) {
    if (flight) flight.abort();
    [retry, rest, settling].forEach(clearTimeout);
    visit += 1;
    [seen, typed, flight, outcome, due, own, usual] = Array(7).fill(null);
    standing = told = "";
    given = request || null;
    pinned = selection || null;
    recorded = kept || null;
    theme = document.documentElement.dataset.bsTheme;
    const text = sessionStorage.getItem(KEPT);
    const linked = new URLSearchParams(location.search).has("text");
    if (text !== null && !given && (!linked || location.search === sessionStorage.getItem(WRITTEN))) {
      [typed, typedAt] = [text, Date.now()];
      type(text);
    }
    return [theme, visitor];
  }

  /* Fills the text box as the keyboard would: it keeps a text of its own until Dash is told. */
  function type(text) {
    const box = document.getElementById("text-input");
    Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(box, text);
    box.dispatchEvent(new Event("input", { bubbles: true }));
  }

  /* What the controls say, and which of them go with the model. */
  function settings(view, source, target, tokens, sample, temperature, seed, capacity, again, told, current) {
    const box = document.getElementById("controls");
    if (told && told.kind) {
      box.dataset.kind = told.kind;
      box.dataset.capacity = told.capacity || "";
      const options = viewOptions(told.kind);
      if (box.dataset.options !== told.kind) set("stack-view", { options });
      if (view === "decoder" && !options.some(({ value }) => value === view)) {
        view = "both";
        set("stack-view", { value: view });
      }
      box.dataset.options = told.kind;
      if (!told.capacity) own = null;
      usual = told.usual || told.capacity;
      if (told.capacity && told.capacity !== own) {
        const untouched = own === null ? capacity === 64 : capacity === own;
        own = told.capacity;
        if (untouched) capacity = own;
        set("capacity-slider", { max: own, value: Math.min(capacity, own) });
      }
    }
    box.dataset.view = view;
    box.dataset.source = source;
    box.dataset.sample = sample;
    // Through React's own state: it drops clicks on a button that it believes disabled.
    set("stop-button", { disabled: !(told && told.state === "generating") });
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
    const chosen = Math.min(Number(capacity), own);
    if (own && chosen !== usual) next.settings.capacity = chosen;
    return current && JSON.stringify(current) === JSON.stringify(next) ? skip() : next;
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

  /* Dash tells what the page holds now; it knows a typed text later than the keyboard does. */
  function follow(text, model, controls, colors) {
    theme = colors;
    if (text === typed || Date.now() - typedAt > LATE_MS) typed = null;
    // Before the first drawing the controls don't know which capacity is a run's usual one.
    const looked = outcome && { view: controls.view, settings: controls.settings };
    change(given ? { ...given, ...looked } : { text: typed ?? text, model, ...controls });
  }

  function change(next) {
    const before = seen;
    seen = next;
    if (before && !alike(before, seen)) edits += 1;
    if (!given && !same(before, seen)) {
      due = null;
      clearTimeout(rest);
      rest = setTimeout(commitNow, REST_MS);
    }
    ask();
    if (!alike(before, seen)) tell();
  }

  document.addEventListener(
    "input",
    ({ target }) => {
      if (target.id !== "text-input" || !seen || given) return;
      typed = target.value;
      typedAt = Date.now();
      sessionStorage.setItem(KEPT, typed);
      change({ ...seen, text: typed });
    },
    true,
  );

  const wanted = () => JSON.stringify([seen, pinned, theme]);
  const going = () => !!outcome && outcome.state === "generating" && alike(outcome, seen);

  /* One request in flight, the newest text next, and none that would be out of date. */
  function ask() {
    if (!seen || flight || (!given && blank(seen.text)) || wanted() === standing) return;
    clearTimeout(retry);
    send();
  }

  async function send() {
    const [mine, about, now] = [visit, wanted(), (asked += 1)];
    const request = { ...seen, visitor, known: going() ? outcome.made : -1, selection: pinned, theme };
    flight = new AbortController();
    const patience = setTimeout(() => flight.abort(), STALE_MS);
    let answer = null, status = 0;
    try {
      const options = { method: "POST", headers: { "Content-Type": "application/json" }, signal: flight.signal };
      const response = await fetch(to("/api/v1/drawings"), { ...options, body: JSON.stringify(request) });
      status = response.status;
      answer = response.ok ? await response.json() : null;
    } catch (error) {
      status = 0; // cut off, refused, or silent for too long
    }
    clearTimeout(patience);
    if (mine !== visit) return; // another page by now
    flight = null;
    if (!answer) {
      // What the server stumbled over it would stumble over again; what was lost it never saw.
      answer = { outcome: { state: "error", message: status ? FAILED : GONE } };
    }
    answer.outcome = { ...request, ...answer.outcome };
    const later = status === 0 || ["loading", "busy"].includes(answer.outcome.state);
    const more = answer.outcome.state === "generating";
    standing = later || more ? "" : about;
    if (later) retry = setTimeout(ask, RETRY_MS);
    else if (!more) ask(); // the server is at the next one while the browser paints
    if (answer.figures) show(answer.figures);
    await frames();
    if (mine !== visit || painted > now) return;
    painted = now;
    deliver(answer);
    if (more) ask();
  }

  /* The figures in view; those of a second stack have places of their own. */
  function show(figures) {
    for (const place of document.querySelectorAll(".second")) place.hidden = !figures[place.dataset.figure];
    for (const [id, figure] of Object.entries(figures)) {
      const place = document.getElementById(id);
      if (place) window.moescope.draw(place, figure);
    }
  }

  /* Resolves once what was drawn is painted. A page in the background paints nothing, so this
     does not wait for ever. */
  async function frames() {
    for (let i = 0; i < 2; i += 1)
      await Promise.race([
        new Promise((next) => requestAnimationFrame(next)),
        new Promise((next) => setTimeout(next, 100)),
      ]);
  }

  /* Status, links and words are set in the document: through Dash each would cost as much as
     the drawing. It has no children and no addresses of its own for these. */
  function deliver(answer) {
    const { kind, capacity, usual, state } = (outcome = answer.outcome);
    commitDue();
    tell();
    words(answer.words);
    window.moescope.toAtlas(outcome.selection);
    // The controls are Dash's: they are told what they must know, when it is something new.
    if (kind) {
      const facts = { kind, capacity, usual, state: state === "generating" ? state : "" };
      const content = JSON.stringify(facts);
      if (content !== told) set("outcome", { data: facts });
      told = content;
    }
    settle();
  }

  /* Writes HTML into the places that it is given for. */
  function words(...said) {
    for (const [id, html] of said.flatMap((each) => Object.entries(each || {}))) {
      const place = document.getElementById(id);
      if (place && place.written !== html) place.innerHTML = place.written = html;
    }
  }

  function settle() {
    clearTimeout(settling);
    const done = outcome.state === "shown";
    const { text, model, view, settings, attempt, run } = outcome;
    const data = { text, model, view, settings, attempt, visitor, ...(run ? { run } : {}) };
    settling = setTimeout(() => {
      if (done) set("settled", { data });
      keepAddress();
    }, SETTLE_MS);
  }

  function commitDue() {
    if (due && outcome && outcome.state === "shown" && same(due, outcome)) {
      set("commit", { data: { ...due, visitor, at: Date.now() } });
      due = null;
    }
  }

  function commitNow() {
    clearTimeout(rest);
    if (seen && !given && !blank(seen.text)) {
      due = { ...seen };
      commitDue();
    }
  }

  /* Dash tells where the recording stands. An answer about an older text may come after that
     about a newer one. */
  function keep(receipt) {
    if (!receipt || (recorded && recorded.at > receipt.at)) return skip();
    recorded = receipt;
    tell();
    return receipt;
  }

  const waits = (receipt) => !!receipt && receipt.status === "pending";
  const polling = (receipt) => !waits(receipt);

  /* What the status says, never about an older text, not even for a moment. */
  function tell() {
    const element = document.getElementById("status");
    if (!element || !seen) return;
    const kept = recorded && outcome && same(recorded, outcome) ? recorded : null;
    const [state, words] = stateOf(kept);
    const run = state === "recorded" ? kept.run_id : "";
    // What waits for the store opens already.
    const id = run || (state === "shown" && waits(kept) ? kept.run_id || kept.id : "");
    Object.assign(element.dataset, { state, runId: run, streaming: going() });
    if (element.textContent !== words) element.textContent = words;
    address("run-link", id && to(`/runs/${id}`));
    address("download-csv", id && to(`/api/v1/analyses/${id}/routing.csv`));
    document.getElementById("copy-link").disabled = !id;
    window.moescope.offer(id && to(`/api/v1/analyses/${id}/`), id);
  }

  function address(id, href) {
    const link = document.getElementById(id);
    if (href) link.href = href;
    else link.removeAttribute("href");
  }

  function stateOf(kept) {
    if (!given && blank(seen.text)) return ["idle", "Type a sentence. The last diagrams stay."];
    if (!outcome) return ["working", "Getting ready"];
    if (outcome.state === "loading") return ["working", outcome.message];
    if (!alike(outcome, seen)) return ["working", "Tracing"];
    if (outcome.state === "busy") return ["working", outcome.message];
    if (outcome.state === "error") return ["error", outcome.message];
    if (outcome.state === "generating") return ["working", `Generating, ${outcome.message || "starting"}`];
    const altered = outcome.settings && outcome.settings.capacity;
    const drawn = !given ? `Shown, ${outcome.message}` : altered ? "What if, not recorded" : "As recorded";
    if (!kept) return ["shown", drawn];
    if (kept.status === "failed") return ["error", `Not recorded: ${kept.detail}.`];
    if (waits(kept)) return ["shown", kept.detail ? `${drawn}. Kept here, waiting: ${kept.detail}.` : `${drawn}, being recorded`];
    return ["recorded", given ? drawn : `Recorded, ${outcome.message}`];
  }

  /* The address opens what is looked at, selection included, once somebody has changed it. */
  function keepAddress() {
    if (!outcome || !outcome.address || !edits) return;
    if (location.pathname !== to(outcome.run ? `/runs/${outcome.run}` : "/")) return;
    if (outcome.address.length > 12000) return;
    history.replaceState(history.state, "", withPin(outcome.address));
    if (!outcome.run) sessionStorage.setItem(WRITTEN, location.search);
  }

  /* An address that opens with what is selected. */
  function withPin(address) {
    if (!pinned) return address;
    const pin = encodeURIComponent(JSON.stringify(pinned));
    return `${address}${address.includes("?") ? "&" : "?"}pin=${pin}`;
  }

  function pin(next) {
    pinned = next;
    edits += 1;
    ask();
    set("selection", { data: next });
    keepAddress();
  }

  const stackOf = (id) => ((outcome && outcome.stacks) || ["encoder"])[id.endsWith("-2") ? 1 : 0];

  /* Clicking pins; clicking the same again frees. */
  document.addEventListener("choose", ({ target, detail }) => {
    const { x, y } = detail.cell || {};
    const cells = { "heatmap-figure": { layer: y, expert: x }, "token-grid": { token: x, layer: y } };
    const chosen = { ...(cells[target.id.replace(/-2$/, "")] || detail.data), stack: stackOf(target.id) };
    pin(JSON.stringify(chosen) === JSON.stringify(pinned) ? null : chosen);
  });

  function moveSelection(arrow, frame) {
    const size = outcome && outcome.sizes && outcome.sizes[frame.id.endsWith("-2") ? 1 : 0];
    if (!size) return;
    const stack = stackOf(frame.id);
    const clamp = (value, most) => Math.max(0, Math.min(most - 1, value));
    const from = pinned && pinned.token !== undefined && pinned.stack === stack ? pinned : null;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[arrow];
    const next = from
      ? { token: clamp(from.token + step[0], size.tokens), layer: clamp((from.layer || 0) + step[1], size.layers) }
      : { token: 0, layer: 0 };
    pin({ ...next, stack });
    const column = frame.scrollWidth / size.tokens;
    frame.scrollLeft = Math.max(0, next.token * column - frame.clientWidth / 2);
  }

  async function copyLink(button) {
    const look = outcome && outcome.look ? `?${outcome.look}` : "";
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
    const { target, key: pressed } = event;
    if (target.id === "text-input" && pressed === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      commitNow();
    } else if (target.closest && target.closest(".grid-frame") && pressed.startsWith("Arrow")) {
      event.preventDefault();
      moveSelection(pressed, target.closest(".grid-frame"));
    }
  });

  document.addEventListener("click", ({ target }) => {
    const button = target.closest && target.closest("button");
    if (!button) return;
    if (button.id === "analyse-button") commitNow();
    if (button.id === "copy-link") copyLink(button);
    if (button.dataset.example) type(button.dataset.example);
  });

  /* Whether there was a selection to free. */
  function free() {
    if (!pinned || !document.getElementById("flow-figure")) return false;
    pin(null);
    return true;
  }

  window.moescope.free = free;
  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    moescope: { open, settings, follow, keep, polling, words },
  });
})();
