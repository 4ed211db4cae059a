// Two branches beside each other: the same quantity of both at the same layer, and their difference.
const branches = about.branches
const quantities = new Map(branches.flatMap((branch) => branch.quantities.map((its) => [its.key, its])))
const view = {a: 0, b: 1, layer: 0, show: branches[0].quantities[0].key, scale: "all", tokens: []}

function layersOfBoth() {
  return [...new Set([...branches[view.a].layers, ...branches[view.b].layers])].sort((one, other) => one - other)
}

function set(changes) {
  const before = layersOfBoth()[view.layer]
  Object.assign(view, changes)
  const layers = layersOfBoth()
  if (!("layer" in changes)) view.layer = Math.max(layers.indexOf(before), 0)
  view.layer = Math.min(view.layer, layers.length - 1)
  draw()
  toAddress({
    a: branches[view.a].title,
    b: branches[view.b].title,
    layer: layers[view.layer],
    show: view.show,
    tokens: view.tokens.join(";"),
    scale: view.scale,
  })
}

function here() {
  return layersOfBoth()[view.layer]
}

// A branch's values at a layer, or null where it has none.
function valuesOf(branch, key, layer, kind = "value") {
  const {layers, names} = branches[branch]
  const at = layers.indexOf(layer), values = arrays[`${branch}_${kind}_${key}`]
  return at < 0 || !values ? null : values.subarray(at * names.length, (at + 1) * names.length)
}

function spatial(branch) {
  const {prefix, grid} = branches[branch]
  return [prefix, prefix + grid[0] * grid[1]]
}

// One scale for both: of the spatial tokens at this layer, or at all from 1 on. Layer 0 has its own.
function commonRange() {
  const alone = view.scale === "layer" || here() === 0
  let low = Infinity, high = -Infinity
  for (const branch of [view.a, view.b]) {
    for (const layer of alone ? [here()] : branches[branch].layers.filter((its) => its > 0)) {
      for (const value of valuesOf(branch, view.show, layer)?.subarray(...spatial(branch)) ?? []) {
        if (value < low) low = value
        if (value > high) high = value
      }
    }
  }
  return low < high ? [low, high] : Number.isFinite(low) ? [low - 0.5, low + 0.5] : [0, 1]
}

function alike() {
  return String(branches[view.a].names) === String(branches[view.b].names)
}

// a − b of every row; null where the grids differ, or one has no values.
function differences(layer = here()) {
  const a = valuesOf(view.a, view.show, layer), b = valuesOf(view.b, view.show, layer)
  return a && b && alike() ? a.map((value, row) => value - b[row]) : null
}

function fill(side, branch, values) {
  const {spots, names, grid, prefix} = branches[branch]
  const found = values ?? new Float32Array(names.length).fill(NaN)
  if (models[`tokens_${side}`].data.name !== names) models[`tokens_${side}`].data = {...spots, name: names, value: found}
  colourTokens(`_${side}`, spots, grid, prefix, found)
  const rows = view.tokens.map((name) => names.indexOf(name)).filter((row) => row >= 0)
  if (String(models[`tokens_${side}`].selected.indices) !== String(rows)) models[`tokens_${side}`].selected.indices = rows
  const pick = (column) => rows.map((row) => spots[column][row])
  fillIn(models[`chosen_${side}`], {x: pick("x"), y: pick("y"), w: pick("w"), h: pick("h")})
}

panels.push(() => {
  const [low, high] = commonRange()
  const label = quantities.get(view.show).label
  for (const side of ["a", "b"]) {
    const branch = view[side], values = valuesOf(branch, view.show, here())
    const mapper = models[`mapper_${side}`]
    mapper.setv({low, high, palette: here() === 0 ? about.colours.pixels : about.colours.values})
    fill(side, branch, values)
    models[`grid_${side}`].title.text = `${branches[branch].title}\n${values ? `${label}, layer ${here()}` : `nothing of this at layer ${here()}`}`
  }
  const found = differences()
  let largest = 0
  for (const layer of view.scale === "all" && here() !== 0 ? layersOfBoth().filter((its) => its > 0) : [here()]) {
    for (const value of differences(layer)?.subarray(...spatial(view.a)) ?? []) largest = Math.max(largest, Math.abs(value) || 0)
  }
  models.mapper_d.setv({low: -(largest || 1), high: largest || 1})
  fill("d", view.a, found)
  models.grid_d.title.text = found
    ? `Difference, first less second\n${label}, layer ${here()}`
    : alike() ? `No difference: one has no values at layer ${here()}` : "No difference: the token grids are not the same"
})

