// The correlation of the last chosen token with every other one.
const matrices = new Map()

// A layer's steps of r, decoded once; the strict upper triangle row by row.
function stepsOf(layer) {
  if (!matrices.has(layer)) {
    const count = (at) => (layers[at] === 0 ? tokens - prefix : tokens)
    const pairs = (at) => (count(at) * (count(at) - 1)) / 2
    let start = 0
    for (let at = 0; at < layer; at++) start += pairs(at)
    const steps = new Uint8Array(pairs(layer))
    for (let pair = 0, last = 0; pair < steps.length; pair++) {
      last = (last + arrays.correlation[start + pair]) & 255
      steps[pair] = last
    }
    matrices.set(layer, steps)
  }
  return matrices.get(layer)
}

// r of a token with every token; NaN where there is none.
function correlationsOf(row, layer) {
  const found = new Float32Array(tokens).fill(NaN)
  const first = layers[layer] === 0 ? prefix : 0
  if (row === null || row >= tokens || row < first) return found
  const steps = stepsOf(layer), count = tokens - first, own = row - first
  for (let other = 0; other < count; other++) {
    const low = Math.min(own, other), high = Math.max(own, other)
    if (low === high) continue
    const step = steps[low * (count - 1) - (low * (low - 1)) / 2 + (high - low - 1)]
    if (step !== 255) found[first + other] = step / 127 - 1
  }
  return found
}

panels.push(() => {
  const row = focus()
  const values = correlationsOf(row, view.layer)
  const mapper = models.mapper_here
  if (view.scale === "all") {
    mapper.setv({palette: about.colours.correlation, low: -1, high: 1})
  } else {
    let low = Infinity, high = -Infinity
    for (const value of values) {
      if (value < low) low = value
      if (value > high) high = value
    }
    mapper.setv({palette: about.colours.values, low: low < high ? low : -1, high: low < high ? high : 1})
  }
  colourTokens("_here", models.tokens_here.data, about.grid, prefix, values)
  outline(models.chosen_here, row === null || row >= tokens ? [] : [row])
  models.correlation.title.text = row === null
    ? "Correlation: choose a token"
    : row >= tokens
      ? "Correlations are of single tokens"
      : layers[view.layer] === 0 && row < prefix
        ? `${tokenName(row)} is not there at layer 0`
        : `Correlation with ${tokenName(row)}, ${layerName()}`
})

whenChanged(models.tokens_here.selected, "indices", (indices) => {
  if (indices.length) set({tokens: [indices[indices.length - 1]]})
  drawing = true
  models.tokens_here.selected.indices = []
  drawing = false
})
