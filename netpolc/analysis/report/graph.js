// The graph: everybody on a circle, namespaces standing for their workloads where there are many, and of
// one party its neighbourhood: who reaches it, and whom it reaches. The layout follows from the
// names alone, so the same picture comes every time.

const CROWD = 40; // parties that are drawn each by itself
const NAMED = 120; // the same, of those that were asked for by name or namespace
const STEP = 46; // height of a neighbour
const SVG = "http://www.w3.org/2000/svg";

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function graphView(section, actions) {
  const frame = el("div", { class: "graph" });
  section.append(frame);
  frame.addEventListener("keydown", (event) => {
    const own = event.target.closest("[data-at]");
    const step = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 }[event.key];
    if (!own || !step) return;
    event.preventDefault();
    const all = [...frame.querySelectorAll("[data-at]")].filter((node) => node.dataset.ring === own.dataset.ring);
    const next = all[(all.indexOf(own) + step + all.length) % all.length];
    own.setAttribute("tabindex", -1);
    next.setAttribute("tabindex", 0);
    next.focus();
  });

  return {
    draw(state, shown) {
      frame.replaceChildren(...(state.node === null
        ? overview(shown, actions) : neighbourhood(state.node, shown, actions)));
      this.mark(state.at);
    },
    mark(pair) {
      frame.querySelector("[aria-current]")?.removeAttribute("aria-current");
      if (pair) frame.querySelector(`[data-pair="${pair}"]`)?.setAttribute("aria-current", "true");
    },
    focus(pair) {
      frame.querySelector(`[data-pair="${pair}"]`)?.focus();
    },
  };
}

function neighbourhood(node, shown, actions) {
  const everyone = range(parties.length);
  const sources = everyone.filter((other) => shown.connects(other, node));
  const destinations = everyone.filter((other) => shown.connects(node, other));
  const height = Math.max(sources.length, destinations.length, 3) * STEP;
  const middle = Math.min(height / 2, 5 * STEP);
  const edges = svg("svg", { "aria-hidden": "true", class: "edges", viewBox: `0 0 100 ${height}`,
    preserveAspectRatio: "none", height });
  for (const [numbers, x1, x2] of [[sources, 36, 42], [destinations, 64, 58]]) {
    numbers.forEach((other, at) => {
      const [y, pair] = [(at + 0.5) * STEP - 4, x1 < x2 ? [other, node] : [node, other]];
      edges.append(svg("path", { class: `edge ${statusOf(...pair)}`, "vector-effect": "non-scaling-stroke",
        d: `M${x1} ${y} C${(x1 + x2) / 2} ${y} ${(x1 + x2) / 2} ${middle} ${x2} ${middle}` }));
    });
  }
  const column = (numbers, title, isSource) => el("div", { class: isSource ? "sources" : "destinations" },
    el("h3", {}, `${title} (${numbers.length})`),
    el("ul", {}, ...numbers.map((other, at) => {
      const pair = isSource ? [other, node] : [node, other];
      const status = statusOf(...pair);
      return el("li", {}, el("button", {
        class: `node ${status}`, "data-at": at, "data-ring": title, "data-pair": pair, tabindex: at ? -1 : 0,
        title: parties[other].name, onclick: () => actions.open(pair),
      }, partyName(other), el("span", { class: "ports" }, `${status ? `${status}: ` : ""}${textOf(...pair)}`)));
    })));
  const centre = el("div", { class: "centre" }, partyName(node, "strong"));
  centre.style.setProperty("--middle", `${middle}px`);
  return [
    el("p", { class: "more" },
      el("button", { onclick: () => actions.graph(null) }, "← Everybody")),
    el("div", { class: "neighbourhood" }, edges,
      column(sources, "Reached by", true), centre, column(destinations, "Reaches", false)),
  ];
}

// Parties each by itself while there is room; then those not asked for stand together.
function nodesOf(shown) {
  const present = range(parties.length).filter((n) => shown.rows.includes(n) || shown.columns.includes(n));
  const named = present.filter((n) => shown.isNamed[n]);
  const isCrowd = present.length > CROWD;
  const isAlone = (n) => !isCrowd
    || (named.length <= NAMED && named.length < parties.length && shown.isNamed[n]);
  const nodes = new Map();
  for (const number of present) {
    const key = isAlone(number) ? number : parties[number].group;
    if (!nodes.has(key)) nodes.set(key, { key, members: [], group: parties[number].group });
    nodes.get(key).members.push(number);
  }
  return [...nodes.values()];
}

