// Spectra of the chosen tokens with their power laws, refitted as the range is dragged.
const spectrumStarts = []
{
  let ranks = 0, bits = 0, floors = 0, top = 0
  layers.forEach((layer, at) => {
    spectrumStarts.push({ranks, bits, floors, top})
    const count = (layer === 0 ? tokens - prefix : tokens) + 2
    ranks += count * about.ranks[at]
    bits += count * Math.ceil(about.ranks[at] / 8)
    floors += count * about.floor_ranks[at].length
    top += count
  })
}

// Where a row's spectrum is among those of a layer, or null: layer 0 has no prefix tokens.
function spectrumPlace(row, layer) {
  const first = layers[layer] === 0 ? prefix : 0
  if (row < tokens) return row < first ? null : row - first
  return row - tokens < 2 ? tokens - first + (row - tokens) : null
}

// Logarithms of eigenvalues (NaN where there is none), which are resolved, and the floor's logarithms.
function spectrumOf(row, layer) {
  const place = spectrumPlace(row, layer)
  if (place === null) return null
  const count = about.ranks[layer], start = spectrumStarts[layer]
  const from = start.ranks + place * count
  const top = arrays.spectra_top[start.top + place]
  const logs = new Float64Array(count), resolved = new Uint8Array(count)
  const bits = start.bits + place * Math.ceil(count / 8)
  let depth = 0
  for (let rank = 0; rank < count; rank++) {
    depth += arrays.spectra_low[from + rank] + 256 * arrays.spectra_high[from + rank]
    logs[rank] = depth >= 65535 ? NaN : top - about.step * depth
    resolved[rank] = (arrays.spectra_resolved[bits + (rank >> 3)] >> (7 - (rank & 7))) & 1
  }
  const kept = about.floor_ranks[layer]
  const floors = start.floors + place * kept.length
  const floor = kept.map((_, at) => top - about.floor_step * arrays.spectra_floor[floors + at])
  return {logs, resolved, floor}
}

// Weighted least squares of log λ on log rank, over the resolved ranks of a range: as geometry/statistics/power_law.py.
function fitted(spectrum, [first, last]) {
  const weigh = about.fit.weights === "uniform" ? () => 1 : (rank) => 1 / rank
  let total = 0, x = 0, y = 0, used = 0
  for (let rank = first; rank <= last; rank++) {
    if (!spectrum.resolved[rank - 1]) continue
    const weight = weigh(rank)
    used += 1
    total += weight
    x += weight * Math.log(rank)
    y += weight * spectrum.logs[rank - 1]
  }
  if (used < Math.max(2, Math.min(about.fit.min_ranks, last - first + 1))) return {alpha: NaN, r2: NaN, level: NaN, used}
  x /= total
  y /= total
  let xx = 0, xy = 0, yy = 0
  for (let rank = first; rank <= last; rank++) {
    if (!spectrum.resolved[rank - 1]) continue
    const weight = weigh(rank), dx = Math.log(rank) - x, dy = spectrum.logs[rank - 1] - y
    xx += weight * dx * dx
    xy += weight * dx * dy
    yy += weight * dy * dy
  }
  const slope = xy / xx
  return {alpha: -slope, r2: slope * xy / yy, level: y - slope * x, used}
}

// The fits of the chosen tokens, for whatever says them in words.
let fits = []

panels.push(() => {
  const [first, last] = view.ranks
  const chosen = view.tokens.slice(-SINGLE)
  const lines = {xs: [], ys: [], colour: [], words: []}
  const laws = {xs: [], ys: [], colour: []}
  fits = []
  const faint = {x: [], y: []}, floor = {x: [], y: []}
  chosen.forEach((row, index) => {
    const spectrum = spectrumOf(row, view.layer)
    const law = spectrum && fitted(spectrum, view.ranks)
    fits.push({row, law})
    if (!spectrum) return
    const xs = [], ys = []
    for (let rank = 0; rank < spectrum.logs.length; rank++) {
      const value = Math.exp(spectrum.logs[rank])
      if (spectrum.resolved[rank]) {
        xs.push(rank + 1)
        ys.push(value)
      } else if (row === focus() && Number.isFinite(value)) {
        faint.x.push(rank + 1)
        faint.y.push(value)
      }
    }
    lines.xs.push(xs)
    lines.ys.push(ys)
    lines.colour.push(about.colours.chosen[index])
    lines.words.push(tokenName(row))
    if (Number.isFinite(law.alpha)) {
      laws.xs.push([first, last])
      laws.ys.push([first, last].map((rank) => Math.exp(law.level) * rank ** -law.alpha))
      laws.colour.push(about.colours.chosen[index])
    }
    if (row === focus() && xs.length) {
      floor.x = about.floor_ranks[view.layer]
      floor.y = spectrum.floor.map(Math.exp)
      // Far below all that is drawn it would only press the spectrum together.
      const least = ys[ys.length - 1] / 1e3
      floor.y = floor.y.map((value) => (value > least ? value : NaN))
      faint.y = faint.y.map((value) => (value > least ? value : NaN))
    }
  })
  models.spectra.data = lines
  models.laws.data = laws
  models.unresolved.data = faint
  models.floor.data = floor
  models.range_box.setv({left: first, right: last})
  models.range_slider.setv({end: about.ranks[view.layer], value: [first, last]})
  const at = fits.findIndex((its) => its.row === focus())
  const law = at >= 0 ? fits[at].law : null
  const said = law === null ? "" : Number.isFinite(law.alpha)
    ? `\nα = ${law.alpha.toFixed(3)}, R² = ${law.r2.toFixed(3)}, of ranks ${first}–${last}`
    : `\nno α: ${law.used} resolved ranks in ${first}–${last}`
  models.spectrum.title.text = focus() === null
    ? "Spectrum: choose a token"
    : fits[at].law === null
      ? `No spectrum of ${tokenName(focus())} at ${layerName()} in this page`
      : `Spectrum of ${tokenName(focus())}, ${layerName()}${said}`
})

let dragged = null
function whenDragged() {
  if (drawing) return
  // One refit a frame, whatever the mouse sends.
  if (dragged === null) requestAnimationFrame(() => {
    const ends = dragged
    dragged = null
    set({ranks: ends})
  })
  dragged = [models.range_box.left, models.range_box.right].sort((a, b) => a - b)
}
for (const side of ["left", "right"]) {
  models.range_box.connect(models.range_box.properties[side].change, whenDragged)
}
whenChanged(models.range_slider, "value", (value) => set({ranks: value}))
whenPressed(models.reset_range, () => set({ranks: about.fit.ranks.slice()}))
