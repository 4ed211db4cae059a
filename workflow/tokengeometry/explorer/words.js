// The same in words and numbers: what screens and readers of screens say of the charts.
function summary() {
  const quantity = quantities.get(view.show), values = valuesOf(view.show, view.layer)
  const found = []
  for (let row = prefix; row < tokens; row++) if (Number.isFinite(values[row])) found.push(row)
  found.sort((a, b) => values[a] - values[b])
  const missing = tokens - prefix - found.length
  const lacking = missing ? ` ${missing} of ${tokens - prefix} spatial tokens have no value${why()}.` : ""
  if (!found.length) return `No spatial token has a value of “${quantity.label}” at ${layerName()}${why()}.`
  if (view.show === "cluster") return `${found.length} tokens are in ${about.clusters} clusters.${lacking}`
  const low = found[0], high = found[found.length - 1], middle = found[found.length >> 1]
  return `${quantity.label} at ${layerName()}: from ${digits(values[low])} (${tokenName(low)}) to ${digits(values[high])} ` +
    `(${tokenName(high)}), median ${digits(values[middle])}.${lacking}`
}

function why() {
  const codes = arrays.reasons.subarray(view.layer * rows, (view.layer + 1) * rows)
  const said = new Set(Array.from(codes.subarray(prefix, tokens)).filter(Boolean).map((code) => about.reasons[code]))
  return said.size ? ` (${[...said].join("; ")})` : ""
}

function reasonOf(row) {
  return about.reasons[arrays.reasons[view.layer * rows + row]]
}

panels.push(() => {
  const quantity = quantities.get(view.show), values = valuesOf(view.show, view.layer)
  const lines = view.tokens.slice(-SINGLE).map((row, index) => {
    const law = fits[index]?.law
    const interval = quantity.interval
      ? `${digits(valuesOf(view.show, view.layer, "low")[row])} to ${digits(valuesOf(view.show, view.layer, "high")[row])}`
      : "–"
    const cluster = clusterOf(row)
    const reason = reasonOf(row)
    return `<tr><td><span class="key" style="background:${about.colours.chosen[index]}"></span>${escaped(tokenName(row))}</td>` +
      `<td class="value">${digits(values[row])}</td><td>${interval}</td>` +
      `<td class="alpha">${law ? digits(law.alpha) : "–"}</td><td>${law ? digits(law.r2) : "–"}</td>` +
      `<td>${Number.isFinite(cluster) ? cluster : "–"}</td><td>${escaped(reason)}</td></tr>`
  })
  const more = view.tokens.length > SINGLE ? `<p class="small">The last ${SINGLE} of ${view.tokens.length} chosen tokens.</p>` : ""
  say(models.words, `<p role="status" aria-live="polite" class="summary">${escaped(summary())}</p>` +
    (lines.length
      ? `<table><thead><tr><th>chosen</th><th>${escaped(quantity.label)}</th><th>95 % interval</th>` +
        `<th>α of ranks ${view.ranks.join("–")}</th><th>its R²</th><th>cluster</th><th>why no α</th></tr></thead>` +
        `<tbody>${lines.join("")}</tbody></table>${more}`
      : "<p>No token is chosen: click one on the grid, or name some above.</p>"))
})
