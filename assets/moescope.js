/* What every page does by itself: theme, keys, menus, pictures of its figures. */
(function () {
  "use strict";

  const { set, skip } = window.moescope;
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
    if (document.getElementById("experts-cards")) set("experts-theme", { data: theme });
  }

  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches && event.target.matches("input, textarea, select");
    const closed = event.key === "Escape" && closeHelp(null);
    if (event.key === "Escape" && !closed && !document.querySelector("dialog[open]")) window.moescope.free();
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

  /* The files of a run have addresses once there is one; all stand in one folder. */
  function offer(folder, id) {
    const html = document.documentElement;
    if (html.dataset.folder === folder) return;
    Object.assign(html.dataset, { folder, run: id.slice(0, 8) });
    document.querySelectorAll("[data-file]").forEach((link) => {
      if (folder) link.href = folder + link.dataset.file;
      else link.removeAttribute("href");
      link.setAttribute("aria-disabled", !folder);
    });
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
      const plotly = await window.Plotly; // assets/libraries.js fetches it when it is asked for
      await plotly.downloadImage({ data, layout }, options);
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
    if (button.dataset.picture) savePicture(button);
  });

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
    if (!localStorage.getItem("theme")) applyTheme(event.matches ? "dark" : "light");
  });

  window.moescope.offer = offer;
  window.dash_clientside.moescope = { ...window.dash_clientside.moescope, themeNow, goToSection };
})();
