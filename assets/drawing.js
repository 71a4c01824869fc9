/* Draws the live figures as SVG. It knows the part of Plotly's figure format that flows, token
   grid and load use (app/figures/flow.py, grid.py, load.py), so the same figure is drawn here
   while somebody types, and by Plotly where it is exported. tests/e2e/test_drawing.py holds the
   two against each other. Not known here: any other trace type, axis or option. */
(function () {
  "use strict";

  const LINE = 1.3; // of the size of the letters, as Plotly has it
  const REACH = 40; // a point so many pixels away is still pointed at
  const LETTER = /^[\w×]$/;
  const TAG = /<(\/?)(i|b|br|span)((?: style="[\w\s:;#%(),.-]*")?)>/g;
  const SVG_TAG = { i: 'tspan font-style="italic"', b: 'tspan font-weight="bold"', span: "tspan" };

  /* Text that may hold the few tags of Plotly's own markup; nothing else in it is markup. */
  function markup(text, inSvg) {
    const safe = (part) => part.replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/&(?!\w+;|#\w+;)/g, "&amp;");
    let made = "", from = 0;
    for (const found of String(text).matchAll(TAG)) {
      const [whole, closing, name, style] = found;
      made += safe(text.slice(from, found.index));
      from = found.index + whole.length;
      if (name === "br") made += inSvg ? "\n" : "<br>";
      else if (closing) made += inSvg ? "</tspan>" : `</${name}>`;
      else made += inSvg ? `<${SVG_TAG[name]}${style.replace("color:", "fill:")}>` : `<${name}${style}>`;
    }
    return made + safe(String(text).slice(from));
  }

  const round = (value) => Math.round(value * 10) / 10;

  /* Where the plot stands in its picture, and how values of its axes become pixels. */
  function geometry(layout, width) {
    const { l, r, t, b } = layout.margin;
    const [w, h] = [width - l - r, layout.height - t - b];
    const along = (axis, from, size, upwards) => {
      const [first, last] = axis.range;
      const share = (value) => (value - first) / (last - first);
      return (value) => from + size * (upwards ? 1 - share(value) : share(value));
    };
    return {
      left: l, top: t, w, h, width, height: layout.height,
      x: along(layout.xaxis, l, w, false),
      y: along(layout.yaxis, t, h, true),
      paperY: (value) => t + h * (1 - value),
    };
  }

  /* How text looks, as attributes of itself or of a group of texts. */
  const look = ({ family, size, anchor, color }) =>
    (family ? ` font-family="${family.replace(/"/g, "'")}"` : "") +
    (size && size !== 12 ? ` font-size="${size}"` : "") +
    (anchor ? ` text-anchor="${anchor}"` : "") +
    (color ? ` fill="${color}"` : "");

  /* A text of one or more lines; `size` in pixels, `valign` says what of it stands at y. With a
     list for x each letter has a place of its own. */
  function words(text, x, y, valign, size = 12, attributes = "") {
    const lines = markup(text, true).split("\n");
    const rise = { bottom: lines.length - 1 + 0.3, middle: (lines.length - 1) / 2 - 0.27, top: -1 }[valign];
    const line = (words, i) => `<text x="${[x].flat().map(round).join(" ")}" y="${round(y - (rise - i) * size * LINE)}"${attributes}>${words}</text>`;
    return lines.map(line).join("");
  }

  /* A shape's path, from the axes' units to pixels; with `xsizemode` «pixel» across from an anchor. */
  function pathOf(shape, at) {
    const x = shape.xsizemode === "pixel" ? (value) => at.x(shape.xanchor) + value : at.x;
    return shape.path.replace(/([MLCHV])([^MLCHVZ]*)/g, (_all, letter, rest) => {
      const numbers = rest.match(/-?[\d.]+(?:e-?\d+)?/g) || [];
      const only = { H: x, V: at.y }[letter];
      return letter + numbers.map((n, i) => round((only || (i % 2 ? at.y : x))(Number(n)))).join(" ");
    });
  }

  function shapeOf(shape, at) {
    const line = shape.line || {};
    const stroke = line.width === 0 || !line.color ? "" : ` stroke="${line.color}" stroke-width="${line.width}"`;
    const look = `fill="${shape.fillcolor || "none"}"${stroke}`;
    if (shape.type === "path") return `<path d="${pathOf(shape, at)}" ${look}/>`;
    const y = shape.yref === "paper" ? at.paperY : at.y;
    const [x0, x1, y0, y1] = [at.x(shape.x0), at.x(shape.x1), y(shape.y0), y(shape.y1)].map(round);
    if (shape.type === "line") return `<path d="M${x0} ${y0}L${x1} ${y1}" ${look}/>`;
    return `<path d="M${x0} ${y0}H${x1}V${y1}H${x0}Z" ${look}/>`;
  }

  const rgb = (color) =>
    color[0] === "#" ? [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16)) : null;

  /* The colour of a heatmap's value; a scale may jump where two of its stops share a place. */
  function colorOf(trace) {
    const stops = trace.colorscale.map(([place, color]) => [place, color, rgb(color)]);
    const [low, high] = [trace.zmin ?? 0, trace.zmax ?? 1];
    return (value) => {
      const place = Math.min(1, Math.max(0, (value - low) / (high - low)));
      let i = 0;
      while (i < stops.length - 2 && place >= stops[i + 1][0]) i += 1;
      const [[from, color, a], [to, , b]] = [stops[i], stops[i + 1]];
      if (!a || !b) return color;
      const share = to > from ? (place - from) / (to - from) : 1;
      return `rgb(${a.map((part, channel) => Math.round(part + (b[channel] - part) * share)).join(",")})`;
    };
  }

  function heatmap(trace, at) {
    const color = colorOf(trace);
    const [gapX, gapY] = [(trace.xgap || 0) / 2, (trace.ygap || 0) / 2];
    const cells = {};
    trace.z.forEach((row, y) =>
      row.forEach((value, x) => {
        if (value === null) return;
        const [left, right] = [at.x(x - 0.5) + gapX, at.x(x + 0.5) - gapX].map(round);
        const [top, bottom] = [at.y(y - 0.5) + gapY, at.y(y + 0.5) - gapY].map(round);
        const fill = color(value);
        cells[fill] = `${cells[fill] || ""}M${left} ${top}H${right}V${bottom}H${left}Z`;
      }),
    );
    return Object.entries(cells).map(([fill, d]) => `<path fill="${fill}" d="${d}"/>`).join("");
  }

  /* The scale beside a heatmap, from its ground up. */
  function colorbar(trace, at, ink) {
    const bar = trace.colorbar;
    if (!bar) return "";
    const [left, top, height] = [at.left + at.w + 10, at.top + 10, at.h - 20];
    const stops = trace.colorscale
      .map(([place, color]) => `<stop offset="${place}" stop-color="${color}"/>`)
      .join("");
    const id = `scale-${trace.colorscale[trace.colorscale.length - 1][1].slice(1)}`;
    const ticks = bar.tickvals.map((value, i) => {
      const y = top + height * (1 - value / trace.zmax);
      const right = left + bar.thickness;
      return (
        `<path d="M${right} ${round(y)}h5" stroke="${ink}"/>` +
        words(bar.ticktext[i], right + 8, y, "middle")
      );
    });
    return (
      `<linearGradient id="${id}" x1="0" y1="1" x2="0" y2="0">${stops}</linearGradient>` +
      `<rect x="${left}" y="${top}" width="${bar.thickness}" height="${height}" fill="url(#${id})"/>${ticks.join("")}`
    );
  }

  function scatter(trace, at) {
    if (trace.mode === "lines") {
      let pen = "M";
      const d = trace.x.map((x, i) => {
        const step = x === null ? "" : `${pen}${round(at.x(x))} ${round(at.y(trace.y[i]))}`;
        pen = x === null ? "M" : "L";
        return step;
      });
      return `<path d="${d.join("")}" fill="none" stroke="${trace.line.color}" stroke-width="${trace.line.width}"/>`;
    }
    if (trace.mode !== "text") return ""; // points without a mark, to be pointed at
    const { family, size, color } = trace.textfont;
    const place = trace.textposition || "middle center";
    const anchor = place.endsWith("left") ? "end" : place.endsWith("right") ? "start" : "middle";
    // Letters in one row and of one colour are one element: laid out three times as fast.
    const rows = {};
    const made = trace.text.map((text, i) => {
      const [x, y] = [at.x(trace.x[i]), at.y(trace.y[i])];
      const own = Array.isArray(color) ? look({ color: color[i] }) : "";
      if (!LETTER.test(text)) return words(text, x, y, "middle", size, own);
      const row = (rows[`${y}${own}`] ||= { y, own, x: [], text: "" });
      row.x.push(x);
      row.text += text;
      return "";
    });
    for (const { text, x, y, own } of Object.values(rows)) made.push(words(text, x, y, "middle", size, own));
    const shared = look({ family, size, anchor, color: Array.isArray(color) ? "" : color });
    return `<g class="words"${shared}>${made.join("")}</g>`;
  }

  function ticks(axis, at, vertical) {
    if (axis.visible === false) return "";
    const { family, size } = axis.tickfont || {};
    const [top, turn] = [axis.side === "top", axis.tickangle];
    const anchor = vertical ? "end" : turn ? "start" : "middle";
    // Slanting texts stand in a turned group: a turn of its own for each is slow.
    const [cos, sin] = [Math.cos((turn * Math.PI) / 180), Math.sin((turn * Math.PI) / 180)];
    const made = axis.tickvals.map((value, i) => {
      if (vertical) return words(axis.ticktext[i], at.left - 4, at.y(value), "middle", size);
      const [x, y] = [at.x(value), top ? at.top - 9 : at.top + at.h + 3];
      if (turn) return words(axis.ticktext[i], x * cos + y * sin, y * cos - x * sin, "middle", size);
      return words(axis.ticktext[i], x, y, top ? "bottom" : "top", size);
    });
    if (turn) made.splice(0, made.length, `<g transform="rotate(${turn})">${made.join("")}</g>`);
    if (axis.title) made.push(words(axis.title.text, at.left + at.w / 2, at.top + at.h + 13 + axis.title.standoff, "top"));
    return `<g${look({ family, size, anchor })}>${made.join("")}</g>`;
  }

  function annotation(note, at, ink) {
    const y = (note.yref === "paper" ? at.paperY : at.y)(note.y) - (note.yshift || 0);
    const anchor = { left: "start", right: "end", center: "middle" }[note.xanchor];
    const style = { anchor, color: ink, ...note.font };
    return words(note.text, at.x(note.x), y, note.yanchor, style.size, look(style));
  }

  function picture(figure, at) {
    const { layout, data } = figure;
    const ink = layout.font.color;
    const shapes = (below) => (layout.shapes || []).filter((shape) => (shape.layer === "below") === below);
    const maps = data.filter((trace) => trace.type === "heatmap");
    return [
      ...shapes(true).map((shape) => shapeOf(shape, at)),
      ...maps.map((trace) => heatmap(trace, at) + colorbar(trace, at, ink)),
      ...data.filter((trace) => trace.type === "scatter").map((trace) => scatter(trace, at)),
      ...shapes(false).map((shape) => shapeOf(shape, at)),
      ticks(layout.xaxis, at, false),
      ticks(layout.yaxis, at, true),
      ...(layout.annotations || []).map((note) => annotation(note, at, ink)),
    ].join("");
  }

  /* What is at a place of the picture: {text, x, y in pixels, data for a selection}, or null. */
  function pointed(figure, at, left, top) {
    let best = null, reach = figure.layout.hoverdistance || REACH;
    for (const trace of figure.data) {
      if (!trace.hovertext) continue;
      if (trace.type === "heatmap") {
        const [column, row] = [
          Math.round(((left - at.x(0)) / (at.x(1) - at.x(0)))),
          Math.round(((top - at.y(0)) / (at.y(1) - at.y(0)))),
        ];
        const text = trace.hovertext[row] && trace.hovertext[row][column];
        const there = text !== undefined && trace.z[row][column] !== null;
        if (there) return { text, x: at.x(column), y: at.y(row), cell: { x: column, y: row } };
        continue;
      }
      trace.x.forEach((x, i) => {
        const far = Math.hypot(at.x(x) - left, at.y(trace.y[i]) - top);
        if (far >= reach) return;
        reach = far;
        best = { text: trace.hovertext[i], x: at.x(x), y: at.y(trace.y[i]), data: trace.customdata[i] };
      });
    }
    return best;
  }

  /* The words at the pointer, one label for the whole page. */
  const label = document.createElement("div");
  label.className = "pointed";
  label.hidden = true;

  function tell(found, element) {
    label.hidden = !found;
    element.classList.toggle("pointing", !!found);
    if (!found) return;
    if (!label.isConnected) document.body.append(label);
    label.innerHTML = markup(found.text, false);
    const box = element.querySelector("svg").getBoundingClientRect();
    const { width, height } = label.getBoundingClientRect();
    const [x, y] = [box.left + found.x, box.top + found.y];
    const beside = x + 12 + width > innerWidth ? x - 12 - width : x + 12;
    label.style.left = `${Math.max(4, beside)}px`;
    label.style.top = `${Math.min(Math.max(4, y - height / 2), innerHeight - height - 4)}px`;
  }

  function find(element, event) {
    const box = element.querySelector("svg").getBoundingClientRect();
    return pointed(element.figure, element.geometry, event.clientX - box.left, event.clientY - box.top);
  }

  function listen(element) {
    element.addEventListener("pointermove", (event) => tell(find(element, event), element));
    element.addEventListener("pointerleave", () => tell(null, element));
    element.addEventListener("click", (event) => {
      const found = find(element, event);
      if (found) element.dispatchEvent(new CustomEvent("choose", { bubbles: true, detail: found }));
    });
    // A figure without a width of its own is as wide as its frame, or wider, and then scrolls.
    new ResizeObserver(() => {
      element.room = element.clientWidth;
      if (element.room && !element.figure.layout.width && element.room !== element.geometry.width) paint(element);
    }).observe(element);
  }

  function paint(element) {
    const { figure } = element;
    const { layout } = figure;
    const least = layout.meta ? `${layout.meta.least_width}px` : "";
    if (element.style.minWidth !== least) element.style.minWidth = least;
    // Asking for the width makes the browser lay the page out: once, then the observer tells.
    element.room ||= element.clientWidth;
    const at = geometry(layout, layout.width || element.room);
    element.geometry = at;
    const svg = element.firstElementChild || element.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "svg"));
    svg.setAttribute("width", at.width);
    svg.setAttribute("height", at.height);
    svg.setAttribute("aria-hidden", "true"); // the panel's summary and the table say the same
    svg.setAttribute("fill", layout.font.color);
    const content = picture(figure, at);
    if (content !== element.content) svg.innerHTML = element.content = content;
    element.dispatchEvent(new Event("painted"));
  }

  /* Draws a figure into an element. */
  function draw(element, figure) {
    const first = !element.figure;
    element.figure = figure;
    paint(element);
    if (first) listen(element);
  }

  window.moescope.draw = draw;
})();
