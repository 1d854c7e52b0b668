"use strict";
// The document, and which pairs the filters show. Nothing here touches the page.

const content = JSON.parse(document.getElementById("document").textContent);
const parties = content.parties;
const isComparison = content.before !== null;
const NOTHING = 0; // of outcomes: no connection
const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132 };
const OUTSIDE = "\n"; // no namespace is called so
const SEVERAL = "\t"; // of an identity with pods in many

// `namespace/name[Kind]`, in the parts that are shown apart.
for (const party of parties) {
  const prefix = party.namespace ? `${party.namespace}/` : "";
  party.label = party.name.startsWith(prefix) ? party.name.slice(prefix.length) : party.name;
  party.group = party.is_outside ? OUTSIDE : party.namespace || SEVERAL;
  party.lowered = party.name.toLowerCase();
}
const numberOf = new Map(parties.map((party, number) => [party.name, number]));

// Rows of traffic that was seen, by pair; null where nobody has looked.
const traffic = content.observed && new Map();
for (const own of content.observed?.flows ?? []) {
  const key = `${own.source},${own.destination}`;
  if (!traffic.has(key)) traffic.set(key, []);
  traffic.get(key).push(own);
}

function seenOf(source, destination) {
  return traffic?.get(`${source},${destination}`) ?? [];
}

// "alarm" where somebody has to look at it, "seen", or "".
function sightOf(source, destination) {
  const rows = seenOf(source, destination);
  if (rows.some((own) => own.is_alarm)) return "alarm";
  return rows.length ? "seen" : "";
}

// "12 records, denied, yet forwarded", or "".
function sightText(source, destination) {
  const rows = seenOf(source, destination);
  if (!rows.length) return "";
  const records = rows.reduce((sum, own) => sum + own.records, 0);
  const findings = new Set(rows.map((own) => own.finding).filter(Boolean));
  return [`${records.toLocaleString("en")} record${records === 1 ? "" : "s"}`, ...findings].join(", ");
}

function groupName(group) {
  return { [OUTSIDE]: "outside the cluster", [SEVERAL]: "several namespaces" }[group] ?? group;
}

// Why a pair is not judged by policies at all, or "".
function unjudged(source, destination) {
  if (parties[source].is_outside && parties[destination].is_outside) return "outside";
  return source === destination && parties[source].is_single ? "self" : "";
}

function outcomeOf(side, source, destination) {
  const [from, to] = [parties[source][side], parties[destination][side]];
  if (from === null || to === null || unjudged(source, destination)) return NOTHING;
  return content.rows[content[side].outcomes[from]][to];
}

// What became of a pair: "added", "removed", "changed", or "" where both sides admit the same.
function statusOf(source, destination) {
  if (!isComparison) return "";
  const before = outcomeOf("before", source, destination);
  const after = outcomeOf("after", source, destination);
  if (content.outcomes[before].admits === content.outcomes[after].admits) return "";
  return before === NOTHING ? "added" : after === NOTHING ? "removed" : "changed";
}

function textOf(source, destination) {
  const reason = unjudged(source, destination);
  if (reason === "self") return "itself, always";
  if (reason === "outside") return "not judged here";
  const after = content.outcomes[outcomeOf("after", source, destination)];
  if (!statusOf(source, destination)) return after.text;
  const before = content.outcomes[outcomeOf("before", source, destination)];
  // A family more or less can leave the text as it was.
  const key = before.text === after.text ? "admits" : "text";
  return `${before[key]} → ${after[key]}`;
}

// "all" without exception is drawn apart from some ports.
function extentOf(outcome) {
  if (outcome === NOTHING) return "none";
  return content.outcomes[outcome].text === "all" ? "all" : "some";
}

// The reasons of a pair on one side, families that agree together: [[4, 6], egress, ingress].
function reasonsOf(side, source, destination) {
  const [from, to] = [parties[source][side], parties[destination][side]];
  const found = [];
  if (from === null || to === null) return found;
  for (const family of Object.keys(content[side].egress)) {
    const egress = content.rows[content[side].egress[family][from]][to];
    const ingress = content.rows[content[side].ingress[family][to]][from];
    if (egress < 0 || ingress < 0) continue; // no address of this family in common
    const same = found.find((other) => other[1] === egress && other[2] === ingress);
    if (same) same[0].push(family);
    else found.push([[family], egress, ingress]);
  }
  return found;
}

// Spans of the port line for `80`, `UDP/53`, `UDP 53` or `TCP`; null is no filter, undefined no port.
function parsePort(text) {
  if (!text.trim()) return null;
  const [, protocol, digits] = /^(?:(tcp|udp|sctp)(?:[/ ]|$))?(\d{1,5})?$/i.exec(text.trim()) ?? [];
  const port = digits === undefined ? undefined : Number(digits);
  if ((!protocol && port === undefined) || port > 65535 || port === 0) return undefined;
  const numbers = protocol ? [PROTOCOLS[protocol.toUpperCase()]] : Object.values(PROTOCOLS);
  return numbers.map((number) => [
    number * 65536 + (port ?? 0), number * 65536 + (port ?? 65535),
  ]);
}

function portFilter(text) {
  const spans = parsePort(text);
  if (!spans) return null;
  return content.outcomes.map((outcome) => outcome.spans.some(
    ([first, last]) => spans.some(([low, high]) => first <= high && low <= last)));
}

function range(count) {
  return Array.from({ length: count }, (_, number) => number);
}

// What a state of the filters shows: rows, columns, whether a pair is in, and how many connect.
function shownBy(state) {
  const terms = state.name.toLowerCase().split(/\s+/).filter(Boolean);
  const isNamed = parties.map((party) => terms.every((term) => party.lowered.includes(term))
    && (!state.namespace || party.group === state.namespace));
  const ports = portFilter(state.port);
  const isChosen = (source, destination) => (state.direction === "from" ? isNamed[source]
    : state.direction === "to" ? isNamed[destination] : isNamed[source] || isNamed[destination]);
  const connects = (source, destination) => {
    const after = outcomeOf("after", source, destination);
    const before = isComparison ? outcomeOf("before", source, destination) : NOTHING;
    if (state.changed && !statusOf(source, destination)) return false;
    if (ports) return ports[after] || ports[before];
    return after !== NOTHING || before !== NOTHING;
  };
  // Traffic where there is no connection is what one looks for.
  const isShown = (source, destination) => state.none || connects(source, destination)
    || (sightOf(source, destination) !== "" && !state.changed && !ports);
  const isSeen = (source, destination) => {
    const sight = sightOf(source, destination);
    return { seen: sight !== "", unseen: sight === "", alarm: sight === "alarm" }[state.seen] ?? true;
  };
  const isIn = (source, destination) => isChosen(source, destination)
    && isShown(source, destination) && isSeen(source, destination);
  const [sources, destinations] = [new Set(), new Set()];
  let connections = 0;
  const everyone = range(parties.length);
  for (const source of everyone) {
    for (const destination of everyone) {
      if (!isIn(source, destination)) continue;
      connections += connects(source, destination);
      sources.add(source);
      destinations.add(destination);
    }
  }
  // Who was asked for by name stays, and so does everybody when nothing was asked for.
  const keeps = (number) => isNamed[number] && !state.changed && !ports && !state.seen;
  return {
    isIn, connects, connections, isNamed,
    rows: everyone.filter((n) => sources.has(n) || (state.direction !== "to" && keeps(n))),
    columns: everyone.filter((n) => destinations.has(n) || (state.direction !== "from" && keeps(n))),
  };
}
