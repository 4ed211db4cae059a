// Buttons, keys and files.
panels.push(() => {
  models.layer.value = view.layer
  models.show.value = view.show
  models.scale.active = view.scale === "all" ? 0 : 1
  models.behind.active = ["none", "mean", "spread"].indexOf(view.behind)
  models.named.value = view.tokens.length <= 12 ? view.tokens.map((row) => names[row]).join("; ") : `${view.tokens.length} tokens`
})

whenChanged(models.layer, "value", (layer) => set({layer}))
whenChanged(models.show, "value", (show) => set({show}))
whenChanged(models.scale, "active", (active) => set({scale: ["all", "layer"][active]}))
whenChanged(models.behind, "active", (active) => set({behind: ["none", "mean", "spread"][active]}))
whenChanged(models.named, "value", (value) => set({tokens: inWords(value)}))

playWith(() => set({layer: (view.layer + 1) % layers.length}))

// The last chosen token's neighbour on the grid.
function neighbour(down, right) {
  const row = focus(), width = about.grid[1]
  if (row === null || row < prefix || row >= tokens) return prefix
  const y = Math.floor((row - prefix) / width) + down, x = ((row - prefix) % width) + right
  const inside = x >= 0 && y >= 0 && x < width && y < about.grid[0]
  return inside ? prefix + y * width + x : row
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || taken(event)) return
  const arrows = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}
  const arrow = arrows[event.key]
  if (arrow && event.shiftKey) set({tokens: [neighbour(...arrow)]})
  else if (arrow && arrow[1]) set({layer: Math.min(Math.max(view.layer + arrow[1], 0), layers.length - 1)})
  else if (event.key === " ") models.play.active = !models.play.active
  else return
  event.preventDefault()
})
addEventListener("hashchange", () => set(readAddress()))

function offer(blob, ending) {
  const link = document.createElement("a")
  link.href = URL.createObjectURL(blob)
  link.download = `${about.file}.layer_${layers[view.layer]}.${view.show}.${ending}`
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 1000)
}

// Every token at this layer: all quantities, with intervals, and the correlation with the last chosen one.
function table() {
  const columns = [["layer", () => layers[view.layer]], ["token", (row) => (row < tokens ? row : "")], ["name", (row) => `"${names[row]}"`]]
  for (const {key, interval} of about.quantities) {
    for (const kind of interval ? ["value", "low", "high"] : ["value"]) {
      const values = valuesOf(key, view.layer, kind)
      columns.push([kind === "value" ? key : `${key}_${kind}`, (row) => (Number.isFinite(values[row]) ? values[row] : "")])
    }
  }
  const alike = correlationsOf(focus(), view.layer)
  if (focus() !== null) {
    columns.push([`"correlation_with_${names[focus()]}"`, (row) => (Number.isFinite(alike[row]) ? alike[row].toFixed(3) : "")])
  }
  const lines = [columns.map(([name]) => name).join(",")]
  for (let row = 0; row < rows; row++) lines.push(columns.map(([, of]) => of(row)).join(","))
  return lines.join("\n") + "\n"
}

const figures = [models.grid, models.trajectory, models.spectrum, models.correlation, models.plane]
whenPressed(models.save_csv, () => offer(new Blob([table()], {type: "text/csv"}), "csv"))
for (const kind of ["png", "svg"]) {
  whenPressed(models[`save_${kind}`], async () => {
    for (const figure of figures) {
      const layer = Bokeh.index.get_one(figure).export(kind)
      offer(await layer.to_blob(), `${figure.name}.${kind}`)
    }
  })
}

set(readAddress())
