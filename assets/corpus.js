/* A corpus is handed in: a file is sent, its columns are chosen, a pass begins. */
(function () {
  "use strict";

  const { to } = window.moescope;
  const SILENT = "The server does not answer. Try again in a moment.";
  const BROKE_OFF = "The upload broke off. The server may be gone, or the file larger than it takes.";

  const byId = (id) => document.getElementById(`corpora-${id}`);
  const megabytes = (bytes) => (bytes / 1e6).toLocaleString("en", { maximumFractionDigits: bytes < 1e7 ? 1 : 0 });

  const sizeOf = (bytes) => (bytes < 1e5 ? `${Math.ceil(bytes / 1e3)} kB` : `${megabytes(bytes)} MB`);

  let sending = null; // the request that carries a file
  let asked = 0; // counts what was asked for, so that a late answer to something older is dropped
  let corpus = null; // what the server says of the file whose columns are chosen

  /* An element with properties, and with what stands in it. */
  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  function say(words, problem = "") {
    byId("status").textContent = words;
    byId("problem").textContent = problem;
  }

  /* What went wrong, of the API's answer to a request. It may begin with a file's name, so that
     it is no sentence by itself. */
  function problemOf(text, failing, otherwise) {
    try {
      return `${failing}: ${JSON.parse(text).detail}`.replace(/[^.…]$/, "$&.");
    } catch (error) {
      return otherwise;
    }
  }

  /* Asks the API; gives the answer, or throws an Error whose message can be shown. */
  async function ask(path, { method = "GET", body, failing = "Not done" } = {}) {
    const headers = body ? { "Content-Type": "application/json" } : {};
    let answer, text;
    try {
      answer = await fetch(to(`/api/v1/${path}`), { method, headers, body: body && JSON.stringify(body) });
      text = await answer.text();
    } catch (error) {
      throw new Error(SILENT);
    }
    if (!answer.ok) throw new Error(problemOf(text, failing, SILENT));
    return text ? JSON.parse(text) : null;
  }

  function send(file) {
    stop();
    asked += 1;
    const request = (sending = new XMLHttpRequest());
    const sent = (bytes, size) => {
      Object.assign(byId("sent"), { max: size || 1, value: bytes });
      byId("sent-words").textContent = `${megabytes(bytes)} of ${megabytes(size)} MB`;
    };
    /* Whether this is still what is being sent; it is not once the page was left. */
    const wanted = () => {
      if (sending === request && !byId("sending")) stop();
      return sending === request;
    };
    const failed = (problem) => {
      rest();
      say("", problem);
    };
    say(`Sending ${file.name}`);
    byId("sending").hidden = false;
    sent(0, file.size);
    request.upload.onprogress = ({ loaded, total }) => wanted() && sent(loaded, total);
    request.upload.onload = () => wanted() && say(`Looking into ${file.name}`);
    request.onerror = () => wanted() && failed(BROKE_OFF);
    request.onload = () => {
      if (!wanted()) return;
      if (request.status !== 201) return failed(problemOf(request.responseText, "Not taken", BROKE_OFF));
      rest();
      choose(JSON.parse(request.responseText));
    };
    request.open("POST", to(`/api/v1/uploads?name=${encodeURIComponent(file.name)}`));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(file);
  }

  function rest() {
    sending = null;
    byId("sending").hidden = true;
    byId("file").value = ""; // the same file may be chosen again
  }

  function stop() {
    const request = sending;
    sending = null;
    if (request) request.abort();
  }

  async function example() {
    if (sending) {
      stop();
      rest();
    }
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

  /* What is dropped anywhere on the page counts; without this the browser would leave for it. */
  function dragged(event) {
    if (!byId("drop") || !event.dataTransfer || ![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    byId("drop").classList.toggle("over", event.type === "dragover");
    if (event.type !== "drop") return;
    const { files } = event.dataTransfer;
    if (files.length === 1) send(files[0]);
    else say("", "Hand in one file at a time.");
  }

  ["dragover", "dragleave", "drop"].forEach((kind) => document.addEventListener(kind, dragged));

  document.addEventListener("click", ({ target }) => {
    if (target.id === "corpora-example") example();
    if (target.id !== "corpora-sending-cancel") return;
    stop();
    rest();
    say("The upload was cancelled.");
    byId("file").focus();
  });

  document.addEventListener("change", ({ target }) => {
    if (target.id === "corpora-file" && target.files.length) send(target.files[0]);
    if (target.id === "corpora-text") offer(labels());
  });

  document.addEventListener("submit", (event) => {
    if (event.target.id !== "corpora-form") return;
    event.preventDefault();
    begin();
  });

  /* The page is there anew, or was left. */
  function start() {
    stop();
    asked += 1;
    corpus = null;
    if (!byId("file-place")) return;
    byId("file-place").replaceChildren(make("input", { type: "file", id: "corpora-file" }));
    byId("form").hidden = true;
    rest();
    say("");
  }

  window.moescope.corpus = { start, make, ask, say };
})();
