"""The picture of the rules in the pages is that of the rules."""

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

from small_study import REPOSITORY


def edges(graph):
    """What leads to what in a graph of rules by Snakemake: pairs of names."""
    names = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', graph, re.MULTILINE))
    return {
        (names[source], names[target]) for source, target in re.findall(r"^\s*(\d+) -> (\d+)$", graph, re.MULTILINE)
    }


def drawn_edges(picture):
    """The same of the picture that graphviz makes of it."""
    svg = {"svg": "http://www.w3.org/2000/svg"}
    groups = {kind: picture.findall(f".//svg:g[@class='{kind}']", svg) for kind in ("node", "edge")}
    names = {node.find("svg:title", svg).text: node.find("svg:text", svg).text for node in groups["node"]}
    pairs = (edge.find("svg:title", svg).text.split("->") for edge in groups["edge"])
    return {(names[source], names[target]) for source, target in pairs}


def test_the_picture_has_the_rules_of_the_default_study(tmp_path):
    shutil.copy(REPOSITORY / "config.yaml", tmp_path)
    process = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "Snakefile", "--rulegraph"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = edges(process.stdout)
    assert ("layer", "layer") in expected
    assert drawn_edges(ElementTree.parse(REPOSITORY / "docs/rulegraph.svg")) == expected, (
        "make rulegraph draws it again"
    )
