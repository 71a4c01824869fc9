/* A file is handed in: chosen or dropped, sent with its progress, or called off. And what every
   page with such a place needs: elements, and questions to the API. */
(function () {
  "use strict";

  const { to } = window.moescope;
  const SILENT = "The server does not answer. Try again in a moment.";
  const BROKE_OFF = "The upload broke off. The server may be gone, or the file larger than it takes.";

  const megabytes = (bytes) => (bytes / 1e6).toLocaleString("en", { maximumFractionDigits: bytes < 1e7 ? 1 : 0 });

  /* An element with properties, and with what stands in it. */
  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
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

  /* The place of a page where files are handed in; its elements have ids that begin with `page`.
     `path` of the API takes a file, `taken` what it says of it; `began` hears that one is sent. */
  function uploader(page, path, taken, began = () => {}) {
    const byId = (id) => document.getElementById(`${page}-${id}`);
    let sending = null; // the request that carries a file

    function say(words, problem = "") {
      byId("status").textContent = words;
      byId("problem").textContent = problem;
    }

    function send(file) {
      stop();
      began();
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
        taken(JSON.parse(request.responseText));
      };
      request.open("POST", to(`/api/v1/${path}?name=${encodeURIComponent(file.name)}`));
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

    /* Calls off what is being sent, if anything is. */
    function leave() {
      if (!sending) return;
      stop();
      rest();
    }

    /* What is dropped anywhere on the page counts; without this the browser would leave for it. */
    function dragged(event) {
      const place = byId("drop");
      if (!place || !place.offsetParent || !event.dataTransfer) return;
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      place.classList.toggle("over", event.type === "dragover");
      if (event.type !== "drop") return;
      const { files } = event.dataTransfer;
      if (files.length === 1) send(files[0]);
      else say("", "Hand in one file at a time.");
    }

    ["dragover", "dragleave", "drop"].forEach((kind) => document.addEventListener(kind, dragged));

    document.addEventListener("click", ({ target }) => {
      if (target.id !== `${page}-sending-cancel`) return;
      leave();
      say("The upload was cancelled.");
      byId("file").focus();
    });

    document.addEventListener("change", ({ target }) => {
      if (target.id === `${page}-file` && target.files.length) send(target.files[0]);
    });

    /* The page is there anew, or was left. */
    function start() {
      stop();
      if (!byId("file-place")) return;
      byId("file-place").replaceChildren(make("input", { type: "file", id: `${page}-file` }));
      rest();
      say("");
    }

    return { start, leave, say };
  }

  /* Keeps a list as the server tells it: `rows` has those that stand there by id, `rowOf` makes a
     new one with its `element` and how to `update` it. `heading` gets the focus of one that goes. */
  function keepRows(list, heading, rows, lines, rowOf) {
    const known = new Set(lines.map(({ id }) => id));
    rows.forEach(({ element }, id) => {
      if (known.has(id)) return;
      if (element.contains(document.activeElement)) heading.focus();
      element.remove();
      rows.delete(id);
    });
    lines.forEach((line, i) => {
      const row = rows.get(line.id) || rowOf(line.id);
      rows.set(line.id, row);
      row.update(line);
      const there = list.children[i];
      if (there !== row.element) list.insertBefore(row.element, there || null);
    });
  }

  Object.assign(window.moescope, { make, ask, keepRows, megabytes, uploader });
})();