function edgesOf(nodes, shown) {
  const at = new Map(nodes.flatMap((node, number) => node.members.map((party) => [party, number])));
  const edges = new Map();
  for (const source of shown.rows) {
    for (const destination of shown.columns) {
      if (!shown.isIn(source, destination) || !shown.connects(source, destination)) continue;
      const [from, to] = [at.get(source), at.get(destination)];
      const key = from * nodes.length + to;
      if (!edges.has(key)) edges.set(key, { from, to, count: 0, statuses: new Set() });
      const edge = edges.get(key);
      edge.count += 1;
      edge.statuses.add(statusOf(source, destination));
    }
  }
  return [...edges.values()];
}

function overview(shown, actions) {
  const nodes = nodesOf(shown);
  if (!nodes.length) return [el("p", { class: "empty" }, "No connection is like this.")];
  const edges = edgesOf(nodes, shown);
  const radius = Math.max(150, (nodes.length * 17) / (2 * Math.PI));
  const longest = Math.max(...nodes.map((node) => nameOf(node).length));
  const size = 2 * (radius + 24 + 6.6 * longest);
  const point = (at, distance) => {
    const angle = (2 * Math.PI * at) / nodes.length - Math.PI / 2;
    return [Math.cos(angle) * distance, Math.sin(angle) * distance, (angle * 180) / Math.PI];
  };
  const picture = svg("svg", { class: "circle", width: size, height: size, role: "group", "aria-label": "Who reaches whom",
    viewBox: `${-size / 2} ${-size / 2} ${size} ${size}` });
  picture.style.setProperty("--weight", clamp(40 / edges.length, 0.12, 0.7)); // many are a haze, not a blot
  picture.append(svg("defs", {}, svg("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4,
    markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse", markerUnits: "userSpaceOnUse" },
  svg("path", { d: "M0 0L8 4L0 8z" }))));
  const lines = edges.filter((edge) => edge.from !== edge.to).map((edge) => {
    const [[x1, y1], [x2, y2]] = [point(edge.from, radius - 4), point(edge.to, radius - 8)];
    // Bent towards the middle, and a little to one side so that both ways are seen.
    const [bx, by] = [(x1 + x2) * 0.22 - (y2 - y1) * 0.06, (y1 + y2) * 0.22 + (x2 - x1) * 0.06];
    const status = edge.statuses.size === 1 ? [...edge.statuses][0] : edge.statuses.size ? "changed" : "";
    const path = svg("path", { class: `edge ${status}`, d: `M${x1} ${y1} Q${bx} ${by} ${x2} ${y2}`,
      "stroke-width": 1 + Math.min(3, Math.log10(edge.count)), "marker-end": "url(#tip)" });
    return [edge, path];
  });
  picture.append(...lines.map(([, path]) => path));
  const light = (number) => {
    picture.classList.toggle("lit", number !== null);
    for (const [edge, path] of lines) {
      path.classList.toggle("out", edge.from === number);
      path.classList.toggle("in", edge.to === number && edge.from !== number);
    }
  };
  picture.append(...nodes.map((node, number) => {
    const reaches = edges.filter((edge) => edge.from === number).length;
    const reached = edges.filter((edge) => edge.to === number).length;
    return circleNode(node, point(number, radius), number, `reaches ${reaches}, reached by ${reached}`, light, actions);
  }));
  const hint = nodes.some((node) => typeof node.key === "string")
    ? "Namespaces stand for their workloads: choose one to open it." : "Choose one to see its neighbourhood.";
  return [el("p", { class: "hint" }, hint), el("div", { class: "scroll" }, picture)];
}

function nameOf(node) {
  const name = typeof node.key === "number" ? parties[node.key].name
    : `${groupName(node.key)} (${node.members.length})`;
  return name.length > 36 ? `${name.slice(0, 35)}…` : name;
}

function circleNode(node, [x, y, angle], number, says, light, actions) {
  const isParty = typeof node.key === "number";
  const name = nameOf(node);
  const isLeft = x < -1;
  const text = svg("text", {
    transform: `translate(${x} ${y}) rotate(${isLeft ? angle + 180 : angle})`,
    x: isLeft ? -11 : 11, dy: "0.35em", "text-anchor": isLeft ? "end" : "start",
  }, name);
  const choose = () => (isParty ? actions.graph(node.key) : actions.group(node.group));
  const element = svg("g", {
    class: `dot ${isParty ? "party" : "group"}`, role: "button", tabindex: number ? -1 : 0, "data-at": number,
    "data-ring": "circle", "aria-label": `${name}: ${says}`,
  }, svg("title", {}, `${name}: ${says}`), svg("circle", { cx: x, cy: y, r: isParty ? 5 : 7 }), text);
  element.addEventListener("click", choose);
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    choose();
  });
  element.addEventListener("mouseenter", () => light(number));
  element.addEventListener("mouseleave", () => light(null));
  element.addEventListener("focus", () => light(number));
  element.addEventListener("blur", () => light(null));
  return element;
}