panels.push(() => {
  const lines = {xs: [], ys: [], colour: [], dash: [], width: [], words: []}
  const points = {x: [], y: [], low: [], high: [], colour: [], words: []}
  const shown = view.tokens.length ? view.tokens.slice(-about.colours.chosen.length) : ["cls", "pooled"]
  shown.forEach((name, index) => {
    ["a", "b"].forEach((side, second) => {
      const branch = view[side], {layers, names, title} = branches[branch]
      const row = names.indexOf(name)
      if (row < 0 || !arrays[`${branch}_value_${view.show}`]) return
      const value = (layer, kind) => valuesOf(branch, view.show, layer, kind)?.[row] ?? NaN
      lines.xs.push(layers)
      lines.ys.push(layers.map((layer) => value(layer)))
      lines.colour.push(about.colours.chosen[index])
      lines.dash.push(second ? [6, 3] : [])
      lines.width.push(2.4)
      lines.words.push(`${name}: ${title}`)
      for (const layer of layers) {
        points.x.push(layer)
        points.y.push(value(layer))
        points.low.push(quantities.get(view.show).interval ? value(layer, "low") : value(layer))
        points.high.push(quantities.get(view.show).interval ? value(layer, "high") : value(layer))
        points.colour.push(about.colours.chosen[index])
        points.words.push(`${name}: ${title}`)
      }
    })
  })
  models.curves.data = lines
  models.points.data = points
  models.here.location = here()
  models.trajectory.title.text = `${quantities.get(view.show).label}, by layer`
})

panels.push(() => {
  const found = differences(), [first, last] = spatial(view.a)
  const {names} = branches[view.a]
  const rows = found ? names.map((_, row) => row).filter((row) => row >= first && row < last && Number.isFinite(found[row])) : []
  let text = "The two have no tokens in common here."
  if (rows.length) {
    const mean = rows.reduce((sum, row) => sum + found[row], 0) / rows.length
    const size = rows.reduce((sum, row) => sum + Math.abs(found[row]), 0) / rows.length
    const most = rows.reduce((best, row) => (Math.abs(found[row]) > Math.abs(found[best]) ? row : best), rows[0])
    text = `${quantities.get(view.show).label} at layer ${here()}, ${branches[view.a].title} less ${branches[view.b].title}: ` +
      `mean ${digits(mean)}, mean size ${digits(size)}, largest ${digits(found[most])} at token ${names[most]}.`
  }
  const row = (name) => {
    const cell = (side) => digits(valuesOf(view[side], view.show, here())?.[branches[view[side]].names.indexOf(name)])
    return `<tr><td>${escaped(name)}</td><td>${cell("a")}</td><td>${cell("b")}</td>` +
      `<td>${found ? digits(found[names.indexOf(name)]) : "–"}</td></tr>`
  }
  say(models.words, `<p role="status" aria-live="polite" class="summary">${escaped(text)}</p>` + (view.tokens.length
    ? `<table><thead><tr><th>chosen</th><th>${escaped(branches[view.a].title)}</th><th>${escaped(branches[view.b].title)}</th>` +
      `<th>difference</th></tr></thead><tbody>${view.tokens.map(row).join("")}</tbody></table>`
    : ""))
})

panels.push(() => {
  const layers = layersOfBoth()
  models.layer.format.args = {layers}
  models.layer.setv({end: Math.max(layers.length - 1, 1), value: view.layer})
  models.first.value = String(view.a)
  models.second.value = String(view.b)
  models.show.value = view.show
  models.scale.active = view.scale === "all" ? 0 : 1
  models.named.value = view.tokens.join("; ")
})

whenChanged(models.layer, "value", (layer) => set({layer}))
whenChanged(models.first, "value", (value) => set({a: Number(value)}))
whenChanged(models.second, "value", (value) => set({b: Number(value)}))
whenChanged(models.show, "value", (show) => set({show}))
whenChanged(models.scale, "active", (active) => set({scale: ["all", "layer"][active]}))
whenChanged(models.named, "value", (value) => set({tokens: value.split(";").map((name) => name.trim()).filter(Boolean)}))
for (const side of ["a", "b", "d"]) {
  whenChanged(models[`tokens_${side}`].selected, "indices", (indices) => {
    const names = models[`tokens_${side}`].data.name
    set({tokens: Array.from(indices, (row) => names[row])})
  })
}

playWith(() => set({layer: (view.layer + 1) % layersOfBoth().length}))
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey || taken(event)) return
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key]
  if (step) set({layer: Math.min(Math.max(view.layer + step, 0), layersOfBoth().length - 1)})
  else if (event.key === " ") models.play.active = !models.play.active
  else return
  event.preventDefault()
})

function start() {
  const said = ofAddress(), changes = {}
  for (const side of ["a", "b"]) {
    const at = branches.findIndex((branch) => branch.title === said.get(side))
    if (at >= 0) changes[side] = at
  }
  Object.assign(view, changes)
  const layers = layersOfBoth(), layer = layers.indexOf(Number(said.get("layer") ?? NaN))
  changes.layer = layer >= 0 ? layer : layers.length >> 1
  if (quantities.has(said.get("show"))) changes.show = said.get("show")
  if (said.has("tokens")) changes.tokens = said.get("tokens").split(";").filter(Boolean)
  if (["all", "layer"].includes(said.get("scale"))) changes.scale = said.get("scale")
  set(changes)
}
addEventListener("hashchange", start)
start()
