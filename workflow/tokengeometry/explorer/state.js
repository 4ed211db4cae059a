// What the page shows. Every change goes through `set`, which draws all panels and writes the address.
const layers = about.layers
const prefix = about.prefix.length
const tokens = prefix + about.grid[0] * about.grid[1]
const rows = tokens + about.together.length
const names = models.tokens.data.name
const labels = models.tokens.data.words
const numberOf = new Map(names.map((name, row) => [name, row]))
const quantities = new Map(about.quantities.map((its) => [its.key, its]))
// Of chosen tokens so many have lines of their own; more are drawn together.
const SINGLE = about.colours.chosen.length
const view = {
  layer: layers.length >> 1,
  show: about.quantities[0].key,
  scale: "all",
  behind: "none",
  // A corner, which the paper is about, and the middle.
  tokens: [prefix, prefix + (about.grid[0] >> 1) * about.grid[1] + (about.grid[1] >> 1)],
  ranks: about.fit.ranks.slice(),
}

function set(changes) {
  Object.assign(view, changes)
  view.ranks = rangeWithin(view.ranks)
  draw()
  writeAddress()
}

function rangeWithin([first, last]) {
  const most = about.ranks[view.layer]
  last = Math.min(Math.max(Math.round(last), 2), most)
  return [Math.min(Math.max(Math.round(first), 1), last - 1), last]
}

// A quantity's values of all rows at a layer, or its interval's ends.
function valuesOf(key, layer, kind = "value") {
  return arrays[`${kind}_${key}`].subarray(layer * rows, (layer + 1) * rows)
}

function focus() {
  return view.tokens.length ? view.tokens[view.tokens.length - 1] : null
}

function layerName() {
  return layers[view.layer] === 0 ? "layer 0 (pixels)" : `layer ${layers[view.layer]}`
}

function tokenName(row) {
  if (row === null) return "none"
  return row < prefix || row >= tokens ? labels[row] : `token ${names[row]}`
}

// Mean, and the 10th and 90th percentile of some rows' values.
function spreadOf(values, members) {
  const found = []
  for (const row of members) if (Number.isFinite(values[row])) found.push(values[row])
  if (!found.length) return [NaN, NaN, NaN]
  found.sort((a, b) => a - b)
  return [found.reduce((sum, value) => sum + value, 0) / found.length, quantile(found, 0.1), quantile(found, 0.9)]
}

function clusterOf(row) {
  return quantities.has("cluster") && row < tokens ? valuesOf("cluster", 0)[row] : NaN
}

function clusterColour(cluster) {
  return Number.isFinite(cluster) ? about.colours.clusters[cluster - 1] : about.colours.undefined
}

function inWords(text) {
  return (text || "").split(";").map((name) => numberOf.get(name.trim().toLowerCase())).filter((row) => row !== undefined)
}

function writeAddress() {
  const said = {
    layer: layers[view.layer],
    show: view.show,
    tokens: view.tokens.map((row) => names[row]).join(";"),
    ranks: view.ranks.join("-"),
    scale: view.scale,
    behind: view.behind,
  }
  toAddress(said)
}

function readAddress() {
  const said = ofAddress()
  const layer = layers.indexOf(Number(said.get("layer") ?? NaN))
  const ranks = (said.get("ranks") ?? "").split("-").map(Number)
  const changes = {}
  if (layer >= 0) changes.layer = layer
  if (quantities.has(said.get("show"))) changes.show = said.get("show")
  if (said.has("tokens")) changes.tokens = inWords(said.get("tokens"))
  if (ranks.length === 2 && ranks.every((rank) => rank >= 1)) changes.ranks = ranks
  if (["all", "layer"].includes(said.get("scale"))) changes.scale = said.get("scale")
  if (["none", "mean", "spread"].includes(said.get("behind"))) changes.behind = said.get("behind")
  return changes
}
