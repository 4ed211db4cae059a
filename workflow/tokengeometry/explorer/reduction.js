// The page of reductions: a view that every change goes through, and what draws it.
const runs = about.runs
const count = about.places
const view = {...about.start}

function set(changes) {
  Object.assign(view, changes)
  if (run() < 0) view.budget = runs.find(([policy]) => policy === view.policy)[1]
  draw()
  toAddress(view)
}

function run() {
  return runs.findIndex(([policy, budget]) => policy === view.policy && budget === view.budget)
}

function height(value) {
  return view.score.startsWith("cosine") ? -Math.log10(Math.max(1 - value, 1e-7)) : value
}

panels.push(function controls() {
  for (const name of ["score", "over", "policy"]) models[name].value = view[name]
  models.budget.value = models.budget.options.map(([value]) => value).find((value) => Number(value) === view.budget)
  models.layer.value = view.block
})

panels.push(function tradeoff() {
  const {score, over} = view
  for (const curve of curves) {
    const mine = runs.map((_, row) => row).filter((row) => runs[row][0] === curve.name)
    const of = (name) => mine.map((row) => about.rows[row][name])
    curve.data = {
      x: of(over),
      y: of(score).map(height),
      low: of(`${score}_low`).map(height),
      high: of(`${score}_high`).map(height),
      budget: mine.map((row) => runs[row][1]),
      words: mine.map((row) => `${curve.name} at ${percent(runs[row][1])}`),
      value: of(score).map((value) => digits(value)),
      interval: mine.map((row) => `${digits(about.rows[row][`${score}_low`])} to ${digits(about.rows[row][`${score}_high`])}`),
      share: of("share").map((value) => `${(100 * value).toFixed(1)} %`),
      speed: of("speed").map((value) => `${digits(value, 3)} times the whole model's`),
    }
  }
  const chosen = about.rows[run()]
  models.ring.data = {x: [chosen[over]], y: [height(chosen[score])]}
  models.tradeoff.title.text = about.scores[score]
  models.x_axis.axis_label = about.over[over]
  models.y_axis.axis_label = score.startsWith("cosine") ? "Cosine, by its distance to 1" : "Score"
  // The whole model's cosine, 1, is nowhere on that axis.
  models.whole.visible = !score.startsWith("cosine")
  models.whole.location = about.whole[score]
})

panels.push(function schedule() {
  const r = about.r[run()]
  let left = count
  models.blocks.data = {
    block: r.map((_, block) => block + 1),
    r,
    left: r.map((go) => (left -= go)),
    colour: r.map((_, block) => (block + 1 === view.block ? "#AA3377" : "#5F6B7A")),
  }
  models.schedule.title.text = `Tokens that go at each block: ${view.policy} at ${percent(view.budget)}`
})

panels.push(function map() {
  const start = (run() * about.depth + view.block - 1) * count
  const token = Array.from(arrays.places.subarray(start, start + count))
  const sizes = arrays.sizes.subarray(start, start + count)
  const members = new Map()
  for (const its of token) members.set(its, (members.get(its) ?? 0) + 1)
  models.cells.data = {
    ...models.cells.data,
    token,
    value: Float32Array.from(sizes, (size) => (size > 0 ? size : NaN)),
    together: token.map((its) => (its === 0 ? "gone" : members.get(its) === 1 ? "alone" : `held with ${members.get(its) - 1} others`)),
  }
  const edges = {x0: [], y0: [], x1: [], y1: []}
  const [rows, columns] = about.grid
  const edge = (...ends) => Object.values(edges).forEach((its, index) => its.push(ends[index]))
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const here = token[row * columns + column]
      if (column + 1 < columns && token[row * columns + column + 1] !== here) edge(column + 0.5, row - 0.5, column + 0.5, row + 0.5)
      if (row + 1 < rows && token[(row + 1) * columns + column] !== here) edge(column - 0.5, row + 0.5, column + 0.5, row + 0.5)
    }
  }
  models.edges.data = edges
  models.held.data = {x: [], y: []}
  models.map.title.text = `Places in a token after block ${view.block}, mean over images`
  const gone = members.get(0) ?? 0
  const r = about.r[run()][view.block - 1]
  const left = members.size - (gone > 0)
  say(models.words, `<p><b>${escaped(view.policy)}</b> at ${percent(view.budget)} of the operations. At block ${view.block}, ` +
    `${r} tokens go. After it ${left} of ${count} spatial tokens are left` + (gone ? `, and ${gone} places are gone` : "") +
    `. White lines part places of different tokens in the first image; grey places are gone in every image.</p>`)
})

function percent(share) {
  return `${Math.round(100 * share)} %`
}

function step(by) {
  set({block: ((view.block - 1 + by + about.depth) % about.depth) + 1})
}

for (const name of ["score", "over", "policy"]) whenChanged(models[name], "value", (value) => set({[name]: value}))
whenChanged(models.budget, "value", (value) => set({budget: Number(value)}))
whenChanged(models.layer, "value", (value) => set({block: Math.min(value, about.depth)}))
for (const curve of curves) {
  whenChanged(curve.selected, "indices", ([row]) => {
    if (row === undefined) return
    const budget = curve.data.budget[row]
    curve.selected.indices = []
    set({policy: curve.name, budget})
  })
}
playWith(() => step(1))
document.addEventListener("keydown", (event) => {
  if (taken(event) || event.ctrlKey || event.metaKey || event.altKey) return
  if (event.key === "ArrowRight") step(1)
  else if (event.key === "ArrowLeft") step(-1)
  else if (event.key === " ") models.play.active = !models.play.active
  else return
  event.preventDefault()
})

const said = ofAddress(), changes = {}
if (said.get("score") in about.scores) changes.score = said.get("score")
if (said.get("over") in about.over) changes.over = said.get("over")
if (about.policies.includes(said.get("policy"))) changes.policy = said.get("policy")
if (runs.some(([, budget]) => budget === Number(said.get("budget")))) changes.budget = Number(said.get("budget"))
if (Number(said.get("block")) >= 1 && Number(said.get("block")) <= about.depth) changes.block = Math.round(Number(said.get("block")))
set(changes)
