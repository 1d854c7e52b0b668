// The page: its state, which the address keeps so that links lead to it, and the controls that change it.

const VIEWS = ["matrix", "graph", "list"];
const START = {
  view: "matrix", name: "", namespace: "", direction: "", port: "", seen: "", none: false, changed: isComparison && !traffic,
  at: null, node: null,
};
const controls = Object.fromEntries(
  ["name", "namespace", "direction", "port", "seen", "none", "changed"].map((id) => [id, document.getElementById(id)]));
const panel = document.getElementById("panel");
const narrow = matchMedia("(max-width: 700px)");
let state = { ...START };
const actions = { state: () => state, open: openPair, close: closePair, graph: openGraph, group: chooseGroup };
const sections = Object.fromEntries(VIEWS.map((view) => [view, document.getElementById(view)]));
const views = {
  matrix: matrixView(sections.matrix, actions),
  graph: graphView(sections.graph, actions),
  list: listView(sections.list, actions),
};

// On a narrow screen there is no matrix: the same pairs are a list.
function currentView() {
  return narrow.matches && state.view === "matrix" ? "list" : state.view;
}

function readAddress() {
  const found = new URLSearchParams(location.hash.slice(1));
  const pair = ["from", "to"].map((key) => numberOf.get(found.get(key)));
  const flag = (key) => (found.has(key) ? found.get(key) === "1" : START[key]);
  const one = (key, known) => (known.includes(found.get(key)) ? found.get(key) : START[key]);
  return {
    view: one("view", VIEWS),
    name: found.get("name") ?? "",
    namespace: one("namespace", parties.map((party) => party.group)),
    direction: one("direction", ["from", "to"]),
    port: found.get("port") ?? "",
    seen: one("seen", ["seen", "unseen", "alarm"]),
    none: flag("none"),
    changed: flag("changed") && isComparison,
    at: pair.includes(undefined) ? null : pair,
    node: numberOf.get(found.get("node")) ?? null,
  };
}

function writeAddress() {
  const found = new URLSearchParams();
  for (const key of ["view", "name", "namespace", "direction", "port", "seen", "none", "changed"]) {
    const value = state[key];
    if (value !== START[key]) found.set(key, typeof value === "boolean" ? Number(value) : value);
  }
  if (state.at) {
    found.set("from", parties[state.at[0]].name);
    found.set("to", parties[state.at[1]].name);
  }
  if (state.node !== null) found.set("node", parties[state.node].name);
  if (location.hash.slice(1) !== String(found)) {
    history.replaceState(null, "", String(found) ? `#${found}` : location.pathname + location.search);
  }
}

function render() {
  const isPort = parsePort(state.port) !== undefined;
  controls.port.setAttribute("aria-invalid", String(!isPort));
  document.getElementById("port-problem").textContent = isPort ? ""
    : "Not a port: write 80, TCP/80, UDP 53 or SCTP. The filter is not applied.";
  const shown = shownBy(state);
  const view = currentView();
  for (const name of VIEWS) {
    const tab = document.getElementById(`tab-${name}`);
    tab.setAttribute("aria-selected", String(name === view));
    tab.tabIndex = name === view ? 0 : -1;
    sections[name].hidden = name !== view;
  }
  document.getElementById("count").textContent =
    counted(shown.connections, isComparison && state.changed ? "change" : "connection");
  document.getElementById("legend").hidden = view === "list" || (view === "graph" && !isComparison);
  drawOpen();
  views[view].draw(state, shown);
  writeAddress();
}

function counted(number, word) {
  return `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
}

function drawOpen() {
  document.body.classList.toggle("has-panel", state.at !== null);
  if (state.at) drawPanel(panel, state.at, actions);
  else panel.hidden = true;
}

function change(part) {
  state = { ...state, ...part };
  render();
}

function openPair(pair) {
  const wasOpen = state.at !== null;
  state = { ...state, at: pair };
  drawOpen();
  writeAddress();
  if (wasOpen) views[currentView()].mark(pair);
  else afterResize();
  panel.scrollTop = 0;
  panel.focus({ preventScroll: !narrow.matches });
}

function closePair() {
  const pair = state.at;
  state = { ...state, at: null };
  drawOpen();
  writeAddress();
  afterResize();
  views[currentView()].mark(null);
  if (pair) views[currentView()].focus(pair);
}

function openGraph(node) {
  change({ view: "graph", node, at: null });
  document.getElementById("tab-graph").focus({ preventScroll: true });
}

function chooseGroup(group) {
  fill(controls.namespace, group);
  change({ namespace: group });
}

function afterResize() {
  const view = views[currentView()];
  if (view.resize) view.resize();
  view.mark(state.at);
}

function fill(control, value) {
  if (control.type === "checkbox") control.checked = value;
  else control.value = value;
}

function adopt() {
  state = readAddress();
  for (const [key, control] of Object.entries(controls)) fill(control, state[key]);
  render();
}

function setUp() {
  const groups = [...new Set(parties.map((party) => party.group))];
  controls.namespace.append(el("option", { value: "" }, "all"),
    ...groups.map((group) => el("option", { value: group }, groupName(group))));
  const outside = parties.filter((party) => party.is_outside).length;
  document.getElementById("facts").textContent = [
    counted(parties.length - outside, "workload"), counted(outside, "address range"),
    counted(groups.filter((group) => group === groupName(group)).length, "namespace")].join(", ");
  document.getElementById("changes").hidden = !isComparison;
  document.getElementById("sights").hidden = !traffic;
  document.getElementById("observed").append(...(content.observed?.about ?? []).map((text) => el("p", {}, text)));
  const marks = isComparison
    ? ["added", "removed", "changed", "some", "all", "none"] : ["all", "some", "none", "unjudged"];
  const words = {
    all: "all ports", some: "some ports", none: "no connection", unjudged: "not judged",
    added: "added", removed: "removed", changed: "changed",
  };
  document.getElementById("legend").append(...marks.map((mark) => el("li", {},
    el("span", { class: `mark ${mark}`, "aria-hidden": "true" }, (SIGNS[mark] ?? "").trim()), words[mark])));
  const sights = traffic ? [["seen", "traffic seen"], ["alarm", "traffic to look at"]] : [];
  document.getElementById("legend").append(...sights.map(([sight, text]) => el("li", {},
    el("span", { class: `dot ${sight}`, "aria-hidden": "true" }), text)));
}

function listen() {
  for (const [key, control] of Object.entries(controls)) {
    control.addEventListener("input", () =>
      change({ [key]: control.type === "checkbox" ? control.checked : control.value }));
  }
  const form = document.getElementById("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    location.hash = "";
    adopt();
  });
  for (const view of VIEWS) {
    const tab = document.getElementById(`tab-${view}`);
    tab.addEventListener("click", () => change({ view, node: null }));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const open = VIEWS.filter((name) => !narrow.matches || name !== "matrix");
      const next = open[(open.indexOf(currentView()) + step + open.length) % open.length];
      change({ view: next, node: null });
      document.getElementById(`tab-${next}`).focus();
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && state.at) closePair();
    if (event.key === "/" && !event.target.closest("input, select")) {
      event.preventDefault();
      controls.name.focus();
    }
  });
  addEventListener("hashchange", adopt);
  addEventListener("resize", afterResize);
  addEventListener("beforeprint", () => {
    sections.list.hidden = false;
    views.list.draw(state, shownBy(state));
    views.list.complete();
  });
  addEventListener("afterprint", render);
  narrow.addEventListener("change", render);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);
}

setUp();
listen();
adopt();
