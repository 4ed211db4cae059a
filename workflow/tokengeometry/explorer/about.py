"""What stands below the charts: the claims, and what the study was made of."""

import html

import pandas as pd


def details(facts, claims):
    """Claims, configuration, versions and weights, as HTML.

    Parameters
    ----------
    facts : dict of str to (dict or str)
        By heading.
    claims : pandas.DataFrame
        The table of claims.

    Returns
    -------
    str
    """
    parts = [f"<details open><summary>The paper's claims, judged on this branch</summary>{_claims(claims)}</details>"]
    for heading, its in facts.items():
        rows = "".join(f"<tr><th>{_text(key)}</th><td>{_text(value)}</td></tr>" for key, value in _flat(its))
        parts.append(f"<details><summary>{_text(heading)}</summary><table>{rows}</table></details>")
    return "".join(parts)


def _claims(claims):
    head = "".join(f"<th>{_text(title)}</th>" for title in ("", "What the paper says", "Estimate", "Verdict", "Why"))
    rows = []
    for row in claims.itertuples():
        computed = "" if row.statistic == "none" else f"<br><span class='small'>{_text(row.statistic)}</span>"
        verdict = {"holds": "holds", "does not hold": "fails"}.get(row.verdict, "untold")
        cells = (
            _text(row.claim),
            _text(row.statement) + computed,
            _estimate(row),
            f"<span class='{verdict}'>{_text(row.verdict)}</span>",
            _text(row.why),
        )
        rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return f"<table class='claims'><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _estimate(row):
    if pd.isna(row.estimate):
        return "–"
    interval = "" if pd.isna(row.low) else f" ({row.low:.3g} to {row.high:.3g})"
    return f"{row.estimate:.3g}{interval}"


def _flat(facts, before=""):
    """Nested settings as (dotted key, value)."""
    for key, value in facts.items():
        name = f"{before}.{key}" if before else str(key)
        if isinstance(value, dict):
            yield from _flat(value, name)
        else:
            yield name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _text(value):
    return html.escape("" if pd.isna(value) else str(value))
