"""The figure of claims says each verdict in words, and puts its number where the interval and the reference say."""

import pytest
from drawing import claims_table, draw, small_print
from matplotlib.colors import to_hex
from tokengeometry.figures.claims import CONTROL, VERDICTS, claims


def words(figure):
    return [text.get_text().replace("\n", " ") for text in figure.axes[0].texts]


def test_every_statement_has_its_number_its_reference_and_its_verdict(tmp_path):
    table = claims_table()
    figure = claims(table)
    said = words(figure)
    for row in table.itertuples():
        assert {row.claim, row.statement.strip(), row.verdict} <= set(said)
    assert [text for text in said if text in ("1", "0.4", "0.5", "0.9", "0")] == ["1", "1", "0", "0.4", "0.5", "0.9"]
    assert "claims.csv" in small_print(figure)
    draw(figure, tmp_path)


def test_verdicts_are_told_by_colour_and_marker_too():
    assert len({colour for colour, _ in VERDICTS.values()}) == len({marker for _, marker in VERDICTS.values()}) == 3
    for line in claims(claims_table()).axes[0].get_lines():
        if line.get_marker() not in ("None", CONTROL):
            assert (to_hex(line.get_color()).upper(), line.get_marker()) in VERDICTS.values()


def test_the_estimate_lies_between_the_ends_of_its_interval_and_on_the_side_of_the_reference():
    table = claims_table().iloc[:1]
    axes = claims(table).axes[0]
    (estimate,) = [line for line in axes.get_lines() if line.get_marker() == "o"]
    (bar,) = [line for line in axes.get_lines() if line.get_linewidth() == pytest.approx(1.8)]
    (tick,) = [
        line
        for line in axes.get_lines()
        if line.get_linewidth() == pytest.approx(0.8) and len(set(line.get_xdata())) == 1 and line.get_xdata()[0] > 0.1
    ]
    low, high = bar.get_xdata()
    # 0, 0.1 of the control, 0.8, 1 and 1.2 on one axis.
    assert (estimate.get_xdata()[0] - low) == pytest.approx(high - estimate.get_xdata()[0])
    assert (low - tick.get_xdata()[0]) / (high - low) == pytest.approx(2)
    (control,) = [line for line in axes.get_lines() if line.get_marker() == CONTROL]
    assert (control.get_xdata()[0] - tick.get_xdata()[0]) / (high - low) == pytest.approx(0.25)
    assert "Open squares" in small_print(claims(table))
    assert "Open squares" not in small_print(claims(table.assign(control=float("nan"))))
