// The main conformers in three dimensions, one after the other or all superposed.
"use strict";

(() => {
  const root = document.getElementById("viewer");
  const data = JSON.parse(document.getElementById("conformers").textContent);
  const stage = root.querySelector(".stage");
  const said = root.querySelector(".said");
  const [previous, next] = root.querySelectorAll("button[data-step]");
  const all = root.querySelector("[name=all]");
  const numbers = root.querySelector("[name=numbers]");
  const torsion = root.querySelector("[name=torsion]");
  const rows = [...document.querySelectorAll("table.conformers tbody tr")];
  let current = 0;

  let viewer;
  try {
    viewer = $3Dmol.createViewer(stage, { backgroundAlpha: 0, antialias: true, id: "conformer-canvas" });
  } catch (error) {
    viewer = null;
  }
  if (!viewer) {
    stage.textContent = "This browser shows no WebGL; the drawings of a printed page stand in for the viewer.";
    document.querySelector(".conformer-drawings").classList.remove("print-only");
    return;
  }
  viewer.setBackgroundColor(0xffffff, 0);
  const models = data.models.map((model) => viewer.addModel(model.molblock, "sdf"));
  const faint = getComputedStyle(root).getPropertyValue("--faint").trim();
  const colours = { prop: "elem", map: data.colours };

  function mark() {
    const chosen = torsion && torsion.value !== "" ? data.torsions[Number(torsion.value)] : null;
    if (!chosen) return;
    const atoms = models[current].selectedAtoms({});
    const [start, end] = chosen.axis.map((index) => atoms[index]);
    viewer.addCylinder({ start, end, radius: 0.24, color: "#f0935a", opacity: 0.75, fromCap: 1, toCap: 1 });
    const place = { x: (start.x + end.x) / 2, y: (start.y + end.y) / 2, z: (start.z + end.z) / 2 };
    const value = data.models[current].torsions[Number(torsion.value)];
    viewer.addLabel(`${value.toFixed(0)}°`, { position: place, fontSize: 14, backgroundColor: "#7a3208",
      fontColor: "white", backgroundOpacity: 0.85, inFront: true });
  }

  function draw() {
    viewer.removeAllShapes();
    viewer.removeAllLabels();
    models.forEach((model, index) => {
      if (index === current) {
        model.setStyle({}, { stick: { radius: 0.13, colorscheme: colours }, sphere: { scale: 0.2, colorscheme: colours } });
      } else {
        model.setStyle({}, all.checked ? { stick: { radius: 0.04, color: faint } } : {});
      }
    });
    if (numbers.checked) {
      models[current].selectedAtoms({}).forEach((atom, index) => {
        if (atom.elem === "H") return;
        viewer.addLabel(String(index + 1), { position: atom, fontSize: 11, backgroundOpacity: 0.6, inFront: true });
      });
    }
    mark();
    viewer.render();
    const model = data.models[current];
    const above = current === 0 ? "" : `, free energy ${model.free_energy.toFixed(2)} kcal/mol above the first`;
    said.textContent =
      `Conformer ${current + 1} of ${models.length}: ${(100 * model.population).toFixed(1)} ± ` +
      `${(100 * model.population_stderr).toFixed(1)} %${above}. ${model.states}`;
    rows.forEach((row, index) => row.setAttribute("aria-current", String(index === current)));
    root.dataset.current = String(current + 1);
  }

  function go(index) {
    current = (index + models.length) % models.length;
    draw();
  }
  previous.addEventListener("click", () => go(current - 1));
  next.addEventListener("click", () => go(current + 1));
  root.addEventListener("keydown", (event) => {
    if (event.target === torsion) return;
    if (event.key === "ArrowRight") go(current + 1);
    else if (event.key === "ArrowLeft") go(current - 1);
    else return;
    event.preventDefault();
  });
  rows.forEach((row, index) => row.querySelector("button").addEventListener("click", () => go(index)));
  for (const control of [all, numbers, torsion]) control?.addEventListener("change", draw);
  viewer.zoomTo();
  viewer.zoom(1.2);
  draw();
  new ResizeObserver(() => viewer.resize()).observe(stage);
})();
