// The matrix: sources down, destinations across. A canvas draws the part that is seen, so its cost does
// not grow with the parties; the one cell that has the focus is an element, as ARIA's grid asks.

const WIDE = [66, 420]; // of a column whose connection is written into its cells
const NARROW = [14, 26];
const LABELS = [90, 260]; // least and greatest width of the names

function matrixView(section, actions) {
  const canvas = el("canvas", { "aria-hidden": "true" });
  const row = el("div", { role: "row" });
  const sizer = el("div", { class: "sizer", role: "presentation" }, row);
  const grid = el("div", { class: "grid", role: "grid", "aria-readonly": "true" }, canvas, sizer);
  const tip = el("div", { class: "tip", "aria-hidden": "true", hidden: "" });
  const empty = el("p", { class: "empty" }, "No connection is like this.");
  section.append(grid, empty, tip);
  let shown = { rows: [], columns: [] };
  let active = [0, 0]; // row and column, of those that are shown
  let hovered = null;
  let size = null;
  let colours = null;

  function measure() {
    const pen = canvas.getContext("2d");
    pen.font = font(12);
    const longest = (numbers) => Math.max(0, ...numbers.map((n) => pen.measureText(parties[n].name).width));
    const share = Math.max(LABELS[0], Math.min(LABELS[1], grid.clientWidth * 0.35));
    const left = Math.ceil(Math.min(share, longest(shown.rows) + 18));
    const fit = Math.floor((section.clientWidth - left - 2) / Math.max(1, shown.columns.length));
    const isWide = fit >= WIDE[0];
    const width = isWide ? clamp(longestWords(pen), ...WIDE) : clamp(fit, ...NARROW);
    const height = isWide ? 32 : Math.max(17, width);
    const top = isWide ? 46 : Math.ceil(Math.min(230, longest(shown.columns) + 18));
    size = { left, top, width, height, isWide };
    const [across, down] = [left + shown.columns.length * width, top + shown.rows.length * height];
    sizer.style.width = `${across}px`;
    sizer.style.height = `${down}px`;
    // What is left of the window below the controls, but never a slit.
    const room = innerHeight - (section.getBoundingClientRect().top + scrollY) - 16;
    grid.style.height = `${Math.min(down + 2 + scrollbar(across), Math.max(320, room))}px`;
  }

  // What is written into cells and above them: a change says more than a column's share of the window.
  function longestWords(pen) {
    const words = new Set(shown.columns.flatMap((n) => [parties[n].label, parties[n].namespace]));
    for (const source of shown.rows) {
      for (const destination of shown.columns) {
        const sign = SIGNS[statusOf(source, destination)] ?? "";
        if (shown.isIn(source, destination)) words.add(sign + textOf(source, destination));
      }
    }
    return Math.ceil(Math.max(0, ...[...words].map((text) => pen.measureText(text).width)) + 13);
  }

  function scrollbar(across) {
    return across > section.clientWidth ? 16 : 0;
  }

  function paint() {
    if (!size || !grid.clientWidth) return;
    const scale = devicePixelRatio || 1;
    const [width, height] = [grid.clientWidth, grid.clientHeight];
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.textBaseline = "middle";
    pen.fillStyle = colours.surface;
    pen.fillRect(0, 0, width, height);
    const rows = seen(grid.scrollTop, height - size.top, size.height, shown.rows.length);
    const columns = seen(grid.scrollLeft, width - size.left, size.width, shown.columns.length);
    for (let r = rows[0]; r < rows[1]; r += 1) {
      for (let c = columns[0]; c < columns[1]; c += 1) paintCell(pen, r, c);
    }
    paintRing(pen);
    paintNames(pen, rows, columns, width, height);
  }

  function seen(scrolled, length, step, count) {
    return [Math.floor(scrolled / step), Math.min(count, Math.ceil((scrolled + length) / step))];
  }

  const left = (c) => size.left + c * size.width - grid.scrollLeft;
  const top = (r) => size.top + r * size.height - grid.scrollTop;

  function paintCell(pen, r, c) {
    const [source, destination] = [shown.rows[r], shown.columns[c]];
    const [x, y, w, h] = [left(c), top(r), size.width - 1, size.height - 1];
    const isIn = shown.isIn(source, destination);
    const mark = unjudged(source, destination) ? "unjudged" : statusOf(source, destination)
      || extentOf(outcomeOf("after", source, destination));
    pen.fillStyle = isIn || mark === "unjudged" ? colours[mark] : colours.none;
    if (isHovered(r, c) && mark === "none") pen.fillStyle = colours.hover;
    if (size.isWide || mark === "all" || mark === "none" || mark === "unjudged" || !isIn) {
      pen.fillRect(x, y, w, h);
    } else { // some ports: smaller than all, so that it shows without colour
      pen.fillStyle = colours.none;
      pen.fillRect(x, y, w, h);
      pen.fillStyle = colours[mark];
      const [gx, gy] = [Math.round(w * 0.2), Math.round(h * 0.2)];
      pen.fillRect(x + gx, y + gy, w - 2 * gx, h - 2 * gy);
    }
    if (!isIn) return;
    paintSight(pen, sightOf(source, destination), x + w, y);
    if (size.isWide && mark !== "none") {
      pen.fillStyle = colours[`${mark}-ink`];
      pen.font = font(12);
      pen.fillText(cut(pen, `${SIGNS[mark] ?? ""}${textOf(source, destination)}`, w - 12), x + 6, y + h / 2);
    } else if (SIGNS[mark]) {
      pen.fillStyle = colours[`${mark}-ink`];
      pen.font = font(11, 700);
      pen.textAlign = "center";
      pen.fillText(SIGNS[mark].trim(), x + w / 2, y + h / 2);
      pen.textAlign = "left";
    }
  }

  // In the upper right corner of a cell: a dot, or a larger one where somebody has to look.
  function paintSight(pen, sight, right, y) {
    if (!sight) return;
    const radius = Math.min(sight === "alarm" ? 6 : 4, size.width / 4);
    pen.beginPath();
    pen.arc(right - radius - 2, y + radius + 2, radius, 0, 2 * Math.PI);
    pen.fillStyle = sight === "alarm" ? colours.removed : colours.ink;
    pen.fill();
    pen.strokeStyle = colours.surface;
    pen.lineWidth = 1.5;
    pen.stroke();
  }

  function isHovered(r, c) {
    return hovered !== null && (hovered[0] === r || hovered[1] === c);
  }

  function hasFocus() {
    return row.contains(document.activeElement);
  }

  function isMarked() {
    return hasFocus() || isOpen();
  }

  function paintRing(pen) {
    if (!isMarked()) return;
    pen.strokeStyle = hasFocus() ? colours.focus : colours.ink;
    pen.lineWidth = hasFocus() ? 3 : 2;
    pen.strokeRect(left(active[1]) + 0.5, top(active[0]) + 0.5, size.width - 2, size.height - 2);
  }

  function isOpen() {
    const at = actions.state().at;
    return at && at[0] === shown.rows[active[0]] && at[1] === shown.columns[active[1]];
  }

  function paintNames(pen, rows, columns, width, height) {
    pen.fillStyle = colours.band;
    pen.fillRect(0, 0, width, size.top - 1);
    pen.fillRect(0, 0, size.left - 1, height);
    const clip = new Path2D();
    clip.rect(0, size.top, size.left, height);
    inside(pen, clip, () => {
      for (let r = rows[0]; r < rows[1]; r += 1) {
        const y = top(r);
        if (r > 0 && isBorder(shown.rows, r)) rule(pen, 0, y - 0.5, width, y - 0.5);
        const strong = hovered?.[0] === r || (isMarked() && active[0] === r);
        writeName(pen, shown.rows[r], 10, y + (size.height - 1) / 2, size.left - 18, strong);
      }
    });
    const across = new Path2D();
    across.rect(size.left, 0, width, size.top);
    inside(pen, across, () => {
      for (let c = columns[0]; c < columns[1]; c += 1) paintColumn(pen, c);
    });
    pen.fillStyle = colours.band;
    pen.fillRect(0, 0, size.left - 1, size.top - 1);
    pen.fillStyle = colours.muted;
    pen.font = font(12);
    pen.fillText("from ↓   to →", 10, size.top - 14);
    rule(pen, 0, size.top - 0.5, width, size.top - 0.5);
    rule(pen, size.left - 0.5, 0, size.left - 0.5, height);
  }

  function paintColumn(pen, c) {
    const [x, number] = [left(c), shown.columns[c]];
    if (c > 0 && isBorder(shown.columns, c)) rule(pen, x - 0.5, 0, x - 0.5, size.top);
    const strong = hovered?.[1] === c || (isMarked() && active[1] === c);
    if (!size.isWide) {
      pen.save();
      pen.translate(x + (size.width - 1) / 2, size.top - 8);
      pen.rotate(-Math.PI / 2);
      writeName(pen, number, 0, 0, size.top - 16, strong);
      pen.restore();
      return;
    }
    const { namespace, label } = parties[number];
    pen.font = font(12);
    pen.fillStyle = colours.muted;
    if (namespace) pen.fillText(cut(pen, namespace, size.width - 10), x + 6, 14);
    pen.font = font(12, strong ? 700 : 400);
    pen.fillStyle = colours.ink;
    pen.fillText(cut(pen, label, size.width - 10), x + 6, namespace ? 31 : 23);
  }

  function inside(pen, path, draw) {
    pen.save();
    pen.clip(path);
    draw();
    pen.restore();
  }

  function isBorder(numbers, at) {
    return parties[numbers[at]].group !== parties[numbers[at - 1]].group;
  }

  function rule(pen, x1, y1, x2, y2) {
    pen.strokeStyle = colours.line;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(x1, y1);
    pen.lineTo(x2, y2);
    pen.stroke();
  }

  // The namespace is muted, and gives way first where there is no room.
  function writeName(pen, number, x, y, room, strong) {
    const { name, label } = parties[number];
    pen.font = font(size.height < 20 ? 11 : 12, strong ? 700 : 400);
    const own = cut(pen, label, room);
    const rest = room - pen.measureText(own).width;
    const prefix = rest > 24 ? cut(pen, name.slice(0, name.length - label.length), rest, "/") : "";
    pen.fillStyle = colours.muted;
    pen.fillText(prefix, x, y);
    pen.fillStyle = colours.ink;
    pen.fillText(own, x + pen.measureText(prefix).width, y);
  }

  function at(event) {
    const box = grid.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    if (x > grid.clientWidth || y > grid.clientHeight) return null;
    const r = y < size.top ? -1 : Math.floor((y - size.top + grid.scrollTop) / size.height);
    const c = x < size.left ? -1 : Math.floor((x - size.left + grid.scrollLeft) / size.width);
    return r < shown.rows.length && c < shown.columns.length ? [r, c] : null;
  }

  function hover(event) {
    hovered = event && at(event);
    tip.hidden = !hovered || (hovered[0] < 0 && hovered[1] < 0);
    if (!tip.hidden) {
      const [source, destination] = [shown.rows[hovered[0]], shown.columns[hovered[1]]];
      tip.replaceChildren(...(hovered[0] < 0 ? [partyName(destination)]
        : hovered[1] < 0 ? [partyName(source)]
          : [partyName(source), " → ", partyName(destination), el("strong", {}, textOf(source, destination)),
            ...(sightText(source, destination) ? [el("span", {}, ` ${sightText(source, destination)}`)] : [])]));
      tip.style.left = `${clamp(event.clientX + 14, 0, innerWidth - tip.offsetWidth - 8)}px`;
      tip.style.top = `${clamp(event.clientY + 18, 0, innerHeight - tip.offsetHeight - 8)}px`;
    }
    paint();
  }

  grid.addEventListener("scroll", () => requestAnimationFrame(paint));
  grid.addEventListener("mousemove", hover);
  grid.addEventListener("mouseleave", () => hover(null));
  grid.addEventListener("click", (event) => {
    const found = at(event);
    if (!found || (found[0] < 0 && found[1] < 0)) return;
    if (found[1] < 0) actions.graph(shown.rows[found[0]]);
    else if (found[0] < 0) actions.graph(shown.columns[found[1]]);
    else {
      hover(null);
      move(found, true);
      actions.open([shown.rows[found[0]], shown.columns[found[1]]]);
    }
  });
  grid.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      actions.open([shown.rows[active[0]], shown.columns[active[1]]]);
      return;
    }
    const [r, c] = active;
    const [lastRow, lastColumn] = [shown.rows.length - 1, shown.columns.length - 1];
    const page = Math.max(1, Math.floor((grid.clientHeight - size.top) / size.height) - 1);
    const target = {
      ArrowUp: [r - 1, c], ArrowDown: [r + 1, c], ArrowLeft: [r, c - 1], ArrowRight: [r, c + 1],
      PageUp: [r - page, c], PageDown: [r + page, c],
      Home: [event.ctrlKey ? 0 : r, 0], End: [event.ctrlKey ? lastRow : r, lastColumn],
    }[event.key];
    if (!target || event.altKey || event.metaKey) return;
    event.preventDefault();
    move([clamp(target[0], 0, lastRow), clamp(target[1], 0, lastColumn)], true);
  });
  row.addEventListener("focusin", paint);
  row.addEventListener("focusout", paint);

  // A new element for each cell, so that screen readers say it.
  function move(target, isFocused) {
    active = target;
    const [source, destination] = [shown.rows[active[0]], shown.columns[active[1]]];
    const said = [textOf(source, destination), sightText(source, destination)].filter(Boolean).join("; ");
    const cell = el("div", {
      role: "gridcell", tabindex: "0", "aria-colindex": active[1] + 1,
      "aria-label": `${parties[source].name} to ${parties[destination].name}: ${said}`,
    });
    cell.style.transform = `translate(${size.left + active[1] * size.width}px, ${size.top + active[0] * size.height}px)`;
    cell.style.width = `${size.width}px`;
    cell.style.height = `${size.height}px`;
    row.setAttribute("aria-rowindex", active[0] + 1);
    row.replaceChildren(cell);
    if (isFocused) {
      reveal();
      cell.focus({ preventScroll: true });
    }
    paint();
  }

  function select([source, destination], isFocused) {
    const target = [shown.rows.indexOf(source), shown.columns.indexOf(destination)];
    if (target[0] >= 0 && target[1] >= 0) move(target, isFocused);
    else paint();
  }

  function reveal() {
    const [x, y] = [active[1] * size.width, active[0] * size.height];
    const [across, down] = [grid.clientWidth - size.left, grid.clientHeight - size.top];
    grid.scrollLeft = clamp(grid.scrollLeft, x + size.width - across, x);
    grid.scrollTop = clamp(grid.scrollTop, y + size.height - down, y);
  }

  function layOut() {
    const isEmpty = !shown.rows.length || !shown.columns.length;
    empty.hidden = !isEmpty;
    grid.hidden = isEmpty;
    if (isEmpty) return;
    colours = palette();
    measure();
    move(active, hasFocus()); // a resized window keeps the focus where it was
    if (isOpen()) reveal();
    paint();
  }

  return {
    draw(state, found) {
      const before = [shown.rows[active[0]], shown.columns[active[1]]];
      shown = found;
      grid.setAttribute("aria-label", "Connections, sources down, destinations across");
      grid.setAttribute("aria-rowcount", shown.rows.length);
      grid.setAttribute("aria-colcount", shown.columns.length);
      const wanted = state.at ?? before;
      active = [shown.rows.indexOf(wanted[0]), shown.columns.indexOf(wanted[1])].map((n) => Math.max(0, n));
      hover(null);
      layOut();
    },
    mark: (pair) => (pair ? select(pair, false) : paint()),
    focus: (pair) => select(pair, true),
    resize: layOut,
  };
}

const SIGNS = { added: "+ ", removed: "− ", changed: "~ " };

function clamp(number, least, greatest) {
  return Math.max(least, Math.min(greatest, number));
}

function font(size, weight = 400) {
  return `${weight} ${size}px system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif`;
}

function cut(pen, text, room, end = "") {
  if (pen.measureText(text).width <= room) return text;
  const bare = text.replace(/\[\w+\]$/, ""); // the kind of a workload says least
  if (bare !== text) return cut(pen, bare, room);
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (pen.measureText(`${text.slice(0, middle)}…${end}`).width <= room) low = middle;
    else high = middle - 1;
  }
  return low ? `${text.slice(0, low)}…${end}` : "";
}

// The colours of the style sheet, which knows about dark screens and forced colours.
function palette() {
  const style = getComputedStyle(document.documentElement);
  const names = ["surface", "band", "line", "ink", "muted", "focus", "hover", "none", "all", "all-ink", "some",
    "some-ink", "unjudged", "unjudged-ink", "added", "added-ink", "removed", "removed-ink", "changed",
    "changed-ink"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}
