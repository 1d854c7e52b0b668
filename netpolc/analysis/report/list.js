// The list: a line for each pair that is shown. The view of narrow screens and of paper.

const LINES = 300; // at a time: more only make a long page longer

function listView(section, actions) {
  let pairs = [];
  const body = el("div", { class: "groups" });
  const more = el("button", { class: "more", onclick: () => extend(LINES) });
  let lines = 0;
  section.append(body, more);

  function extend(count) {
    const focus = pairs[lines];
    const end = Math.min(lines + count, pairs.length);
    for (; lines < end; lines += 1) {
      const [source] = pairs[lines];
      let group = body.lastElementChild;
      if (!group || Number(group.dataset.source) !== source) {
        group = el("section", { "data-source": source }, partyName(source, "h3"), el("ul"));
        body.append(group);
      }
      group.lastElementChild.append(line(pairs[lines]));
    }
    more.textContent = `Show more (${pairs.length - lines} left)`;
    more.hidden = lines >= pairs.length;
    if (count !== Infinity && focus && document.activeElement === more) focusOn(focus);
  }

  function line([source, destination]) {
    const status = statusOf(source, destination);
    const extent = extentOf(outcomeOf("after", source, destination));
    return el("li", {}, el("button", {
      class: `line ${extent}`, "data-pair": `${source},${destination}`,
      onclick: () => actions.open([source, destination]),
    },
    ...(status ? [el("span", { class: `status ${status}` }, status)] : []),
    el("span", { class: "to" }, el("span", { class: "arrow" }, "→ "), partyName(destination)),
    ...(sightText(source, destination) ? [
      el("span", { class: `sight ${sightOf(source, destination)}` }, sightText(source, destination))] : []),
    el("span", { class: "ports" }, textOf(source, destination))));
  }

  function focusOn([source, destination]) {
    body.querySelector(`[data-pair="${source},${destination}"]`)?.focus();
  }

  return {
    draw(state, shown) {
      pairs = [];
      for (const source of shown.rows) {
        for (const destination of shown.columns) {
          if (shown.isIn(source, destination)) pairs.push([source, destination]);
        }
      }
      lines = 0;
      body.replaceChildren();
      if (!pairs.length) body.append(el("p", { class: "empty" }, "No connection is like this."));
      extend(LINES);
      this.mark(state.at);
    },
    mark(pair) {
      body.querySelector("[aria-current]")?.removeAttribute("aria-current");
      if (pair) body.querySelector(`[data-pair="${pair}"]`)?.setAttribute("aria-current", "true");
    },
    focus: focusOn,
    complete: () => extend(Infinity),
  };
}
