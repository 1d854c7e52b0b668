// Small builders of elements, and the panel that says why a pair has what it has. All text is set as
// text: nothing of the document is ever read as markup.

function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function partyName(number, tag = "span") {
  const { name, label } = parties[number];
  const prefix = name.slice(0, name.length - label.length);
  return el(tag, { class: "party" }, ...(prefix ? [el("span", { class: "muted" }, prefix)] : []), label);
}

function drawPanel(panel, pair, actions) {
  const [source, destination] = pair;
  const close = el("button", { class: "close", "aria-label": "Close", onclick: actions.close }, "×");
  const title = el("h2", {}, partyName(source), el("span", { class: "arrow" }, " → "), partyName(destination));
  const body = isComparison ? comparison(source, destination) : explained("after", source, destination);
  panel.replaceChildren(el("div", { class: "head" }, title, close), ...observed(source, destination), ...body,
    el("p", { class: "more" },
      ...(source === destination ? [] : [
        el("button", { onclick: () => actions.open([destination, source]) }, "Other way round")]),
      el("button", { onclick: () => actions.graph(source) }, "Graph of the source"),
      ...(source === destination ? [] : [
        el("button", { onclick: () => actions.graph(destination) }, "Graph of the destination")])));
  panel.hidden = false;
}

// What was seen of the pair, row by row.
function observed(source, destination) {
  if (!traffic) return [];
  const rows = seenOf(source, destination);
  const head = el("h3", { class: "side" }, "Observed");
  if (!rows.length) return [head, el("p", {}, "Nothing was seen between them.")];
  return [head, el("ul", { class: "causes" }, ...rows.map((own) => el("li", {},
    el("span", { class: "policy" }, own.connection),
    ` ${own.records.toLocaleString("en")} × ${own.log || "seen"}, policies: ${own.policies}`,
    ...(own.finding ? [" ", el("span", { class: `sight ${own.is_alarm ? "alarm" : "seen"}` }, own.finding)] : []))))];
}

function comparison(source, destination) {
  const status = statusOf(source, destination);
  const blocks = [el("p", { class: `status ${status || "same"}` }, status || "unchanged")];
  for (const [side, title] of [["before", "Before"], ["after", "After"]]) {
    blocks.push(el("h3", { class: "side" }, title), ...explained(side, source, destination));
  }
  return blocks;
}

function explained(side, source, destination) {
  const reason = unjudged(source, destination);
  if (reason === "self") return [el("p", {}, "A pod always reaches itself: no policy judges that.")];
  if (reason === "outside") return [el("p", {}, "Both are outside the cluster: no policy judges that.")];
  const absent = [source, destination].filter((number) => parties[number][side] === null);
  if (absent.length) return [el("p", {}, partyName(absent[0]), " is not there.")];
  const outcome = outcomeOf(side, source, destination);
  const result = el("p", { class: `result ${extentOf(outcome)}` },
    outcome === NOTHING ? "no connection" : content.outcomes[outcome].text);
  const found = reasonsOf(side, source, destination);
  if (!found.length) return [result, el("p", {}, "The two have no address family in common.")];
  return [result, ...found.flatMap(([families, egress, ingress]) => [
    ...(found.length > 1 ? [el("h4", {}, families.map((family) => `IPv${family}`).join(", "))] : []),
    ...judged("Egress", source, content.reasons[egress], destination),
    ...judged("Ingress", destination, content.reasons[ingress], source),
  ])];
}

function judged(direction, subject, reason, peer) {
  const words = direction === "Egress" ? "to" : "from";
  const head = el("h5", {}, `${direction} of `, partyName(subject));
  if (parties[subject].is_outside) {
    return [head, el("p", { class: "verdict open" }, "Open: outside the cluster no policy applies.")];
  }
  if (!reason.isolated.length && !reason.rules.length) {
    return [head, el("p", { class: "verdict open" }, "Open: no policy isolates it.")];
  }
  const denied = reason.ordered
    ? "Denied: what is asked first denies everything "
    : "Denied: isolated, and no rule admits anything ";
  const says = reason.ports === "none"
    ? [denied, words, " ", partyName(peer), "."]
    : [`Admitted ${words} `, partyName(peer), ": ", el("strong", {}, reason.ports), "."];
  return [
    head,
    el("p", { class: `verdict ${reason.ports === "none" ? "denied" : "admitted"}` }, ...says),
    ...causes(reason.rules, reason.ordered ? "Decided in this order" : "Rules"),
    ...causes(reason.isolated, reason.ordered ? "Then isolated by" : "Isolated by"),
  ];
}

const DOES = { accept: "admits", deny: "denies", pass: "passes on" };

function causes(numbers, title) {
  if (!numbers.length) return [];
  return [el("h6", {}, title), el("ul", { class: "causes" }, ...numbers.map((number) => {
    const cause = content.causes[number];
    return el("li", {},
      el("span", { class: "policy" }, cause.policy),
      ...(cause.rule ? [" ", el("span", { class: "rule" }, cause.rule)] : []),
      ...(cause.action ? [` ${DOES[cause.action]} `, el("span", { class: "ports" }, cause.ports)] : []),
      el("code", { class: "place" }, cause.place));
  }))];
}
