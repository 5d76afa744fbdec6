// Figures: what lies under the pointer, and a larger view. Pages work without any of this.
"use strict";

(() => {
  const readout = document.createElement("div");
  readout.className = "readout";
  readout.hidden = true;
  document.body.append(readout);

  const unitOf = (label) => (label.includes("degrees") ? "°" : "");
  const short = (value) => Number(value.toPrecision(3)).toString();

  function textAt(axes, right, up) {
    const x = axes.x[0] + right * (axes.x[1] - axes.x[0]);
    const y = axes.y[0] + up * (axes.y[1] - axes.y[0]);
    const lines = [];
    if (axes.map) {
      const value = axes.map[Math.floor(up * axes.map.length)]?.[Math.floor(right * axes.map[0].length)];
      lines.push(`${Math.round(x)}°, ${Math.round(y)}°`);
      lines.push(value == null ? "not seen" : `${value} kcal/mol`);
    } else if (axes.steps.length) {
      lines.push(`${axes.range[1] - axes.range[0] > 50 ? Math.round(x) : short(x)}${unitOf(axes.xlabel)}`);
      for (const step of axes.steps) {
        const share = (x - axes.range[0]) / (axes.range[1] - axes.range[0]);
        const height = step.heights[Math.floor(share * step.heights.length)];
        if (height !== undefined) lines.push(`${step.label}: ${short(height)}`);
      }
    }
    return lines.join("\n");
  }

  function show(event) {
    const svg = event.target.closest?.("svg[data-axes]");
    readout.hidden = true;
    if (!svg) return;
    svg.axes ??= JSON.parse(svg.dataset.axes);
    const frame = svg.getBoundingClientRect();
    const across = (event.clientX - frame.left) / frame.width;
    const above = 1 - (event.clientY - frame.top) / frame.height;
    for (const axes of svg.axes) {
      const [left, bottom, right, top] = axes.box;
      if (across < left || across > right || above < bottom || above > top) continue;
      const text = textAt(axes, (across - left) / (right - left), (above - bottom) / (top - bottom));
      if (!text) continue;
      readout.textContent = text;
      readout.hidden = false;
      readout.style.left = `${Math.min(event.clientX + 14, innerWidth - readout.offsetWidth - 8)}px`;
      readout.style.top = `${Math.max(event.clientY - readout.offsetHeight - 8, 4)}px`;
    }
  }
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
  document.addEventListener("scroll", () => (readout.hidden = true), { passive: true });

  const dialog = document.getElementById("enlarged");
  for (const figure of document.querySelectorAll("figure.drawn")) {
    const button = document.createElement("button");
    button.className = "enlarge";
    button.textContent = "Enlarge";
    button.setAttribute("aria-label", `Enlarge: ${figure.dataset.title}`);
    button.addEventListener("click", () => {
      dialog.querySelector(".picture").replaceChildren(figure.querySelector("svg").cloneNode(true));
      dialog.querySelector("h2").textContent = figure.dataset.title;
      dialog.showModal();
    });
    figure.querySelector(".title").append(button);
  }
})();
